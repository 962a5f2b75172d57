"""Files of tensors: a run's whole state, to resume from, and trained weights, to ship.

Only safetensors, never pickles. A file is written beside its place and then moved there, so a
process killed at any moment leaves either the old file or the new one; and it carries a digest of
all that it holds, so that a damaged one is never taken for whole.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ganlib.identity import digest

try:
    import fcntl
except ImportError:  # Windows: two processes with one path are not told apart there
    fcntl = None


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written, or belongs to another model or recipe."""


def write(path: Path | str, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Write named tensors and JSON-able facts to `path`, atomically and through to the disk.

    Raises CheckpointError that says what stands in the way; then `path` is as it was.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    texts = {name: json.dumps(fact) for name, fact in facts.items()}
    content = save(tensors, {**texts, "digest": digest(tensors, texts)})
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with _named_failures(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def read(path: Path | str, foreign: bool = False) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The tensors (on the CPU) and facts that `write` put in `path`.

    foreign: the file is another program's, which carries no digest.
    Raises CheckpointError for a file that is missing, damaged or not of this kind.
    """
    try:
        # Read once, so that a file replaced at this moment is the old one or the new one whole.
        content = Path(path).read_bytes()
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        texts = header.get("__metadata__", {})
        if foreign:
            return tensors, texts
        expected = texts.pop("digest", None)
        facts = {name: json.loads(text) for name, text in texts.items()}
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: expected a safetensors file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: expected a safetensors file written by ganlib ({error})"
        ) from None
    if digest(tensors, texts) != expected:
        raise CheckpointError(
            f"{path} is damaged: it has the digest {digest(tensors, texts)}, and "
            f"{expected or 'none'} was written into it"
        )
    return tensors, facts


@contextmanager
def claimed(path: Path | str) -> Iterator[None]:
    """Keep `path` to this process for a while, and clear what killed ones left beside it.

    Raises CheckpointError when another process keeps it, or nothing can be written there.
    """
    path = Path(path)
    lock = path.with_name(path.name + ".lock")
    with _named_failures(path, 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(lock)
    if file is None:
        raise CheckpointError(
            f"{path} is in use: another process trains with it. Wait for it, or give another path."
        )
    try:
        for partial in path.parent.glob(f"{path.name}.*.partial"):
            partial.unlink(missing_ok=True)
        yield
    finally:
        if fcntl is None:
            file.close()  # Windows removes no open file
        lock.unlink(missing_ok=True)
        file.close()


def _locked(lock: Path) -> object | None:
    """The lock file, open and locked; None where another process has it."""
    while True:
        file = open(lock, "w")  # noqa: SIM115
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        # The one who held it may have removed the very file that was opened here.
        if lock.exists() and os.fstat(file.fileno()).st_ino == lock.stat().st_ino:
            return file
        file.close()


@contextmanager
def _named_failures(path: Path, size: int) -> Iterator[None]:
    reasons = {
        **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "the disk is full"),
        **dict.fromkeys((errno.EACCES, errno.EPERM), "there is no permission to write there"),
        errno.EROFS: "the disk can only be read",
        **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a folder on its way is a file"),
        errno.EISDIR: "it is a folder",
    }
    try:
        yield
    except OSError as error:
        reason = reasons.get(error.errno, error.strerror or str(error))
        raise CheckpointError(
            f"{path} cannot be written ({size / 1e6:.1f} MB): {reason}. What was there is kept."
        ) from error


def export(path: Path | str, network: nn.Module, provenance: Mapping[str, object]) -> None:
    """Write a trained network's weights with how they were made, to be committed."""
    write(path, network.state_dict(), {"provenance": dict(provenance)})


def restore(path: Path | str, network: nn.Module) -> dict[str, object]:
    """Load exported weights into `network` and return their provenance.

    Raises CheckpointError, and leaves the network as it was, when names, shapes or dtypes do not
    match, or a weight is not finite.
    """
    tensors, facts = read(path)
    fit(path, tensors, network.state_dict(), "network")
    network.load_state_dict(tensors)
    return facts.get("provenance", {})


def fit(
    path: Path | str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str
) -> None:
    """Raise CheckpointError unless `found` is finite and has all names and kinds of `expected`."""
    kinds = {name: _kind(tensor) for name, tensor in found.items()}
    wanted = {name: _kind(tensor) for name, tensor in expected.items()}
    for name in sorted(kinds.keys() | wanted.keys()):
        if kinds.get(name) != wanted.get(name):
            raise CheckpointError(
                f"{path} belongs to another {what}: {name} was expected to be "
                f"{wanted.get(name, 'absent')} and is {kinds.get(name, 'absent')}"
            )
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} cannot be used: {name} has a value that is not finite")


def _kind(tensor: Tensor) -> str:
    return f"of shape {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')}"
