"""The original game with a penalty on the slope of the discriminator at the data (R1).

Mescheder et al. (2018) show that without it the players need not converge where the data lie on a
surface. What the players pay otherwise is in `minimax`.
"""

from torch import Tensor, nn

from ganlib.games.minimax import NonSaturating
from ganlib.games.slopes import squared_slopes

# The slope is computed on this share of each minibatch: it costs as much as three more losses.
SHARE = 8


class PenalizedSlope(NonSaturating):
    """The non-saturating game, in which D also pays γ/2 · E ‖∇ logit(x)‖² on data x.

    weight: γ. discriminator: without batch normalization, so that an image's logit is its own. The
    other arguments and errors are those of `Minimax`; ValueError too for a weight that is not
    above 0.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        noise_size: int,
        weight: float,
        real_label: float = 1.0,
    ):
        super().__init__(generator, discriminator, noise_size, real_label)
        if not weight > 0:
            raise ValueError(f"weight={weight}: expected more than 0, or the game NonSaturating")
        self.weight = weight

    def discriminator_loss(self, x: Tensor) -> dict[str, Tensor]:
        """The game's own loss and the penalty."""
        some = x[: max(1, len(x) // SHARE)]
        penalty = self.weight / 2 * squared_slopes(self.discriminator, some).mean()
        return {"game": super().discriminator_loss(x), "slope": penalty}
