"""The recipes of the chapter on unrolled games, each at several numbers of foreseen steps."""

import torch
from torch import nn

from ganlib.datasets import gaussian_ring, mnist, stacked_mnist, to_signed_unit
from ganlib.games.unrolled import Unrolled
from ganlib.nets import (
    Logit,
    Perceptron,
    RecurrentGenerator,
    Scaled,
    SmallDiscriminator,
    SmallGenerator,
)
from ganlib.optimisers import adam
from ganlib.play import Recipe
from ganlib.recipes.register import family
from ganlib.recipes.shared import draws, minibatches, paper
from ganlib.runtime import Run
from ganlib.streams import Draws, Minibatches

STEPS = (0, 1, 5, 10)
NOISE = 256


@family(steps=STEPS)
def ring(name: str, run: Run, steps: int) -> Recipe:
    """Eight Gaussians on a circle (Metz et al., 2017, appendix A).

    At `smoke` and `book` the run is short and the rates are higher.
    """
    _same_start(run)
    generator = Perceptron(NOISE, 2, (128, 128))
    logit = Logit(2, (128,))
    discriminator = Scaled(logit, 1 / 4)
    for layer in [*generator.modules(), *logit.modules()]:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, 0.8)
            nn.init.zeros_(layer.bias)
    stream = draws(run, gaussian_ring(), size=512)
    rate = run.pick(smoke=1e-3, book=1e-3, paper=1e-4)
    rounds = run.pick(smoke=20, book=1_300, paper=25_000)
    pair = generator, discriminator
    return _unrolled(name, run, pair, steps, stream, (rate, rate), rounds)


@family(steps=STEPS)
def stacked_quarter(name: str, run: Run, steps: int) -> Recipe:
    """Stacked digits, a discriminator a quarter of the generator's size."""
    return stacked(name, run, steps, width=2)


@family(steps=STEPS)
def stacked_half(name: str, run: Run, steps: int) -> Recipe:
    """Stacked digits, a discriminator half of the generator's size."""
    return stacked(name, run, steps, width=4)


def stacked(name: str, run: Run, steps: int, width: int) -> Recipe:
    """Three digits in three colours, 1,000 modes (their section 3.3.1).

    width: of the discriminator, whose generator has 8.
    """
    _same_start(run)
    generator = SmallGenerator(NOISE)
    discriminator = SmallDiscriminator(width=width)
    count = run.pick(smoke=500, book=20_000, paper=60_000)
    images, _ = stacked_mnist("train", count)
    size = run.pick(smoke=16, book=64, paper=paper(run, gpu=256, cpu=64))
    stream = minibatches(run, images, size=size, prepare=to_signed_unit)
    rate = paper(run, gpu=2e-4, cpu=1e-3)
    long = paper(run, gpu=50_000, cpu=3_000)
    rounds = run.pick(smoke=5, book=150, paper=long)
    pair = generator, discriminator
    return _unrolled(name, run, pair, steps, stream, (rate, rate), rounds)


@family(steps=(0, 20))
def recurrent(name: str, run: Run, steps: int) -> Recipe:
    """Digits, by a recurrent generator (their section 3.2)."""
    _same_start(run)
    generator = RecurrentGenerator(NOISE)
    discriminator = SmallDiscriminator(1, 8)
    size = run.pick(smoke=16, book=32, paper=paper(run, gpu=128, cpu=32))
    digits, _ = mnist("train")
    stream = minibatches(run, digits, size=size, prepare=to_signed_unit)
    long = paper(run, gpu=100_000, cpu=2_400)
    rounds = run.pick(smoke=3, book=200, paper=long)
    pair = generator, discriminator
    return _unrolled(name, run, pair, steps, stream, (1e-4, 1e-3), rounds)


def _same_start(run: Run) -> None:
    """Let runs of one seed begin with the same weights, however many steps they foresee."""
    torch.manual_seed(run.seed)


def _unrolled(
    name: str,
    run: Run,
    pair: tuple[nn.Module, nn.Module],
    steps: int,
    stream: Draws | Minibatches,
    rates: tuple[float, float],
    rounds: int,
) -> Recipe:
    """The game of a generator and a discriminator; rates: the discriminator's, the generator's."""
    for network in pair:
        run.place(network)
    generator, discriminator = pair
    ascent, descent = adam(discriminator, rates[0]), adam(generator, rates[1])
    return Recipe(
        name=name,
        game=Unrolled(generator, discriminator, NOISE, steps, ascent),
        stream=stream,
        optimisers={"discriminator": ascent, "generator": descent},
        rounds=rounds,
    )
