"""Train what the book ships in the background, and ship what came out better.

`python -m ganlib.paper [RECIPE ...]` trains every shipped network at its `paper` size, one after
the other, at the lowest priority of the machine. It saves once a minute and resumes where it was
stopped. A chain whose state is gone goes on from the weights that are shipped: each further call is
a further cycle of the learning rate (Loshchilov and Hutter, 2017). What better means is the
recipe's own `Measure`, on held-out training data. On a machine without a GPU, a cycle takes one or
two hours of one core.
"""

import argparse
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import nn

from ganlib import runtime
from ganlib.play import Recipe, play
from ganlib.recipes import RECIPES, build, checkpoint_path
from ganlib.runtime import Run
from ganlib.shipped import export, how_to_build, shipped, trained_network
from ganlib.state import State

EVERY_MINUTE = timedelta(minutes=1)
# What is kept of how the weights were made that a training went on from.
KEPT = ("commit", "rounds", "seconds", "held out", "went on from")


def train(name: str, run: Run) -> bool:
    """Train a recipe to the end of its rounds; ship what came out if it is better than what is.

    Returns whether it is. The state of the run is removed at the end, so that the next call begins
    the next cycle. Raises ValueError for a recipe that has no measure, and what `play` raises.
    """
    recipe = _measured(name, run)
    path = checkpoint_path(recipe, run)
    before = _shipped(recipe)
    goes_on = _goes_on(recipe, before)
    if goes_on and not path.exists():
        for player, (network, _) in before.items():
            recipe.game.players[player].load_state_dict(network.state_dict())
        print(f"{name}: goes on from the weights that are shipped")
    if not path.exists():
        _beginning(path).parent.mkdir(parents=True, exist_ok=True)
        _beginning(path).write_text(json.dumps(_kept(before) if goes_on else {}), encoding="utf-8")
    began = _began(recipe, path, before)
    outcome = play(recipe, run, checkpoint=path, save_every=EVERY_MINUTE)
    better = _ship(recipe, run, outcome.averages, outcome.rounds, outcome.seconds, began)
    path.unlink()
    _beginning(path).unlink(missing_ok=True)
    return better


def export_now(name: str, run: Run) -> bool:
    """Ship the averaged weights of a run that is not finished, if they are better than what is.

    The run may go on meanwhile. Returns whether they are. Raises ValueError for a recipe that has
    no measure, CheckpointError where there is no run or it cannot be read.
    """
    recipe = _measured(name, run)
    state, path = State(recipe, run), checkpoint_path(recipe, run)
    state.load(path)
    began = _began(recipe, path, _shipped(recipe))
    return _ship(recipe, run, state.averages.networks, state.round, state.seconds, began)


def _measured(name: str, run: Run) -> Recipe:
    recipe = build(name, run)
    if recipe.measure is None:
        raise ValueError(f"{name} has no measure of what is better: expected one that has")
    return recipe


def _shipped(recipe: Recipe) -> dict[str, tuple[nn.Module, dict[str, Any]]]:
    """The averaged players as the book ships them, each with how it was made; none if one lacks."""
    if any(recipe.name not in shipped(player) for player in recipe.averages):
        return {}
    return {player: trained_network(recipe.name, player) for player in recipe.averages}


def _goes_on(recipe: Recipe, before: Mapping[str, tuple[nn.Module, Any]]) -> bool:
    """Whether all that the recipe moves is shipped, at the very sizes that it has now."""
    return before.keys() == set(recipe.movers) and all(
        how_to_build(network) == how_to_build(recipe.game.players[player])
        for player, (network, _) in before.items()
    )


def _beginning(path: Path) -> Path:
    """Where a run says what it went on from: what is shipped may be its own by the time it ends."""
    return path.with_suffix(".began.json")


def _began(recipe: Recipe, path: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    """How the weights were made that a run went on from; nothing if it began afresh."""
    if _beginning(path).exists():
        return json.loads(_beginning(path).read_text(encoding="utf-8"))
    # A run that began before this was written down.
    return _kept(before) if _goes_on(recipe, before) else {}


def _kept(before: Mapping[str, tuple[nn.Module, dict[str, Any]]]) -> dict[str, Any]:
    (_, made), *_ = before.values()
    return {name: made[name] for name in KEPT if name in made}


def _ship(
    recipe: Recipe,
    run: Run,
    averages: Mapping[str, nn.Module],
    rounds: int,
    seconds: float,
    began: Mapping[str, Any],
) -> bool:
    """Export the averages if they are better than what is shipped now; say which is."""
    before, measure = _shipped(recipe), recipe.measure
    found = measure.of(averages)
    words = f"{recipe.name}: {found:.3f} ({measure.quantity})"
    if before:
        for network, _ in before.values():
            run.place(network)
        try:
            rival = measure.of({player: network for player, (network, _) in before.items()})
            words += f", shipped {rival:.3f}"
        except ValueError as error:
            # The recipe has changed, and what is shipped takes other inputs.
            rival = math.inf
            words += f", shipped does not fit the recipe any more ({error})"
        if not found < rival:
            print(f"{words}: not better, nothing changes")
            return False
    facts: dict[str, object] = {"held out": {"quantity": measure.quantity, "value": found}}
    if began:
        facts["went on from"] = began
    export(recipe.name, averages, run, rounds, seconds, **facts)
    print(f"{words}: shipped")
    return True


def step_back() -> None:
    """Take the lowest priority, so that whatever else the machine does goes first."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(19)
    # Linux shares a processor among sessions before it looks at the processes of one.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def main() -> None:
    """Parse the command line and train one recipe after the other."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.paper", description=__doc__)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="default: all with a measure")
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--export-now", action="store_true", help="train nothing; compare what a run has reached"
    )
    options = parser.parse_args()
    unknown = sorted(set(options.recipes) - RECIPES.keys())
    if unknown:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(RECIPES)}")
    step_back()
    run = runtime.start("paper", options.device, options.seed)
    names = options.recipes or [name for name in RECIPES if build(name, run).measure is not None]
    for name in names:
        if options.export_now:
            export_now(name, run)
        else:
            train(name, run)


if __name__ == "__main__":
    main()
