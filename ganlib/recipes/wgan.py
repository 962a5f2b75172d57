"""The recipes of the chapter on Wasserstein games: points in the plane, and digits."""

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
    """Points in the plane (Gulrajani et al., 2017, figure 1a), the critic's slope penalized.

    data: a name in `PLANE`. Without a GPU the networks are smaller and the rates higher.
    """
    widths = paper(run, gpu=(512, 512, 512), cpu=(128, 128))
    generator, critic = Perceptron(2, 2, widths), Logit(2, widths)
    game = run.place(GradientPenalty(generator, critic, 2, weight=paper(run, gpu=0.1, cpu=1.0)))
    slow, fast = paper(run, gpu=(1e-4, 1e-4), cpu=(1e-3, 3e-3))
    long = paper(run, gpu=100_000, cpu=10_000)
    return Recipe(
        name=name,
        game=game,
        stream=draws(run, PLANE[data](), paper(run, gpu=256, cpu=128)),
        optimisers={
            "critic": adam(critic, fast, betas=(0.0, 0.9)),
            "generator": adam(generator, slow, betas=(0.0, 0.9)),
        },
        rounds=run.pick(smoke=5, book=600, paper=long),
        schedule=cosine,
    )


@family(held=("clipping", "penalty"))
def wgan(name: str, run: Run, held: str) -> Recipe:
    """A DCGAN pair on MNIST, the critic's weights clipped or its slope penalized.

    Each with the optimiser of its paper: RMSProp (Arjovsky et al., 2017, algorithm 1), and Adam
    without momentum (Gulrajani et al., 2017, algorithm 1). Rates are higher and runs are shorter
    on a CPU.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=32))
    generator = DCGANGenerator(NOISE, width=width)
    # Clipped without normalization, the critic's slopes shrink from layer to layer.
    critic = DCGANDiscriminator(width=width, normalized=held == "clipping")
    for network in (generator, critic):
        run.place(network)
    if held == "clipping":
        game, rounds = Clipping(generator, critic, NOISE), 12_000
        rates = paper(run, gpu=(5e-5, 5e-5), cpu=(2e-4, 2e-4))
    else:
        game, rounds = GradientPenalty(generator, critic, NOISE), 6_000
        short = run.pick(smoke=(2e-3, 4e-3), book=(2e-3, 4e-3), paper=(1e-3, 2e-3))
        rates = paper(run, gpu=(1e-4, 1e-4), cpu=short)
    long = paper(run, gpu=100_000, cpu=rounds)
    images, rest = held_out(run, mnist("train")[0])
    size = run.pick(smoke=16, book=64, paper=64)
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=size, prepare=to_signed_unit),
        optimisers={
            "critic": _optimiser(held, critic, rates[0]),
            "generator": _optimiser(held, generator, rates[1]),
        },
        rounds=run.pick(smoke=4, book=300, paper=long),
        averages={"generator": run.pick(smoke=0.9, book=0.95, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )


def _optimiser(held: str, network: nn.Module, rate: float) -> Optimizer:
    if held == "clipping":
        return RMSprop(network.parameters(), rate)
    return adam(network, rate, betas=(0.0, 0.9))
