"""Train one recipe from a shell, alone or under torchrun, and resume it where it stopped."""

import argparse
from pathlib import Path

import torch

from ganlib import runtime
from ganlib.play import play
from ganlib.recipes import RECIPES, build, checkpoint_path
from ganlib.shipped import export


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
    if run.world > 1:
        torch.distributed.destroy_process_group()
    if options.export and run.rank == 0:
        export(recipe.name, outcome.averages, run, outcome.rounds, outcome.seconds)


if __name__ == "__main__":
    main()
