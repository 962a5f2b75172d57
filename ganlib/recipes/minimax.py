"""The original game's recipe."""

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.minimax import NonSaturating
from ganlib.nets import DCGANDiscriminator, DCGANGenerator
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.register import recipe
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run


@recipe
def minimax_mnist(name: str, run: Run) -> Recipe:
    """A DCGAN pair on MNIST with the non-saturating loss and one-sided label smoothing at 0.9."""
    width = run.pick(smoke=8, book=32, paper=64)
    size = run.pick(smoke=32, book=64, paper=paper(run, gpu=128, cpu=64))
    rate = run.pick(smoke=2e-3, book=2e-3, paper=paper(run, gpu=2e-4, cpu=4e-4))
    noise_size = 64
    generator = DCGANGenerator(noise_size, width=width)
    discriminator = DCGANDiscriminator(width=width)
    game = NonSaturating(generator, discriminator, noise_size, real_label=0.9)
    run.place(game)
    images, _ = mnist("train")
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=size, prepare=to_signed_unit),
        optimisers={
            "discriminator": adam(discriminator, rate),
            "generator": adam(generator, rate),
        },
        rounds=run.pick(smoke=60, book=4500, paper=paper(run, gpu=40_000, cpu=20_000)),
        averages={"generator": run.pick(smoke=0.9, book=0.995, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
    )
