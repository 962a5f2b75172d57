"""The register of recipes: a function that builds one is named after it, and nowhere else."""

from collections.abc import Callable
from pathlib import Path

from ganlib.paths import runs_folder
from ganlib.play import Recipe
from ganlib.runtime import Run

Builder = Callable[[str, Run], Recipe]

RECIPES: dict[str, Builder] = {}


def recipe(builder: Builder) -> Builder:
    """Register a builder: `minimax_mnist(name, run)` builds the recipe "minimax-mnist"."""
    RECIPES[builder.__name__.replace("_", "-")] = builder
    return builder


def build(name: str, run: Run) -> Recipe:
    """The recipe of that name for this run; ValueError that lists the names for any other."""
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is not known: choose one of {', '.join(RECIPES)}")
    return RECIPES[name](name, run)


def checkpoint_path(recipe: Recipe, run: Run) -> Path:
    """Where a run of this recipe keeps its state: `runs/`, beside the book's `data/`."""
    return runs_folder() / f"{recipe.name}-{run.preset}-{run.seed}.safetensors"
