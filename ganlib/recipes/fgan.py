"""The recipes of the chapter on f-divergences: fully connected pairs on MNIST, one a divergence."""

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.fgan import FGAN
from ganlib.nets import DenseCritic, DenseGenerator
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import distance_of_digits, held_out
from ganlib.recipes.register import family
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run


@family(divergence=("kl", "pearson", "hellinger", "jensen-shannon", "gan"))
def fgan(name: str, run: Run, divergence: str) -> Recipe:
    """Fully connected networks on MNIST, under one f-divergence.

    They are those of Nowozin et al. (2016, section 3.2), narrower on a CPU.
    """
    wide = run.pick(smoke=64, book=256, paper=paper(run, gpu=1200, cpu=320))
    size = run.pick(smoke=64, book=128, paper=paper(run, gpu=4096, cpu=128))
    narrow = run.pick(smoke=32, book=240, paper=240)
    long = paper(run, gpu=40_000, cpu=20_000)
    generator = DenseGenerator(100, widths=(wide, wide))
    critic = DenseCritic(widths=(narrow, narrow))
    game = run.place(FGAN(generator, critic, 100, divergence))
    images, rest = held_out(run, mnist("train")[0])
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=size, prepare=to_signed_unit),
        # A critic as fast as the generator loses the rows whose conjugate
        # grows fastest.
        optimisers={
            "critic": adam(critic, 2e-4),
            "generator": adam(generator, 5e-4),
        },
        rounds=run.pick(smoke=10, book=800, paper=long),
        averages={"generator": run.pick(smoke=0.9, book=0.99, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )
