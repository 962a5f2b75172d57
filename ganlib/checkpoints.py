"""Files of tensors: a run's whole state, to resume from, and trained weights, to ship.

Only safetensors, never pickles. A file is written beside its place and then moved there, so a
process killed at any moment leaves either the old file or the new one.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or belongs to another model or recipe."""


def write(path: Path | str, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Write named tensors and JSON-able facts to `path`, atomically and through to the disk."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {name: json.dumps(fact) for name, fact in facts.items()},
    )
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The tensors (on the CPU) and facts that `write` put in `path`.

    Raises CheckpointError for a file that is missing, damaged or not of this kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            facts = {name: json.loads(fact) for name, fact in (file.metadata() or {}).items()}
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: expected a safetensors file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: expected a safetensors file written by ganlib ({error})"
        ) from None
    return tensors, facts


def export(path: Path | str, network: nn.Module, provenance: Mapping[str, object]) -> None:
    """Write a trained network's weights with how they were made, to be committed."""
    write(path, network.state_dict(), {"provenance": dict(provenance)})


def restore(path: Path | str, network: nn.Module) -> dict[str, object]:
    """Load exported weights into `network` and return their provenance.

    Raises CheckpointError, and leaves the network as it was, when names or shapes do not match.
    """
    tensors, facts = read(path)
    fit(path, tensors, network.state_dict(), "network")
    network.load_state_dict(tensors)
    return facts.get("provenance", {})


def fit(
    path: Path | str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str
) -> None:
    """Raise CheckpointError unless `found` has just the names and shapes of `expected`."""
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    for name in sorted(shapes.keys() | wanted.keys()):
        if shapes.get(name) != wanted.get(name):
            raise CheckpointError(
                f"{path} belongs to another {what}: {name} was expected to be "
                f"{_shape(wanted, name)} and is {_shape(shapes, name)}"
            )


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return f"of shape {shapes[name]}" if name in shapes else "absent"
