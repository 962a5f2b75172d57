"""Fitting an autoencoder is a game whose two players pay the same: what does not come back."""

from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from ganlib.games.rules import Game, Turn

ERRORS = {1: l1_loss, 2: mse_loss}


class Autoencoding(Game):
    """The mean of the absolute value of G(E(x)) - x, or of its square, over pixels.

    encoder: data to codes. generator: codes to data. power: 1 or 2; ValueError for another.
    """

    def __init__(self, encoder: nn.Module, generator: nn.Module, power: int = 2):
        super().__init__()
        if power not in ERRORS:
            raise ValueError(f"power={power!r}: expected 1 or 2")
        self.encoder, self.generator, self.power = encoder, generator, power
        self.turns = (Turn("generator", self.loss, ("encoder", "generator")),)

    def loss(self, x: Tensor) -> Tensor:
        """The mean error of a minibatch."""
        return ERRORS[self.power](self.generator(self.encoder(x)), x)
