"""The games of the earth mover's distance (Arjovsky et al., 2017; Gulrajani et al., 2017).

A critic of slope 1 at most estimates W₁ from below. What holds its slope is what the three games
here differ in. Exact transport is in `divergences`.
"""

import torch
from torch import Tensor, nn

from ganlib.games.rules import Sampling
from ganlib.games.slopes import slopes


class Wasserstein(Sampling):
    """min over G, max over the critic f of E f(x) - E f(G(z)).

    For critics whose slope is bounded by how they are built, say by spectral normalization.
    generator: noise (batch, noise_size) to data. critic: data to any real numbers, (batch,).
    critic_turns: how often the critic moves before G moves once. Raises ValueError for none.
    """

    def __init__(
        self, generator: nn.Module, critic: nn.Module, noise_size: int, critic_turns: int = 5
    ):
        super().__init__()
        self.generator, self.critic, self.noise_size = generator, critic, noise_size
        self.turns = self.alternating("critic", self.critic_loss, critic_turns, self.after_critic)

    def critic_loss(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """E f(G(z)) - E f(x) on data x and as many draws."""
        fake = self.generator(self.noise(len(x)))
        return self.critic(fake).mean() - self.critic(x).mean()

    def generator_loss(self, x: Tensor) -> Tensor:
        """-E f(G(z)); x only says how many z."""
        return -self.critic(self.generator(self.noise(len(x)))).mean()

    def after_critic(self) -> None:
        """What is done to the critic after its step: nothing."""


class Clipping(Wasserstein):
    """The critic's weights are cut to [-bound, bound] after each of its steps.

    Algorithm 1 of Arjovsky et al. (2017), whose bound is 0.01. The other arguments and errors are
    those of `Wasserstein`; ValueError too for a bound that is not above 0.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        noise_size: int,
        bound: float = 0.01,
        critic_turns: int = 5,
    ):
        super().__init__(generator, critic, noise_size, critic_turns)
        if not bound > 0:
            raise ValueError(f"bound={bound}: expected more than 0")
        self.bound = bound

    @torch.no_grad()
    def after_critic(self) -> None:
        """Cut every weight."""
        for weight in self.critic.parameters():
            weight.clamp_(-self.bound, self.bound)


class GradientPenalty(Wasserstein):
    """The critic pays λ E (‖∇f‖ - 1)² on lines between data and draws.

    Gulrajani et al. (2017, algorithm 1). weight: λ. one_sided: whether only slopes above 1 cost.
    critic: without batch normalization, so that the slope at an example is its own. The other
    arguments and errors are those of `Wasserstein`; ValueError too for a weight that is not above
    0.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        noise_size: int,
        weight: float = 10.0,
        one_sided: bool = False,
        critic_turns: int = 5,
    ):
        super().__init__(generator, critic, noise_size, critic_turns)
        if not weight > 0:
            raise ValueError(f"weight={weight}: expected more than 0, or the game Wasserstein")
        self.weight, self.one_sided = weight, one_sided

    def critic_loss(self, x: Tensor) -> dict[str, Tensor]:
        """The game's own loss, and the penalty."""
        fake = self.generator(self.noise(len(x)))
        distance = self.critic(x).mean() - self.critic(fake).mean()
        share = torch.rand_like(x.flatten(1)[:, 0])
        share = share.view(-1, *[1] * (x.ndim - 1))
        between = share * x + (1 - share) * fake.to(x.dtype)
        excess = slopes(self.critic, between) - 1
        if self.one_sided:
            excess = excess.clamp(min=0)
        penalty = self.weight * excess.square().mean()
        return {"game": -distance, "slope": penalty}
