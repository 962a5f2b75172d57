"""Every model that the book trains, by name, at each preset.

Notebooks and `python -m ganlib` build the same recipe, so what a chapter trains in front of its
reader and what a GPU trains for hours differ in size alone.
"""

from collections.abc import Callable
from pathlib import Path

from ganlib.datasets import Minibatches, data_folder, mnist, to_signed_unit
from ganlib.games.minimax import NonSaturating
from ganlib.nets import DCGANDiscriminator, DCGANGenerator
from ganlib.play import Recipe, adam, cosine
from ganlib.runtime import Run


def minimax_mnist(run: Run) -> Recipe:
    """A DCGAN pair on MNIST with the non-saturating loss and one-sided label smoothing at 0.9."""
    width = run.pick(smoke=8, book=32, paper=64)
    size = run.pick(smoke=32, book=64, paper=128)
    rate = run.pick(smoke=2e-3, book=2e-3, paper=2e-4)
    noise_size = 64
    generator = DCGANGenerator(noise_size, width=width)
    discriminator = DCGANDiscriminator(width=width)
    game = NonSaturating(generator, discriminator, noise_size, real_label=0.9)
    run.place(game)
    images, _ = mnist("train")
    return Recipe(
        name="minimax-mnist",
        game=game,
        stream=Minibatches(
            images,
            size=size,
            seed=run.seed,
            device=run.device,
            prepare=to_signed_unit,
            rank=run.rank,
            world=run.world,
        ),
        optimisers={
            "discriminator": adam(discriminator, rate),
            "generator": adam(generator, rate),
        },
        rounds=run.pick(smoke=60, book=4500, paper=40_000),
        averages={"generator": run.pick(smoke=0.9, book=0.995, paper=0.999)},
        schedule=cosine,
    )


RECIPES: dict[str, Callable[[Run], Recipe]] = {"minimax-mnist": minimax_mnist}


def build(name: str, run: Run) -> Recipe:
    """The recipe of that name for this run; ValueError that lists the names for any other."""
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is not known: choose one of {', '.join(RECIPES)}")
    return RECIPES[name](run)


def checkpoint_path(recipe: Recipe, run: Run) -> Path:
    """Where a run of this recipe keeps its state: `runs/`, beside the book's `data/`."""
    return data_folder().parent / "runs" / f"{recipe.name}-{run.preset}-{run.seed}.safetensors"
