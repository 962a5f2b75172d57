"""The original game (Goodfellow et al., 2014), its non-saturating form, and label smoothing.

Discriminators return logits: D(x) = sigmoid(logit), so log D is `logsigmoid(logit)` and
log(1 - D) is `logsigmoid(-logit)`, exact where the probabilities themselves would round.
"""

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ganlib.games.rules import Sampling


class Minimax(Sampling):
    """min over G, max over D of V(G, D) = E log D(x) + E log(1 - D(G(z))).

    generator: noise (batch, noise_size) to data. discriminator: data to logits (batch,).
    real_label, fake_label: the targets α and β that D is trained to answer on data and on
    generated examples. (1, 0) is the game itself; (0.9, 0) is one-sided smoothing (Salimans et
    al., 2016, section 3.4); (0.9, 0.1) is two-sided. The best D is (α p + β q) / (p + q) for the
    data density p and the generator's q.
    discriminator_turns: how often D moves in a round before G moves once, the k of algorithm 1.
    Raises ValueError unless 0 ≤ β < α ≤ 1, and for no turn of D.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        noise_size: int,
        real_label: float = 1.0,
        fake_label: float = 0.0,
        discriminator_turns: int = 1,
    ):
        super().__init__()
        if not 0 <= fake_label < real_label <= 1:
            raise ValueError(
                f"labels {real_label} (real), {fake_label} (fake): expected 0 <= fake < real <= 1"
            )
        self.generator, self.discriminator = generator, discriminator
        self.noise_size = noise_size
        self.real_label, self.fake_label = real_label, fake_label
        self.turns = self.alternating("discriminator", self.discriminator_loss, discriminator_turns)

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """The cross-entropy of D's answers on data x and on as many draws.

        With plain labels it is -V(G, D).
        """
        real = self.discriminator(x)
        fake = self.discriminator(self.generator(self.noise(len(x))))
        on_data = cross_entropy(real, self.real_label)
        return on_data + cross_entropy(fake, self.fake_label)

    def generator_loss(self, x: Tensor) -> Tensor:
        """E log(1 - D(G(z))), G's part of V; x only says how many z."""
        fake = self.discriminator(self.generator(self.noise(len(x))))
        return logsigmoid(-fake).mean()


class NonSaturating(Minimax):
    """The same game, but G maximises E log D(G(z)).

    Goodfellow et al., 2014, section 3.
    """

    def generator_loss(self, x: Tensor) -> Tensor:
        """-E log D(G(z)); x only sets how many z are drawn."""
        fake = self.discriminator(self.generator(self.noise(len(x))))
        return -logsigmoid(fake).mean()


def cross_entropy(logit: Tensor, label: float) -> Tensor:
    """-[label · log D + (1 - label) · log(1 - D)], on average."""
    log_data, log_fake = logsigmoid(logit), logsigmoid(-logit)
    return -(label * log_data + (1 - label) * log_fake).mean()
