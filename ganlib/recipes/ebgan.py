"""The recipes of the chapter on energies and margins: digits under an autoencoder's energy."""

from dataclasses import dataclass
from itertools import product

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.ebgan import EBGAN
from ganlib.games.minimax import NonSaturating
from ganlib.nets import (
    ConvolutionalAutoencoder,
    DCGANGenerator,
    DenseAutoencoder,
    DenseCritic,
    DenseGenerator,
)
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import distance_of_digits, held_out
from ganlib.recipes.register import family
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run

NOISE = 64
MARGIN = 10.0
# Of the pulling-away term: none, added, and subtracted. In the paper it is 0.1; here energies are
# norms over all pixels, of about the margin.
WEIGHTS = {"plain": 0.0, "apart": 5.0, "together": -5.0}


@family(pulled=tuple(WEIGHTS))
def ebgan(name: str, run: Run, pulled: str) -> Recipe:
    """A DCGAN generator of digits against an autoencoder.

    Zhao et al. (2017). pulled: how the codes of draws are pulled, a name
    in `WEIGHTS`.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=32))
    generator = DCGANGenerator(NOISE, width=width)
    discriminator = ConvolutionalAutoencoder(width=width)
    pair = generator, discriminator, NOISE
    game = run.place(EBGAN(*pair, MARGIN, WEIGHTS[pulled]))
    images, rest = held_out(run, mnist("train")[0])
    rate = paper(run, gpu=2e-4, cpu=1e-3)
    long = paper(run, gpu=100_000, cpu=20_000)
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, rate) for n, p in game.players.items()},
        rounds=run.pick(smoke=5, book=600, paper=long),
        averages={"generator": run.pick(smoke=0.9, book=0.98, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )


@dataclass(frozen=True)
class Setting:
    """A point of the grid: hidden layers and width of both networks, and their rate."""

    layers: int
    generator_width: int
    discriminator_width: int
    rate: float


# The paper's grid (its table 1) in small.
GRID = tuple(Setting(*point) for point in product((2, 3), (64, 256), (64, 256), (2e-4, 1e-3, 5e-3)))


def of_grid(energy: bool, setting: Setting, run: Run) -> Recipe:
    """A fully connected pair on MNIST: EBGAN, or the non-saturating game."""
    generator = DenseGenerator(NOISE, widths=(setting.generator_width,) * setting.layers)
    widths = (setting.discriminator_width,) * setting.layers
    discriminator = DenseAutoencoder(widths=widths) if energy else DenseCritic(widths=widths)
    for network in (generator, discriminator):
        run.place(network)
    pair = generator, discriminator, NOISE
    game = EBGAN(*pair, MARGIN) if energy else NonSaturating(*pair)
    images, _ = mnist("train")
    return Recipe(
        name="grid-ebgan" if energy else "grid-gan",
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, setting.rate) for n, p in game.players.items()},
        rounds=run.pick(smoke=3, book=200, paper=paper(run, gpu=20_000, cpu=2_000)),
        averages={"generator": run.pick(smoke=0.9, book=0.9, paper=0.99)},
        precision=run.precision,
    )
