"""What pays in a short training of digits: the chapter's recipe with one thing changed at a time.

`python -m ganlib.tables.digits` plays every change of `recipes.minimax.CHANGES` from two seeds and
writes `data/results/digits.json`: for each run the Fréchet distance of its draws from held-out
training digits, by the averaged weights of the generator and by its last ones, and the seconds of
the processor. Runs that are in the file are not played again. It takes about 20 minutes of one
core.
"""

import argparse
import time

import torch

from ganlib import runtime
from ganlib.paper import step_back
from ganlib.paths import results_folder
from ganlib.play import play
from ganlib.recipes.minimax import CHANGES, changed
from ganlib.runtime import Run
from ganlib.tables.rows import read_rows, write_rows

SEEDS = (0, 1)


def measured(change: str, run: Run) -> dict:
    """Play one run and judge its draws: its row."""
    torch.manual_seed(run.seed)
    recipe = changed(change, run)
    began = time.process_time()
    outcome = play(recipe, run, show=False)
    seconds = time.process_time() - began
    return {
        "change": change,
        "seed": run.seed,
        "rounds": recipe.rounds,
        "averaged": recipe.measure.of(outcome.averages),
        "last": recipe.measure.of(recipe.game.players),
        "processor_seconds": round(seconds, 1),
        "quantity": recipe.measure.quantity,
        "made": runtime.describe(run),
    }


def table() -> list[dict]:
    """The rows, a run each; none if none was played."""
    return read_rows(results_folder() / "digits.json")


def main() -> None:
    """Parse the command line, and play every run that the table lacks."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.tables.digits", description=__doc__)
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    options = parser.parse_args()
    step_back()
    for seed in SEEDS:
        run = runtime.start("paper", options.device, seed)
        for change in CHANGES:
            rows = table()
            if (change, seed) in {(row["change"], row["seed"]) for row in rows}:
                continue
            row = measured(change, run)
            rows = sorted([*rows, row], key=lambda one: (CHANGES.index(one["change"]), one["seed"]))
            write_rows(results_folder() / "digits.json", rows)
            print(f"{change}, seed {seed}: {row['averaged']:.1f}, {row['last']:.1f}", flush=True)


if __name__ == "__main__":
    main()
