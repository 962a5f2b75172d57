"""What every metric asks of its input, said once."""

from typing import Any

import numpy
import torch
from torch import Tensor

# For these torch lacks most operations.
WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


def numbers(values: Any, name: str) -> Tensor:
    """A tensor, array or (nested) list as a tensor of real numbers, its graph kept.

    Lists of floats become float64, as arrays of them are. name: what errors call them. Raises
    TypeError for anything else.
    """
    if not isinstance(values, Tensor):
        try:
            # A copy where an array is read-only or runs backwards, which torch cannot share.
            values = torch.from_numpy(numpy.require(values, requirements=["C", "W"]))
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise TypeError(
                f"{name}: {type(values).__name__}, expected a tensor, an array or lists of numbers "
                f"({error})"
            ) from None
    if values.is_complex() or values.layout != torch.strided:
        raise TypeError(f"{name}: {values.dtype}, {values.layout}: expected real numbers, strided")
    return values.long() if values.dtype in WIDE_UNSIGNED else values


def whole_numbers(values: Any, name: str) -> Tensor:
    """As int64 (count,); ValueError unless they are one or more whole numbers."""
    found = numbers(values, name)
    if found.ndim != 1 or not len(found) or found.is_floating_point() or found.dtype == torch.bool:
        raise ValueError(
            f"{name}: {found.dtype} of shape {tuple(found.shape)}, expected whole numbers (count,)"
        )
    return found.long()


def check_finite(examples: Tensor, name: str) -> None:
    """Raise ValueError, with the first row that has one, where a value is NaN or infinite."""
    # Their ends are finite only if all are, and take no memory to find.
    if examples.numel() and not torch.isfinite(torch.stack(examples.detach().aminmax())).all():
        row = int((~torch.isfinite(examples)).reshape(len(examples), -1).any(1).nonzero()[0])
        raise ValueError(f"{name}: row {row} has a value that is not finite")


def feature_matrix(features: Any, name: str, at_least: int = 2) -> Tensor:
    """Features as float64 (count, dimensions), without a graph.

    name: what errors call them. at_least: the fewest examples that will do. Raises TypeError as
    `numbers` does; ValueError for another shape, too few, or what is not finite.
    """
    features = numbers(features, name)
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"{name} of shape {tuple(features.shape)}: expected (count, dimensions)")
    if len(features) < at_least:
        raise ValueError(f"{name}: {len(features)} examples, expected {at_least} or more")
    features = features.detach().double()
    check_finite(features, name)
    return features


def feature_pair(a: Any, b: Any, names: tuple[str, str], at_least: int = 2) -> list[Tensor]:
    """Two feature matrices on the device of the first.

    Raises as `feature_matrix` does, and ValueError where dimensions differ.
    """
    pair = [feature_matrix(f, name, at_least) for f, name in zip((a, b), names, strict=True)]
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(
            f"{names[0]} have {pair[0].shape[1]} dimensions and {names[1]} {pair[1].shape[1]}: "
            "expected as many"
        )
    return [pair[0], pair[1].to(pair[0].device)]


def factor_to_one(largest: Tensor) -> Tensor:
    """The power of two that brings each size to about 1; and 1 where its square is at ease anyway.

    largest: sizes, not negative, of any shape. Multiplying by it is exact, unless a number that is
    smaller than the largest beyond all measure is lost.
    """
    # A quarter of the exponents: squares, and what is far smaller, stay within the range.
    most = torch.finfo(largest.dtype).max ** 0.25
    # The factor is a number of its own, whose range ends where the type's does.
    held = largest.clamp(torch.finfo(largest.dtype).tiny * 4, torch.finfo(largest.dtype).max / 4)
    at_ease = (largest == 0) | ((largest >= 1 / most) & (largest <= most))
    return torch.where(at_ease, 1.0, torch.frexp(held).mantissa / held)


def scaled_to_one(*sets: Tensor) -> tuple[list[Tensor], float]:
    """Sets of numbers of extreme size times one power of two, and that power; else as they are.

    Raises ValueError where numbers as small as some cannot be held beside some as large.
    """
    ends = [end.abs().max() for end in (torch.stack(one.detach().aminmax()) for one in sets)]
    factor = float(factor_to_one(torch.stack(ends).max()))
    if factor == 1:
        return list(sets), factor
    scaled = [one * factor for one in sets]
    if not all(torch.equal(one / factor, before) for one, before in zip(scaled, sets, strict=True)):
        raise ValueError(
            f"values up to {float(max(ends)):.3g} beside others so small that one floating-point "
            "number cannot hold their squares: expected features of one size"
        )
    return scaled, factor
