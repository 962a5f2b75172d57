"""Train with several steps foreseen and from several seeds, and count modes on the way.

`python -m ganlib.tables.unrolled ring` plays the recipes `ring-0` to `ring-10` at `paper`, one
after the other, at the lowest priority and resumable, and writes `data/results/ring.json`: for
every run, by round, how many modes it covers, what share of its samples is good, and the divergence
of its proportions from the true ones. What seed 0 draws at some moments goes to
`data/results/ring.safetensors`, for pictures. The other experiments are `stacked-quarter` and
`stacked-half`, the 1,000 modes of stacked digits, and `recurrent`, whose modes are the ten digits.
The ring takes two or three hours of one core, and so do the three others together.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganlib import runtime
from ganlib.datasets import gaussian_ring, mnist
from ganlib.metrics import mixture_modes, mode_statistics, stacked_modes, stacked_weights
from ganlib.metrics.modes import ModeStatistics
from ganlib.paper import EVERY_MINUTE, step_back
from ganlib.paths import results_folder
from ganlib.play import play
from ganlib.recipes import build, checkpoint_path
from ganlib.recipes.unrolled import STEPS
from ganlib.runtime import Run
from ganlib.shipped import trained_network
from ganlib.tables.rows import read_rows, write_rows

BATCH = 500


@dataclass(frozen=True)
class Experiment:
    """Runs of one family of recipes, and how their draws are counted.

    steps, seeds: which runs there are. counted: how many draws are counted at a moment; shown: how
    many of them are kept, of seed 0. looks: at how many moments after the start a run is looked at;
    every `keeps`-th time its draws are kept. modes: the mode of each draw, whether it is a good
    one, and the true weights of the modes. kept: a draw as it is kept.
    """

    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    counted: int
    shown: int
    looks: int
    keeps: int
    modes: Callable[[Tensor], tuple[Tensor, Tensor | None, Tensor]]
    kept: Callable[[Tensor], Tensor]


def _of_the_ring(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    ring = gaussian_ring()
    return *mixture_modes(samples, ring), ring.mixture_distribution.probs


def _of_stacked_digits(images: Tensor) -> tuple[Tensor, None, Tensor]:
    modes = [stacked_modes(batch, _classifier()) for batch in images.split(BATCH)]
    return torch.cat(modes), None, stacked_weights(mnist("train")[1])


def _of_digits(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The digits that the book's classifier reads; a good one is read with 90% or more."""
    answers = torch.cat([_classifier()(batch).softmax(1) for batch in images.split(BATCH)])
    labels = mnist("train")[1]
    return answers.argmax(1), answers.amax(1) >= 0.9, labels.bincount().double() / len(labels)


@cache
def _classifier() -> nn.Module:
    return trained_network("digits", "classifier")[0]


def _to_the_hundredth(samples: Tensor) -> Tensor:
    return samples.round(decimals=2)


def _as_bytes(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round().to(torch.uint8)


def _of_stacks() -> Experiment:
    return Experiment(STEPS, (0,), 25_600, 32, 4, 1, _of_stacked_digits, _as_bytes)


EXPERIMENTS = {
    "ring": Experiment(STEPS, (0, 1, 2, 3, 4), 2_500, 400, 10, 2, _of_the_ring, _to_the_hundredth),
    "stacked-quarter": _of_stacks(),
    "stacked-half": _of_stacks(),
    "recurrent": Experiment((0, 20), (0,), 5_000, 32, 8, 1, _of_digits, _as_bytes),
}


def counted(experiment: Experiment, samples: Tensor) -> ModeStatistics:
    """Covered modes, share of good samples, and KL of the proportions, in nats."""
    modes, good, weights = experiment.modes(samples)
    return mode_statistics(modes, weights, good)


def measured(name: str, steps: int, run: Run) -> tuple[dict, dict[str, Tensor]]:
    """Play one run to its end, or on from where it was stopped: its row, and what it drew.

    What it drew, by steps and round ("10-2500"), is there for seed 0 only.
    """
    experiment, recipe = EXPERIMENTS[name], build(f"{name}-{steps}", run)
    path, every = checkpoint_path(recipe, run), max(1, recipe.rounds // experiment.looks)

    @torch.no_grad()
    def look(done: int, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        # Of a run's own noise, so that a run that was stopped counts the same samples.
        torch.manual_seed(runtime.mixed_seed(run.seed, done))
        noise = recipe.game.noise(experiment.counted).split(BATCH)
        samples = torch.cat([networks["generator"](z).float().cpu() for z in noise])
        if run.seed == 0 and done % (experiment.keeps * every) == 0:
            shown = experiment.kept(samples[: experiment.shown]).contiguous()
            save_file({f"{steps}-{done}": shown}, _kept(path, done))
        found = counted(experiment, samples)
        return {
            "covered": float(found.covered),
            "good": found.high_quality,
            "divergence": found.divergence,
        }

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
    pictures: dict[str, Tensor] = {}
    for done in range(0, recipe.rounds + 1, experiment.keeps * every):
        if (file := _kept(path, done)).exists():
            pictures |= load_file(file)
            file.unlink()
    path.unlink()
    return row, pictures


def _kept(path: Path, done: int) -> Path:
    return path.with_name(f"{path.stem}-{done}.safetensors")


def table(name: str) -> list[dict]:
    """The rows of an experiment, a run each; none if it was never played."""
    return read_rows(_file(name))


def drawn(name: str) -> dict[str, Tensor]:
    """What seed 0 of an experiment drew, by steps and round ("10-2500"): points, or images."""
    path = _file(name).with_suffix(".safetensors")
    return load_file(path) if path.exists() else {}


def _file(name: str) -> Path:
    return results_folder() / f"{name}.json"


def _write(name: str, row: dict, more: dict[str, Tensor]) -> None:
    """Add a row to the table, a line each, and what was drawn."""
    rows = sorted([*table(name), row], key=lambda each: (each["steps"], each["seed"]))
    if more:
        save_file(drawn(name) | more, _file(name).with_suffix(".safetensors"))
    write_rows(_file(name), rows)


def main() -> None:
    """Parse the command line, and play every run that the tables lack."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.tables.unrolled", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--steps", type=int, nargs="+", help="default: all that it has")
    options = parser.parse_args()
    unknown = sorted(set(options.experiments) - EXPERIMENTS.keys())
    if unknown:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(EXPERIMENTS)}")
    step_back()
    for name in options.experiments or EXPERIMENTS:
        experiment = EXPERIMENTS[name]
        for seed in experiment.seeds:
            for steps in experiment.steps:
                known = {(row["steps"], row["seed"]) for row in table(name)}
                if (steps, seed) in known or steps not in (options.steps or experiment.steps):
                    continue
                run = runtime.start("paper", options.device, seed)
                row, more = measured(name, steps, run)
                _write(name, row, more)
                found = f"{row['covered'][-1][1]:,.0f} modes, {row['good'][-1][1]:.0%} good"
                print(f"{name}, {steps} steps, seed {seed}: {found}")


if __name__ == "__main__":
    main()
