"""What a run was made of, as short text: runs that differ in it must not continue each other."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """A hash of named tensors (names, dtypes, shapes and values) and of named texts."""
    summary = hashlib.blake2b(digest_size=16)
    summary.update(json.dumps(sorted((facts or {}).items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        summary.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.device.type != "meta":
            values = tensor.cpu().contiguous().reshape(-1)
            summary.update(values.view(torch.uint8).numpy())
    return summary.hexdigest()


def described(value: Any) -> Any:
    """A setting as JSON can hold it: numbers and texts as they are, tensors by their digest.

    Networks are left out (None): a run describes its players itself. Functions go by their name,
    and objects by their class.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return digest({"": value})
    if isinstance(value, nn.Module):
        return None
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if isinstance(value, (torch.dtype, torch.device)):
        return str(value)
    return getattr(value, "__qualname__", type(value).__qualname__)
