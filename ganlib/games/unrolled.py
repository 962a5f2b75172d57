"""The game of a generator that foresees the discriminator's next steps (Metz et al., 2017).

How an optimiser's steps are differentiated is in `optimisers.foreseen`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import logsigmoid

from ganlib.games.minimax import Minimax
from ganlib.optimisers import check_foreseeable, foreseen
from ganlib.sizes import whole

Weights = Mapping[str, Tensor]


class Unrolled(Minimax):
    """The original game, but G's move is judged after D has answered it with `steps` of its own.

    G minimises V(G, D_K), where D_K is D after K steps of ascent on V, on the minibatch at hand;
    D itself then moves by one step, as ever (their equations 10 to 12). steps: K; at 0 this is
    `Minimax`. optimiser: the one that moves D, torch's Adam or plain gradient steps, whose rule,
    rate and moments the foreseen steps take over. The other arguments are those of `Minimax`.
    Neither D, nor its buffers, nor its optimiser is changed by G's turn.
    Raises ValueError for steps below 0, an optimiser of other weights, or one that cannot be
    foreseen.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        noise_size: int,
        steps: int,
        optimiser: torch.optim.Optimizer,
    ):
        super().__init__(generator, discriminator, noise_size)
        self.steps = whole("steps", steps, 0)
        check_foreseeable(optimiser, discriminator)
        self.optimiser = optimiser

    def generator_loss(self, x: Tensor) -> Tensor:
        """V(G, D_K) on data x and as many draws."""
        fake = self.generator(self.noise(len(x)))
        return self.value(self.reaction(x, fake), x, fake)

    def reaction(self, x: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The weights of D_K by name, differentiable by what G drew."""

        def cost(weights: Weights) -> Tensor:
            return -self.value(weights, x, fake)

        return foreseen(self.optimiser, self.discriminator, cost, self.steps)

    def value(self, weights: Weights, x: Tensor, fake: Tensor) -> Tensor:
        """V of D with these weights: E log D(x) + E log(1 - D(fake))."""
        own = self.discriminator
        buffers = {n: buffer.clone() for n, buffer in own.named_buffers()}
        state = {**buffers, **weights}
        real = functional_call(own, state, (x,))
        drawn = functional_call(own, state, (fake,))
        return logsigmoid(real).mean() + logsigmoid(-drawn).mean()
