"""The game of an energy and a margin (Zhao et al., 2017), and the term that pulls draws apart."""

import math

from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from ganlib.games.rules import Sampling


class EBGAN(Sampling):
    """D lowers the energy of data and lifts that of draws up to the margin m; G lowers theirs.

    Their equations 1 and 2. generator: noise (batch, noise_size) to data. discriminator: data to
    energies of 0 or more, (batch,). margin: m. pulling_away: the weight of `pulling_away` on the
    codes of draws in what G pays (section 2.4); a negative one pulls draws together. Where it is
    not 0, the discriminator must have `coded(x)`: the energies, and the codes (batch, size).
    Raises ValueError for a margin that is not above 0, a weight that is not finite, or a
    discriminator without codes where they are needed.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        noise_size: int,
        margin: float,
        pulling_away: float = 0.0,
    ):
        super().__init__()
        if not 0 < margin < math.inf:
            raise ValueError(f"margin={margin}: expected more than 0")
        if not math.isfinite(pulling_away):
            raise ValueError(f"pulling_away={pulling_away}: expected a finite number")
        if pulling_away and not hasattr(discriminator, "coded"):
            raise ValueError(
                f"{type(discriminator).__name__} has no `coded`: expected a discriminator that "
                "gives energies and codes"
            )
        self.generator, self.discriminator = generator, discriminator
        self.noise_size, self.margin, self.weight = noise_size, margin, pulling_away
        self.turns = self.alternating("discriminator", self.discriminator_loss)

    def discriminator_loss(self, x: Tensor) -> dict[str, Tensor]:
        """E D(x) on data x, and E max(0, m - D(G(z))) on as many draws."""
        fake = self.generator(self.noise(len(x)))
        lacking = relu(self.margin - self.discriminator(fake))
        return {"data": self.discriminator(x).mean(), "draws": lacking.mean()}

    def generator_loss(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """E D(G(z)), and the weighted term; x only says how many z."""
        fake = self.generator(self.noise(len(x)))
        if not self.weight:
            return self.discriminator(fake).mean()
        energies, codes = self.discriminator.coded(fake)
        apart = self.weight * pulling_away(codes)
        return {"energy": energies.mean(), "pulling_away": apart}


def pulling_away(codes: Tensor) -> Tensor:
    """The mean squared cosine of all pairs of codes, (batch, size).

    0 if they are orthogonal, 1 if parallel (their equation 4). A code of
    zeros is orthogonal to all. Raises ValueError for another shape, or
    fewer than two codes.
    """
    if codes.ndim != 2 or len(codes) < 2:
        shape = tuple(codes.shape)
        raise ValueError(f"codes {shape}: expected two or more of one size")
    unit = normalize(codes, dim=1)
    squared = (unit @ unit.T).square()
    of_others = squared.sum() - squared.diagonal().sum()
    return of_others / (len(codes) * (len(codes) - 1))
