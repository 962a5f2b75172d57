"""The games of the f-divergences (Nowozin et al., 2016), one for each row of the table.

What a divergence is, and how its row is made, is in `divergences`.
"""

from torch import Tensor, nn

from ganlib.divergences.f_divergences import f_divergence_named
from ganlib.games.rules import Sampling


class FGAN(Sampling):
    """min over G, max over the critic of F = E T(x) - E f*(T(G(z))), where T = a(critic).

    At the best T this is D_f(p ‖ q) of the data's density p and the generator's q (their equation
    6); a keeps T where f* is finite. generator: noise (batch, noise_size) to data. critic: data to
    any real numbers, (batch,). divergence: a name in `divergences.F_DIVERGENCES`. non_saturating:
    whether G maximises E T(G(z)) instead (their section 3.2). critic_turns: how often the critic
    moves before G moves once. Raises ValueError for no such turn, and one that lists the names for
    another divergence.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        noise_size: int,
        divergence: str,
        non_saturating: bool = False,
        critic_turns: int = 1,
    ):
        super().__init__()
        self.row = f_divergence_named(divergence)
        self.generator, self.critic = generator, critic
        self.noise_size, self.non_saturating = noise_size, non_saturating
        self.turns = self.alternating("critic", self.critic_loss, critic_turns)

    def variational(self, examples: Tensor) -> Tensor:
        """T of each example, in float64: (batch,)."""
        return self.row.activation(self.critic(examples).double())

    def critic_loss(self, x: Tensor) -> Tensor:
        """-F on data x and as many draws."""
        fake = self.generator(self.noise(len(x)))
        drawn = self.row.conjugate(self.variational(fake)).mean()
        return drawn - self.variational(x).mean()

    def generator_loss(self, x: Tensor) -> Tensor:
        """G's part of F, or its alternative; x only says how many z."""
        t = self.variational(self.generator(self.noise(len(x))))
        return -(t if self.non_saturating else self.row.conjugate(t)).mean()
