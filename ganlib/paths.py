"""Where the book's files lie: data that it ships, and runs in progress."""

import os
from pathlib import Path


def data_folder() -> Path:
    """The book's `data/` folder: `$GANLIB_DATA`, or the one beside the package in a clone."""
    return Path(os.environ.get("GANLIB_DATA") or Path(__file__).resolve().parents[1] / "data")


def runs_folder() -> Path:
    """Where runs keep their state: `runs/`, beside the data."""
    return data_folder().parent / "runs"


def checkpoints_folder() -> Path:
    """Where the trained networks lie that the book ships."""
    return data_folder() / "checkpoints"


def results_folder() -> Path:
    """Where measured numbers lie: claims, scores, tables, and how networks were made."""
    return data_folder() / "results"
