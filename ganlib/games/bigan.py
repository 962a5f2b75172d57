"""The game of pairs, in which an encoder learns to invert the generator.

Donahue et al. (2017), and Dumoulin et al. (2017) at the same time; beside it the latent regressor,
which learns the inverse from draws alone.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, mse_loss

from ganlib.games.minimax import NonSaturating, cross_entropy
from ganlib.games.rules import Sampling, Turn


class UniformNoise(Sampling):
    """A game whose z is uniform on [-1, 1] in every coordinate."""

    def noise(self, count: int) -> Tensor:
        """Draw z: (count, noise_size)."""
        return 2 * torch.rand(count, self.noise_size, device=next(self.parameters()).device) - 1


class BiGAN(UniformNoise):
    """V = E log D(x, E(x)) + E log(1 - D(G(z), z)); D raises it, and G and E want its labels wrong.

    generator: noise (batch, noise_size) to data. encoder: data to noise. discriminator: pairs of
    data and noise to logits (batch,).
    """

    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        discriminator: nn.Module,
        noise_size: int,
    ):
        super().__init__()
        self.generator, self.encoder = generator, encoder
        self.discriminator, self.noise_size = discriminator, noise_size
        both = Turn("generator", self.generator_loss, ("generator", "encoder"), fresh=False)
        self.turns = (Turn("discriminator", self.discriminator_loss), both)

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """-V: D says 1 to (x, E(x)) and 0 to (G(z), z)."""
        return self._against(x, 1.0)

    def generator_loss(self, x: Tensor) -> Tensor:
        """What D would pay if its labels were swapped (section 3.4)."""
        return self._against(x, 0.0)

    def _against(self, x: Tensor, label: float) -> Tensor:
        """The cross-entropy of D's answers, if encoded pairs get `label`."""
        z = self.noise(len(x))
        encoded = self.discriminator(x, self.encoder(x))
        generated = self.discriminator(self.generator(z), z)
        other = cross_entropy(generated, 1.0 - label)
        return cross_entropy(encoded, label) + other


class LatentRegressor(UniformNoise, NonSaturating):
    """A GAN whose encoder E is fitted to the z of its draws: it pays ‖E(G(z)) - z‖² / noise_size.

    Donahue et al. (2017), section 4. weight: of the same error in what G pays; 0 leaves the GAN as
    it is, more makes the regressor joint. Other arguments as for `BiGAN`, but that the
    discriminator sees data alone. Raises ValueError for a weight below 0.
    """

    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        discriminator: nn.Module,
        noise_size: int,
        weight: float = 0.0,
    ):
        super().__init__(generator, discriminator, noise_size)
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight={weight}: expected 0 or more")
        self.encoder, self.weight = encoder, weight
        both = Turn("generator", self.generator_loss, ("generator", "encoder"), fresh=False)
        self.turns = (*self.turns[:-1], both)

    def generator_loss(self, x: Tensor) -> dict[str, Tensor]:
        """-E log D(G(z)); and E's error, of which G feels `weight`."""
        z = self.noise(len(x))
        fake = self.generator(z)
        still = fake.detach()
        seen = still + self.weight * (fake - still)
        code = mse_loss(self.encoder(seen), z)
        fooling = -logsigmoid(self.discriminator(fake)).mean()
        return {"fooling": fooling, "code": code}
