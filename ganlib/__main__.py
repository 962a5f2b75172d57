"""Train one recipe from a shell, alone or under torchrun, and resume it where it stopped."""

import argparse
import json
import subprocess
from datetime import date
from pathlib import Path

from torch import nn

from ganlib import checkpoints, runtime
from ganlib.datasets import data_folder
from ganlib.play import Outcome, play
from ganlib.recipes import RECIPES, build, checkpoint_path
from ganlib.state import Recipe


def main() -> None:
    """Parse the command line, play, and export what was trained when asked to."""
    parser = argparse.ArgumentParser(prog="python -m ganlib", description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--preset", choices=runtime.PRESETS, default="paper")
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=500, metavar="ROUNDS")
    parser.add_argument(
        "--checkpoint", type=Path, help="default: runs/RECIPE-PRESET-SEED.safetensors"
    )
    parser.add_argument(
        "--export",
        action="store_true",
        help="write the averaged weights and their provenance under data/",
    )
    options = parser.parse_args()
    run = runtime.start(options.preset, options.device, options.seed)
    recipe = build(options.recipe, run)
    checkpoint = options.checkpoint or checkpoint_path(recipe, run)
    outcome = play(recipe, run, checkpoint=checkpoint, save_every=options.save_every)
    if options.export and run.rank == 0:
        _export(recipe, outcome, run)


def _export(recipe: Recipe, outcome: Outcome, run: runtime.Run) -> None:
    provenance = {
        "recipe": recipe.name,
        "preset": run.preset,
        "seed": run.seed,
        "rounds": outcome.rounds,
        "seconds of the last call": round(outcome.seconds),
        "commit": _commit(),
        "date": date.today().isoformat(),
        **runtime.describe(run),
    }
    name = f"{recipe.name}-{run.preset}"
    for player, network in outcome.averages.items():
        path = data_folder() / "checkpoints" / f"{name}-{player}.safetensors"
        checkpoints.export(path, network, {**provenance, **_network(network)})
    path = data_folder() / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def _network(network: nn.Module) -> dict[str, object]:
    """What is needed to build a network that says so, before its weights are loaded."""
    settings = getattr(network, "settings", None)
    if settings is None:
        return {}
    return {"network": {"class": type(network).__name__, "settings": settings}}


def _commit() -> str:
    """The commit of the working tree, with a mark when the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
