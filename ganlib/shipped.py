"""Trained networks: which there are, loading one, exporting one.

A file says how to build its network, so it stays readable whatever the recipe has become.
"""

import json
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from ganlib import checkpoints, nets, runtime
from ganlib.chains import Chain, GatedPixelCNN, LMConv, PixelCNN
from ganlib.checkpoints import CheckpointError
from ganlib.paths import checkpoints_folder, results_folder
from ganlib.runtime import Run

NETWORKS: dict[str, type[nn.Module]] = {
    network.__name__: network
    for network in (
        GatedPixelCNN,
        LMConv,
        PixelCNN,
        nets.ConvolutionalAutoencoder,
        nets.DCGANDiscriminator,
        nets.DCGANGenerator,
        nets.DCGANTrunk,
        nets.DenseAutoencoder,
        nets.DenseCritic,
        nets.DenseEncoder,
        nets.DenseGenerator,
        nets.DigitClassifier,
        nets.EmojiReader,
        nets.Logit,
        nets.Perceptron,
        nets.RecurrentGenerator,
        nets.ResidualDiscriminator,
        nets.ResidualGenerator,
        nets.SmallDiscriminator,
        nets.SmallGenerator,
        nets.Translator,
    )
}


class Training(NamedTuple):
    """What a shipped network took, over all cycles of the learning rate that it went through."""

    cycles: int
    rounds: int
    seconds: int


def trained_network(name: str, player: str) -> tuple[nn.Module, dict[str, object]]:
    """A player of the recipe of that name as the book ships it, and how it was made.

    Its class and sizes are in the file, so it is the same network whatever the recipe has become.
    Returns it in eval mode on the CPU, with its provenance. Raises CheckpointError for a file that
    is missing, damaged or of another model.
    """
    path = _path(name, player)
    _, facts = checkpoints.read(path)
    network = facts.get("provenance", {}).get("network", {})
    if network.get("class") not in NETWORKS:
        raise CheckpointError(
            f"{path} does not say how to build its network: its class is "
            f"{network.get('class')!r}, expected one of {', '.join(NETWORKS)}"
        )
    try:
        built = NETWORKS[network["class"]](**network["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not say how to build its {network['class']}: expected all of its "
            f"settings ({error})"
        ) from None
    provenance = checkpoints.restore(path, built)
    return built.eval().requires_grad_(False), provenance


def trained_chain(name: str) -> tuple[Chain, dict[str, object]]:
    """The chain that the book ships, trained by the recipe of that name, and how it was made.

    As `trained_network`; CheckpointError too for a file that holds another kind of network.
    """
    chain, provenance = trained_network(name, "chain")
    if not isinstance(chain, Chain):
        raise CheckpointError(f"{name}-paper-chain holds a {type(chain).__name__}, not a chain")
    return chain, provenance


def training(made: Mapping[str, Any]) -> Training:
    """The cycles that led to a network, and their rounds and seconds in sum.

    made: how it was made, with its "rounds" and "seconds"; "went on from" says the same of the
    weights that the last cycle began with, and so on to the first one.
    """
    before = training(made["went on from"]) if "went on from" in made else Training(0, 0, 0)
    return Training(
        before.cycles + 1, before.rounds + made["rounds"], before.seconds + made["seconds"]
    )


def shipped(player: str) -> list[str]:
    """The recipes of which the book ships this trained player, by name, in alphabetical order."""
    ending = f"-paper-{player}"
    paths = checkpoints_folder().glob(f"*{ending}.safetensors")
    return sorted(path.stem.removesuffix(ending) for path in paths)


def export(
    recipe: str,
    networks: Mapping[str, nn.Module],
    run: Run,
    rounds: int,
    seconds: float,
    **more: object,
) -> None:
    """Write trained networks, by player, to be committed, and how they were made beside results.

    recipe: its name. rounds, seconds: what the training took, resumes included. more: what else
    is to be known of it, by name: numbers, texts and tables of them.
    """
    provenance = {
        "recipe": recipe,
        "preset": run.preset,
        "seed": run.seed,
        "rounds": rounds,
        "seconds": round(seconds),
        "commit": _commit(),
        "date": date.today().isoformat(),
        **runtime.describe(run),
        **more,
    }
    for player, network in networks.items():
        facts = {**provenance, **how_to_build(network)}
        checkpoints.export(_path(recipe, player, run.preset), network, facts)
    path = results_folder() / f"{recipe}-{run.preset}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def how_to_build(network: nn.Module) -> dict[str, object]:
    """What is needed to build a network that says so, before its weights are loaded."""
    settings = getattr(network, "settings", None)
    if settings is None:
        return {}
    return {"network": {"class": type(network).__name__, "settings": settings}}


def _path(name: str, player: str, preset: str = "paper") -> Path:
    return checkpoints_folder() / f"{name}-{preset}-{player}.safetensors"


def _commit() -> str:
    """The commit of the working tree, with a mark when the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
