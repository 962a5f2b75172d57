"""The recipes of the chapter on energies and margins: digits under an autoencoder's energy."""

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.ebgan import EBGAN
from ganlib.nets import ConvolutionalAutoencoder, DCGANGenerator
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import distance_of_digits, held_out
from ganlib.recipes.register import family
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run

NOISE = 64
# Of the paper, where it is 0.1; subtracted, as one set of notes has it; and none.
WEIGHTS = {"plain": 0.0, "apart": 0.1, "together": -0.1}


@family(pulled=tuple(WEIGHTS))
def ebgan(name: str, run: Run, pulled: str) -> Recipe:
    """A DCGAN generator on MNIST against an autoencoder (Zhao et al., 2017).

    pulled: how the codes of draws are pulled, a name in `WEIGHTS`.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=32))
    generator = DCGANGenerator(NOISE, width=width)
    discriminator = ConvolutionalAutoencoder(width=width)
    game = run.place(EBGAN(generator, discriminator, NOISE, 10.0, WEIGHTS[pulled]))
    images, rest = held_out(run, mnist("train")[0])
    rate = paper(run, gpu=2e-4, cpu=1e-3)
    long = paper(run, gpu=100_000, cpu=20_000)
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, rate, betas=(0.0, 0.999)) for n, p in game.players.items()},
        rounds=run.pick(smoke=5, book=600, paper=long),
        averages={"generator": run.pick(smoke=0.9, book=0.98, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )
