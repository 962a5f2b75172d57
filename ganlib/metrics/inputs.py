"""What every metric asks of its input, said once."""

import torch
from torch import Tensor


def feature_matrix(features: Tensor, name: str, at_least: int = 2) -> Tensor:
    """Features as float64 (count, dimensions); ValueError unless they are that, finite and enough.

    name: what the error calls them. at_least: the fewest examples that will do.
    """
    features = torch.as_tensor(features)
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"{name} of shape {tuple(features.shape)}: expected (count, dimensions)")
    if len(features) < at_least:
        raise ValueError(f"{name}: {len(features)} examples, expected {at_least} or more")
    features = features.detach().double()
    if not torch.isfinite(features).all():
        row = int((~torch.isfinite(features)).any(1).nonzero()[0])
        raise ValueError(f"{name}: row {row} has a value that is not finite")
    return features


def feature_pair(a: Tensor, b: Tensor, names: tuple[str, str], at_least: int = 2) -> list[Tensor]:
    """Two feature matrices; ValueError as for `feature_matrix`, or where dimensions differ."""
    pair = [feature_matrix(f, name, at_least) for f, name in zip((a, b), names, strict=True)]
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(
            f"{names[0]} have {pair[0].shape[1]} dimensions and {names[1]} {pair[1].shape[1]}: "
            "expected as many"
        )
    return pair
