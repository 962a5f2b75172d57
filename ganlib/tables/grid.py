"""How many settings of a grid train, for the energy game and for the original one.

`python -m ganlib.tables.grid` plays both games at every setting of `recipes.ebgan.GRID` and from
every seed, and writes `data/results/grid.json`: for each run the Inception Score and the Fréchet
distance of its draws, under the book's judge. Runs that are in the file are not played again. It
takes about a quarter of an hour of one core.
"""

import argparse
from dataclasses import asdict
from functools import cache

import torch

from ganlib import runtime
from ganlib.datasets import mnist, to_signed_unit
from ganlib.metrics import (
    Extractor,
    Features,
    digit_features,
    extract,
    frechet_distance_between,
    inception_score,
)
from ganlib.paper import step_back
from ganlib.paths import results_folder
from ganlib.play import NotFiniteError, play
from ganlib.recipes.ebgan import GRID, Setting, of_grid
from ganlib.runtime import Run
from ganlib.tables.rows import read_rows, write_rows

SEEDS = (0,)
# Draws of each run, and the test digits that they are compared with.
DRAWS = 2_000
GAMES = ("gan", "ebgan")


def measured(game: str, setting: Setting, run: Run) -> dict:
    """Play one run and judge its draws: its row. A run whose loss is not finite has no score."""
    torch.manual_seed(run.seed)
    recipe = of_grid(game == "ebgan", setting, run)
    row = {"game": game, **asdict(setting), "seed": run.seed, "rounds": recipe.rounds}
    row |= {"made": runtime.describe(run), "inception_score": None, "frechet_distance": None}
    try:
        outcome = play(recipe, run, show=False)
    except NotFiniteError:
        return row
    torch.manual_seed(runtime.mixed_seed(run.seed, recipe.rounds))
    with torch.no_grad():
        noise = recipe.game.noise(DRAWS).split(500)
        images = torch.cat([outcome.averages["generator"](z).float().cpu() for z in noise])
    judge, real = _reference(run.device)
    fake = extract(judge, images, device=run.device)
    row["inception_score"] = float(inception_score(fake.probabilities))
    row["frechet_distance"] = frechet_distance_between(real.vectors, fake.vectors)
    return row | {"seconds": round(outcome.seconds, 1)}


@cache
def _reference(device: torch.device) -> tuple[Extractor, Features]:
    """The judge, and what it finds in test digits: the same for every run."""
    judge = digit_features(device)
    return judge, extract(judge, to_signed_unit(mnist("test")[0][:DRAWS]), device=device)


def table() -> list[dict]:
    """The rows, a run each; none if none was played."""
    return read_rows(results_folder() / "grid.json")


def _key(row: dict) -> tuple:
    return (row["game"], *(row[name] for name in Setting.__dataclass_fields__), row["seed"])


def main() -> None:
    """Parse the command line, and play every run that the table lacks."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.tables.grid", description=__doc__)
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    options = parser.parse_args()
    step_back()
    for seed in SEEDS:
        run = runtime.start("paper", options.device, seed)
        for setting in GRID:
            for game in GAMES:
                rows = table()
                if (game, *asdict(setting).values(), seed) in map(_key, rows):
                    continue
                rows.append(measured(game, setting, run))
                write_rows(results_folder() / "grid.json", sorted(rows, key=_key))
                print(f"{game}, {setting}, seed {seed}: {rows[-1]['inception_score']}", flush=True)


if __name__ == "__main__":
    main()
