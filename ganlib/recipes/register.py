"""The register of recipes: a function that builds one is named after it, and nowhere else."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ganlib.paths import runs_folder
from ganlib.play import Recipe
from ganlib.runtime import Run

Builder = Callable[[str, Run], Recipe]

RECIPES: dict[str, Builder] = {}


def recipe(builder: Builder) -> Builder:
    """Register a builder: `minimax_mnist(name, run)` builds the recipe "minimax-mnist"."""
    RECIPES[_name(builder)] = builder
    return builder


def family(**setting: Sequence[int | str]) -> Callable[[Callable[..., Recipe]], Callable]:
    """Register a builder of several recipes that differ in one setting.

    With `@family(steps=(0, 1))`, `ring(name, run, steps)` builds the recipes "ring-0" and "ring-1".
    Raises ValueError for anything but one setting.
    """
    if len(setting) != 1:
        raise ValueError(f"settings {', '.join(setting) or 'none'}: expected one")
    ((label, values),) = setting.items()

    def registered(builder: Callable[..., Recipe]) -> Callable[..., Recipe]:
        for value in values:
            RECIPES[f"{_name(builder)}-{value}"] = partial(builder, **{label: value})
        return builder

    return registered


def build(name: str, run: Run) -> Recipe:
    """The recipe of that name for this run; ValueError that lists the names for any other."""
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is not known: choose one of {', '.join(RECIPES)}")
    return RECIPES[name](name, run)


def checkpoint_path(recipe: Recipe, run: Run) -> Path:
    """Where a run of this recipe keeps its state: `runs/`, beside the book's `data/`."""
    return runs_folder() / f"{recipe.name}-{run.preset}-{run.seed}.safetensors"


def _name(builder: Callable[..., Recipe]) -> str:
    return builder.__name__.replace("_", "-")
