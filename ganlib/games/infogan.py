"""The game of codes that can be read back from the image (Chen et al., 2016)."""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import logsigmoid

from ganlib.games.codes import Codes
from ganlib.games.minimax import cross_entropy
from ganlib.games.rules import Sampling, Turn


class InfoGAN(Sampling):
    """min over G and Q, max over D of V(D, G) - λ L_I(G, Q), the generator's part non-saturating.

    Their equation 6; L_I = H(c) + E log Q(c | G(z, c)) bounds the information of a draw on its
    code. generator: noise and code in one row, (batch, noise_size + codes.size), to data. trunk:
    data to features. discriminator: features to logits (batch,). posterior: features to what
    `codes` can read, (batch, codes.answers). D is discriminator after trunk, Q is posterior after
    trunk; the trunk is a player of its own, which moves with D in its turn and with Q and G in
    theirs. There it moves for L_I alone: what G pays to fool D goes through a trunk at rest.

    categorical_weight, continuous_weight: λ, for the two kinds of codes. noise_scale: the standard
    deviation of z; a small one leaves more to the codes. Raises ValueError for a weight below 0 or
    a scale that is not above 0.
    """

    # Of the second turn.
    movers: tuple[str, ...] = ("generator", "posterior", "trunk")

    def __init__(
        self,
        generator: nn.Module,
        trunk: nn.Module,
        discriminator: nn.Module,
        posterior: nn.Module,
        noise_size: int,
        codes: Codes,
        categorical_weight: float = 1.0,
        continuous_weight: float = 0.1,
        noise_scale: float = 1.0,
    ):
        super().__init__()
        weights = {"categorical": categorical_weight, "continuous": continuous_weight}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name}_weight={weight}: expected 0 or more")
        if not 0 < noise_scale < math.inf:
            raise ValueError(f"noise_scale={noise_scale}: expected more than 0")
        self.generator, self.trunk = generator, trunk
        self.discriminator, self.posterior = discriminator, posterior
        self.noise_size, self.noise_scale = noise_size, noise_scale
        self.codes, self.weights = codes, weights
        first = Turn("discriminator", self.discriminator_loss, ("trunk", "discriminator"))
        second = Turn("generator", self.generator_loss, self.movers, fresh=False)
        self.turns = (first, second)

    def noise(self, count: int) -> Tensor:
        """Draw z and c in one row: (count, noise_size + codes.size)."""
        z = self.noise_scale * super().noise(count)
        return torch.cat([z, self.codes.draw(count, z.device)], 1)

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """-V: the cross-entropy of D's answers on data and on draws."""
        fake = self.generator(self.noise(len(x)))
        real, drawn = (self.discriminator(self.trunk(i)) for i in (x, fake))
        return cross_entropy(real, 1.0) + cross_entropy(drawn, 0.0)

    def generator_loss(self, x: Tensor) -> dict[str, Tensor]:
        """-E log D(G(z, c)), and -λ L_I; x only says how many z."""
        noise = self.noise(len(x))
        fake = self.generator(noise)
        judged = self.discriminator(at_rest(self.trunk, fake))
        paid = {"fooling": -logsigmoid(judged).mean()}
        return paid | self.informing(noise, self.posterior(self.trunk(fake)))

    def informing(self, noise: Tensor, answers: Tensor) -> dict[str, Tensor]:
        """-λ L_I for each kind of code, from what Q answers."""
        codes = noise[:, self.noise_size :]
        bounds = self.codes.information(codes, answers)
        return {n: -self.weights[n] * nats for n, nats in bounds.items()}


class Unpaid(InfoGAN):
    """The original game of the same networks, whose posterior looks on.

    Q learns to read the code as well as it can, but neither generator nor trunk is paid for that:
    what L_I comes to is what a draw happens to tell.
    """

    movers = ("generator", "posterior")

    def generator_loss(self, x: Tensor) -> dict[str, Tensor]:
        """-E log D(G(z, c)), paid by G; and -λ L_I, paid by Q alone."""
        noise = self.noise(len(x))
        features = at_rest(self.trunk, self.generator(noise))
        paid = {"fooling": -logsigmoid(self.discriminator(features)).mean()}
        return paid | self.informing(noise, self.posterior(features.detach()))


def at_rest(network: nn.Module, x: Tensor) -> Tensor:
    """What a network answers, with no gradient on its weights, though they may be moving."""
    still = {name: weights.detach() for name, weights in network.named_parameters()}
    return functional_call(network, still, (x,))
