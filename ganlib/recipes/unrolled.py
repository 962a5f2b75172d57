"""The recipes of the chapter on unrolled games: the ring of Gaussians, at several steps."""

import torch
from torch import nn

from ganlib.datasets import gaussian_ring
from ganlib.games.unrolled import Unrolled
from ganlib.nets import Logit, Perceptron, Scaled
from ganlib.optimisers import adam
from ganlib.play import Recipe
from ganlib.recipes.register import recipe
from ganlib.runtime import Run
from ganlib.streams import Draws


@recipe
def ring_0(name: str, run: Run) -> Recipe:
    """The ring without unrolling: the original game."""
    return ring(name, run, steps=0)


@recipe
def ring_1(name: str, run: Run) -> Recipe:
    """The ring, one step foreseen."""
    return ring(name, run, steps=1)


@recipe
def ring_5(name: str, run: Run) -> Recipe:
    """The ring, five steps foreseen."""
    return ring(name, run, steps=5)


@recipe
def ring_10(name: str, run: Run) -> Recipe:
    """The ring, ten steps foreseen."""
    return ring(name, run, steps=10)


def ring(name: str, run: Run, steps: int) -> Recipe:
    """Eight Gaussians on a circle, with the networks and rates of Metz et al. (2017, appendix A).

    At `smoke` and `book` the run is short and the rates are higher.
    """
    torch.manual_seed(run.seed)
    generator, logit = Perceptron(256, 2, (128, 128)), Logit(2, (128,))
    discriminator = Scaled(logit, 1 / 4)
    for layer in [*generator.modules(), *logit.modules()]:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, 0.8)
            nn.init.zeros_(layer.bias)
    for network in (generator, discriminator):
        run.place(network)
    rate = run.pick(smoke=1e-3, book=1e-3, paper=1e-4)
    optimisers = {"discriminator": adam(discriminator, rate), "generator": adam(generator, rate)}
    return Recipe(
        name=name,
        game=Unrolled(generator, discriminator, 256, steps, optimisers["discriminator"]),
        stream=Draws(gaussian_ring(), 512, run.device, run.world),
        optimisers=optimisers,
        rounds=run.pick(smoke=20, book=1_500, paper=25_000),
    )
