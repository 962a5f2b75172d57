"""Every model that the book trains, by name, at each preset; a file a chapter.

Notebooks and `python -m ganlib` build the same recipe, so what a chapter trains in front of its
reader and what a GPU trains for hours differ in size alone.
"""

from ganlib.recipes import (
    bigan,
    cyclegan,
    ebgan,
    evaluation,
    fgan,
    infogan,
    lmconv,
    minimax,
    pixelcnn,
    unrolled,
    wgan,
)
from ganlib.recipes.register import RECIPES, build, checkpoint_path

__all__ = [
    "RECIPES",
    "bigan",
    "build",
    "checkpoint_path",
    "cyclegan",
    "ebgan",
    "evaluation",
    "fgan",
    "infogan",
    "lmconv",
    "minimax",
    "pixelcnn",
    "unrolled",
    "wgan",
]
