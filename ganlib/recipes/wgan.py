"""The recipes of the chapter on Wasserstein games: points in the plane, and digits."""

from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer, RMSprop

from ganlib.datasets import SwissRoll, gaussian_grid, gaussian_ring, mnist, to_signed_unit
from ganlib.games.wgan import Clipping, GradientPenalty
from ganlib.nets import DCGANDiscriminator, DCGANGenerator, Logit, Perceptron
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import distance_of_digits, held_out
from ganlib.recipes.register import family
from ganlib.recipes.shared import draws, minibatches, paper
from ganlib.runtime import Run

NOISE = 64


PLANE = {"ring": gaussian_ring, "grid": gaussian_grid, "roll": SwissRoll}


@family(data=tuple(PLANE))
def wgan_plane(name: str, run: Run, data: str) -> Recipe:
    """Points in the plane, the critic's slope penalized.

    data: a name in `PLANE`. On a GPU as Gulrajani et al. (2017) do it;
    without one the networks are smaller and the rates higher.
    """
    widths = paper(run, gpu=(512, 512, 512), cpu=(128, 128))
    generator, critic = Perceptron(2, 2, widths), Logit(2, widths)
    weight = paper(run, gpu=0.1, cpu=1.0)
    game = run.place(GradientPenalty(generator, critic, 2, weight))
    of_critic = paper(run, gpu=1e-4, cpu=3e-3)
    of_generator = paper(run, gpu=1e-4, cpu=2e-3)
    long = paper(run, gpu=100_000, cpu=10_000)
    size = paper(run, gpu=256, cpu=128)
    return Recipe(
        name=name,
        game=game,
        stream=draws(run, PLANE[data](), size),
        optimisers={
            "critic": adam(critic, of_critic, betas=(0.0, 0.9)),
            "generator": adam(generator, of_generator, betas=(0.0, 0.9)),
        },
        rounds=run.pick(smoke=5, book=800, paper=long),
        schedule=cosine,
    )


@family(held=("clipping", "penalty"))
def wgan(name: str, run: Run, held: str) -> Recipe:
    """Digits, the critic's weights clipped or its slope penalized.

    A DCGAN pair, with the optimisers of the papers: RMSProp (Arjovsky
    et al., 2017, algorithm 1), and Adam without momentum (Gulrajani et
    al., 2017). Rates are higher and runs shorter on a CPU.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=32))
    generator = DCGANGenerator(NOISE, width=width)
    # Clipped without normalization, slopes shrink from layer to layer.
    normalized = held == "clipping"
    critic = DCGANDiscriminator(width=width, normalized=normalized)
    pair = run.place(generator), run.place(critic), NOISE
    game = Clipping(*pair) if normalized else GradientPenalty(*pair)
    fits, rates, rounds = _slowly(run, held)
    images, rest = held_out(run, mnist("train")[0])
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: fits(p, rates[n]) for n, p in game.players.items()},
        rounds=run.pick(smoke=4, book=300, paper=rounds),
        averages={"generator": run.pick(smoke=0.9, book=0.95, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )


def _slowly(run: Run, held: str) -> tuple[Callable, dict[str, float], int]:
    """The optimiser of a paper, its rates, and how many rounds of `paper`."""
    if held == "clipping":
        rate = paper(run, gpu=5e-5, cpu=2e-4)
        rates = {"critic": rate, "generator": rate}
        return _rmsprop, rates, paper(run, gpu=100_000, cpu=12_000)
    critic = run.pick(smoke=2e-3, book=2e-3, paper=paper(run, gpu=1e-4, cpu=1e-3))
    generator = paper(run, gpu=critic, cpu=2 * critic)
    rates = {"critic": critic, "generator": generator}
    return _steady_adam, rates, paper(run, gpu=100_000, cpu=6_000)


def _rmsprop(network: nn.Module, rate: float) -> Optimizer:
    return RMSprop(network.parameters(), rate)


def _steady_adam(network: nn.Module, rate: float) -> Optimizer:
    return adam(network, rate, betas=(0.0, 0.9))
