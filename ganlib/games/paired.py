"""Translation from pairs (Isola et al., 2017): to the partner, and to what looks like one."""

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from ganlib.games.patches import Pair, Terms, check_loss, fooled, told_apart
from ganlib.games.rules import Game, Turn


class Paired(Game):
    """l1 · E ‖y - G(x)‖, and a game in which D sees x beside y or beside G(x).

    Isola et al. (2017), equations 1 to 4, without noise, which they found to be ignored.
    to_y: pictures x to pictures y. discriminator: pairs, (batch, channels of both, h, w), to
    verdicts of any shape, or None, for the first term alone. l1: its weight; 0 leaves it out.
    loss: as in `patches.told_apart`. A minibatch is a pair: x, y. Raises ValueError for a weight
    below 0, a translator that pays nothing, or another loss.
    """

    def __init__(
        self,
        to_y: nn.Module,
        discriminator: nn.Module | None,
        l1: float = 100.0,
        loss: str = "squares",
    ):
        super().__init__()
        if not l1 >= 0 or not (l1 or discriminator is not None):
            raise ValueError(f"l1={l1}: expected 0 or more, and something to pay")
        self.to_y, self.discriminator = to_y, discriminator
        self.l1, self.loss = l1, check_loss(loss)
        translator = Turn("to_y", self.translator_loss)
        other = Turn("discriminator", self.discriminator_loss, fresh=False)
        self.turns = (translator,) if discriminator is None else (translator, other)

    def translator_loss(self, batch: Pair) -> Terms:
        """The two terms, each with its weight."""
        x, y = batch
        fake = self.to_y(x)
        self._fake = fake.detach()
        parts = {}
        if self.l1:
            parts["l1"] = self.l1 * l1_loss(fake, y)
        if self.discriminator is not None:
            verdicts = self.discriminator(torch.cat([x, fake], 1))
            parts["adversary"] = fooled(verdicts, self.loss)
        return parts

    def discriminator_loss(self, batch: Pair) -> Tensor:
        """D tells (x, y) from (x, G(x)), with G(x) of the turn before."""
        x, y = batch
        real = self.discriminator(torch.cat([x, y], 1))
        fake = self.discriminator(torch.cat([x, self._fake], 1))
        return told_apart(real, fake, self.loss)
