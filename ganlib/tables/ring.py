"""Train on the ring of Gaussians, with several steps foreseen and from several seeds, and count.

`python -m ganlib.tables.ring` plays the recipes `ring-0` to `ring-10` at `paper`, one after the
other, at the lowest priority and resumable, and writes `data/results/ring.json`: for every run, by
round, how many modes it covers, what share of its samples is good, and the divergence of its
proportions; and what seed 0 draws at the moments that Metz et al. (2017, figure 2) show. All of it
takes two or three hours of one core.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganlib import runtime
from ganlib.datasets import gaussian_ring
from ganlib.metrics import mixture_modes, mode_statistics
from ganlib.paper import EVERY_MINUTE, step_back
from ganlib.paths import results_folder
from ganlib.play import Recipe, play
from ganlib.recipes import build, checkpoint_path
from ganlib.runtime import Run

STEPS = (0, 1, 5, 10)
SEEDS = (0, 1, 2, 3, 4)
# What is counted at a moment; of seed 0 so many are kept, for a picture.
SAMPLES = 2_500
SHOWN = 400
# Moments at which a run is counted, after its start; at every second one its samples are kept.
MOMENTS = 10


def counted(samples: Tensor) -> dict[str, float]:
    """Covered modes of the ring, share of good samples, and KL of the proportions, in nats."""
    ring = gaussian_ring()
    modes, good = mixture_modes(samples, ring)
    found = mode_statistics(modes, ring.mixture_distribution.probs, good)
    return {
        "covered": float(found.covered),
        "good": found.high_quality,
        "divergence": found.divergence,
    }


def measured(steps: int, run: Run) -> dict:
    """Play one run to its end, or on from where it was stopped: its row of the table."""
    recipe = build(f"ring-{steps}", run)
    path, every = checkpoint_path(recipe, run), max(1, recipe.rounds // MOMENTS)

    @torch.no_grad()
    def look(done: int, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        # Of a run's own noise, so that a run that was stopped counts the same samples.
        torch.manual_seed(runtime.mixed_seed(run.seed, done))
        samples = networks["generator"](recipe.game.noise(SAMPLES)).cpu()
        if run.seed == 0 and done % (2 * every) == 0:
            save_file({"samples": samples[:SHOWN].contiguous()}, _kept(path, done))
        return counted(samples)

    outcome = play(
        recipe, run, checkpoint=path, save_every=EVERY_MINUTE, observe=look, observe_every=every
    )
    row = {
        "steps": steps,
        "seed": run.seed,
        "rounds": recipe.rounds,
        "seconds": round(outcome.seconds, 1),
        "made": runtime.describe(run),
    }
    row |= {name: series.tolist() for name, series in outcome.observed.items()}
    if run.seed == 0:
        row["samples"] = _samples(recipe, path, every)
    path.unlink()
    return row


def _kept(path: Path, done: int) -> Path:
    return path.with_name(f"{path.stem}-{done}.safetensors")


def _samples(recipe: Recipe, path: Path, every: int) -> dict[str, list]:
    """By round, what was kept, to two decimals: half the width of a dot in a picture."""
    kept = {}
    for done in range(0, recipe.rounds + 1, 2 * every):
        file = _kept(path, done)
        if file.exists():
            samples = load_file(file)["samples"].double()
            kept[str(done)] = (samples * 100).round().div(100).tolist()
            file.unlink()
    return kept


def _table() -> list[dict]:
    path = results_folder() / "ring.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _write(row: dict) -> None:
    """Add a row to the table, a line each."""
    rows = sorted([*_table(), row], key=lambda each: (each["steps"], each["seed"]))
    lines = ",\n".join(json.dumps(each) for each in rows)
    (results_folder() / "ring.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    """Parse the command line, and play every run that the table lacks."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.tables.ring", description=__doc__)
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--preset", choices=runtime.PRESETS, default="paper")
    parser.add_argument("--steps", type=int, nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    step_back()
    known = {(row["steps"], row["seed"]) for row in _table()}
    for seed in options.seeds:
        for steps in options.steps:
            if options.preset == "paper" and (steps, seed) in known:
                continue
            run = runtime.start(options.preset, options.device, seed)
            row = measured(steps, run)
            _, covered = row["covered"][-1]
            print(f"{steps} steps, seed {seed}: {covered:.0f} of 8 modes, {row['good'][-1][1]:.0%}")
            if options.preset == "paper":
                _write(row)


if __name__ == "__main__":
    main()
