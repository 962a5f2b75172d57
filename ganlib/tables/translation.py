"""How well translations of emoji are done, beside the true partners: at the papers' scale.

`python -m ganlib.tables.translation` plays every recipe of the chapter on translation at `paper`,
the game itself from five seeds, and writes `data/results/translation.json`: for each run and each
direction, the measures of `metrics.judge_translation` on the 190 held-out emoji, and what a round
trip loses. Maps that need no training have their rows too. The translators of seed 0 are shipped.
Runs resume where they were stopped, and what the table has is not played again: about ten minutes
of one core a run.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlib import runtime
from ganlib.datasets import emoji, to_signed_unit
from ganlib.metrics import emoji_reader, judge_translation
from ganlib.nets import EmojiReader
from ganlib.paper import EVERY_MINUTE, step_back
from ganlib.paths import results_folder
from ganlib.play import play
from ganlib.recipes import build, checkpoint_path
from ganlib.recipes.cyclegan import KINDS, PAIRED, X, Y
from ganlib.runtime import Run
from ganlib.shipped import export
from ganlib.tables.rows import read_rows, write_rows

SEEDS = (0, 1, 2, 3, 4)
SHIPPED = ("cyclegan-emoji", "paired-emoji", "paired-emoji-back")
PLAN = [
    *(("cyclegan-emoji", seed) for seed in SEEDS),
    *((f"cyclegan-{kind}", 0) for kind in KINDS if kind != "emoji"),
    *((f"paired-{kind}", 0) for kind in PAIRED),
]
Map = Callable[[Tensor], Tensor]


def held_out() -> dict[str, tuple[Tensor, Tensor]]:
    """The 190 held-out emoji in [-1, 1], by direction: what is translated, and the partners."""
    x, y = (to_signed_unit(emoji(foundry, "test")) for foundry in (X, Y))
    return {"to_y": (x, y), "to_x": (y, x)}


@torch.no_grad()
def measured(maps: Mapping[str, Map], reader: EmojiReader) -> list[dict]:
    """A row for each direction that there is a map for.

    maps: pictures to pictures, by direction, "to_y" and "to_x". A row has the measures, and as
    `cycle` the mean absolute difference after a round trip that begins in that direction, where
    there are both.
    """
    device = next(reader.parameters()).device
    rows = []
    for way, (pictures, partners) in held_out().items():
        if way not in maps:
            continue
        made = maps[way](pictures.to(device)).float()
        row = {"way": way, **judge_translation(made, partners, reader)._asdict()}
        back = maps.get({"to_y": "to_x", "to_x": "to_y"}[way])
        if back is not None:
            row["cycle"] = float((back(made).float().cpu() - pictures).abs().mean())
        rows.append(row)
    return rows


def baselines() -> dict[str, dict[str, Map]]:
    """Maps of no network, by name and direction.

    copy: the picture itself. white: nothing. moments: each channel scaled and shifted so that mean
    and deviation over the domain become those of the other, which takes no pairs. affine: each
    channel scaled and shifted so that the absolute error is least over the pairs of the first half.
    """
    pairs = [to_signed_unit(emoji(foundry, "first")) for foundry in (X, Y)]
    apart = [pairs[0], to_signed_unit(emoji(Y, "second"))]
    found: dict[str, dict[str, Map]] = {name: {} for name in ("copy", "white", "moments", "affine")}
    for way, step in (("to_y", 1), ("to_x", -1)):
        found["copy"][way] = torch.clone
        found["white"][way] = torch.ones_like
        found["moments"][way] = _channelwise(_moments, *apart[::step])
        found["affine"][way] = _channelwise(least_absolute, *pairs[::step])
    return found


def _channelwise(fit: Callable[[Tensor, Tensor], tuple[float, float]], x: Tensor, y: Tensor) -> Map:
    """The map that scales and shifts each channel as `fit` says, and keeps to [-1, 1]."""
    fits = [fit(a.flatten(), b.flatten()) for a, b in zip(x.unbind(1), y.unbind(1), strict=True)]
    scale, shift = (torch.tensor(side).view(-1, 1, 1) for side in zip(*fits, strict=True))
    return lambda images: (scale.to(images) * images + shift.to(images)).clamp(-1, 1)


def _moments(x: Tensor, y: Tensor) -> tuple[float, float]:
    scale = float(y.std() / x.std())
    return scale, float(y.mean()) - scale * float(x.mean())


def least_absolute(x: Tensor, y: Tensor, steps: int = 20) -> tuple[float, float]:
    """The a and b of the least mean distance of a x + b from y, by reweighted least squares.

    x, y: numbers, (count,). Each step fits the squares, divided by the errors of the step before
    (Schlossmacher, 1973).
    """
    x, y = x.double(), y.double()
    columns = torch.stack([x, torch.ones_like(x)], 1)
    weight = torch.ones_like(x)
    for _ in range(steps):
        weighted = columns * weight[:, None]
        line = torch.linalg.solve(weighted.T @ columns, weighted.T @ y)
        weight = 1 / (columns @ line - y).abs().clamp(min=1e-3)
    return float(line[0]), float(line[1])


def table() -> list[dict]:
    """The rows; none if it was never made."""
    return read_rows(_file())


def _file() -> Path:
    return results_folder() / "translation.json"


def _maps(name: str, networks: Mapping[str, nn.Module]) -> dict[str, Map]:
    """The trained translators by direction; a game of pairs calls its only one `to_y`."""
    return {"to_x": networks["to_y"]} if name.endswith("-back") else dict(networks)


def rows_of(name: str, run: Run) -> list[dict]:
    """Play one recipe to its end, or on from where it was stopped: its rows."""
    torch.manual_seed(run.seed)
    recipe = build(name, run)
    path = checkpoint_path(recipe, run)
    outcome = play(recipe, run, checkpoint=path, save_every=EVERY_MINUTE)
    rows = measured(_maps(name, outcome.averages), emoji_reader(run.device))
    made = {
        "seed": run.seed,
        "rounds": recipe.rounds,
        "seconds": round(outcome.seconds, 1),
        "made": runtime.describe(run),
    }
    if run.seed == 0 and name in SHIPPED:
        export(name, outcome.averages, run, outcome.rounds, outcome.seconds)
    path.unlink()
    return [{"recipe": name, **row, **made} for row in rows]


def main() -> None:
    """Parse the command line, and play every run that the table lacks."""
    parser = argparse.ArgumentParser(
        prog="python -m ganlib.tables.translation", description=__doc__
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="default: all")
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    options = parser.parse_args()
    unknown = sorted(set(options.recipes) - {name for name, _ in PLAN})
    if unknown:
        names = dict.fromkeys(name for name, _ in PLAN)
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(names)}")
    step_back()
    maps = baselines()
    kept = [row for row in table() if row["recipe"] not in maps]
    reader = emoji_reader()
    first = [{"recipe": n, **row} for n, both in maps.items() for row in measured(both, reader)]
    write_rows(_file(), [*first, *kept])
    for name, seed in PLAN:
        done = {(row["recipe"], row.get("seed")) for row in table()}
        if (options.recipes and name not in options.recipes) or (name, seed) in done:
            continue
        rows = rows_of(name, runtime.start("paper", options.device, seed))
        write_rows(_file(), [*table(), *rows])
        print(f"{name}, seed {seed}: {rows}", flush=True)


if __name__ == "__main__":
    main()
