"""KL, Jensen-Shannon and total variation, on finite tables and on grids, in nats and float64."""

import math
import sys
from numbers import Integral, Real

import torch
from torch import Tensor

# Twice a density, and its share of a logarithm, must not overflow.
DENSEST = 1e300


def kullback_leibler(p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """KL(p ‖ q) = Σ p log(p / q) · cells, in nats, over the last axis.

    p, q: probabilities of a finite table, (..., outcomes), or densities on a grid; tensors, arrays
    or lists. They have as many outcomes; leading axes are broadcast, so that several tables can be
    compared with one. cells: what one entry weighs; 1 for a table, the quadrature weights
    (outcomes,) for densities. Returns the leading axes' shape. Infinite where p has mass and q has
    none. Entries without mass in p count 0, gradients included. Not negative but for rounding, and
    for what the sums of p and q may differ by.
    Raises ValueError unless the shapes fit and both are non-negative and sum to 1 (to 1e-6; grids:
    to 0.001), TypeError for what holds no numbers.
    """
    p, q, cells = distributions(p, q, cells)
    return (_weighted_log_ratio(p, q) * cells).sum(-1)


def jensen_shannon(p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """JSD(p ‖ q) = ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q) / 2, in nats.

    Between 0 (equal) and log 2 (disjoint supports). Arguments and errors as for
    `kullback_leibler`; Lin, 1991, eq. 4.1 with equal weights.
    """
    p, q, cells = distributions(p, q, cells)
    m = (p + q) / 2
    # Half of the least number that there is rounds to 0, where p or q is not.
    m = torch.where(m > 0, m, p + q)
    return ((_weighted_log_ratio(p, m) + _weighted_log_ratio(q, m)) / 2 * cells).sum(-1)


def total_variation(p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """TV(p, q) = ½ ‖p - q‖₁, weighted by cells: the largest gap between two chances of one event.

    Arguments and errors as for `kullback_leibler`.
    """
    p, q, cells = distributions(p, q, cells)
    return ((p - q).abs() * cells).sum(-1) / 2


def grid(low: float, high: float, points: int = 2001) -> tuple[Tensor, Tensor]:
    """Equally spaced points from `low` to `high` and their trapezoid weights, float64.

    Both have shape (points,); `(f(x) * cells).sum()` approximates the integral of f. Raises
    ValueError unless low < high are finite numbers, and points a whole one, 2 or more.
    """
    ends = all(isinstance(end, Real) and not isinstance(end, bool) for end in (low, high))
    whole = isinstance(points, Integral) and not isinstance(points, bool)
    if (
        not (ends and whole and 2 <= points < 2**31 and -DENSEST < low < high < DENSEST)
        or (high - low) / (points - 1) < sys.float_info.min
    ):
        raise ValueError(
            f"grid({low!r}, {high!r}, {points!r}): expected low < high and 2 or more points"
        )
    x = torch.linspace(low, high, points, dtype=torch.float64)
    cells = torch.full_like(x, (high - low) / (points - 1))
    cells[[0, -1]] /= 2
    return x, cells


def _weighted_log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), and 0 where p is 0."""
    massive = p > 0
    safe_p, safe_q = torch.where(massive, p, 1.0), torch.where(massive, q, 1.0)
    return torch.where(massive, p * (safe_p.log() - safe_q.log()), 0.0)


def distributions(p: Tensor, q: Tensor, cells: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of every divergence as float64; errors as of `kullback_leibler`."""
    p, q, cells = as_float64(p, "p"), as_float64(q, "q"), as_float64(cells, "cells")
    if not p.ndim or not q.ndim or not p.shape[-1] or p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p of shape {tuple(p.shape)} and q of shape {tuple(q.shape)}: expected "
            "(..., outcomes) of as many outcomes, one or more"
        )
    leading = zip(p.shape[-2::-1], q.shape[-2::-1], strict=False)
    if any(a != b and 1 not in (a, b) for a, b in leading):
        raise ValueError(
            f"p of shape {tuple(p.shape)} and q of shape {tuple(q.shape)}: expected leading axes "
            "that broadcast"
        )
    on_grid = cells.ndim > 0
    if cells.shape not in ((), p.shape[-1:]):
        raise ValueError(
            f"cells of shape {tuple(cells.shape)}: expected one number or ({p.shape[-1]},)"
        )
    if not bool(((cells >= 0) & (cells < math.inf)).all()):
        raise ValueError("cells has entries that are negative or not finite: expected weights")
    for name, density in (("p", p), ("q", q)):
        if not bool((density >= 0).all()):
            raise ValueError(f"{name} has entries that are negative or NaN: expected probabilities")
        mass = (density * cells).sum(-1).detach().flatten()
        worst = mass[(mass - 1).abs().argmax()] if len(mass) else torch.tensor(1.0)
        if not abs(worst - 1) <= (1e-3 if on_grid else 1e-6):
            raise ValueError(
                f"{name} sums to {float(worst):.6g}: expected 1"
                + (" (a grid must cover nearly all of its mass)" if on_grid else "")
            )
        if len(mass) and density.max() > DENSEST:
            raise ValueError(f"{name} has a density above {DENSEST:g}: expected wider cells")
    return p, q, cells


def as_float64(values: Tensor | list | float, name: str) -> Tensor:
    """As a tensor of float64, its graph kept; TypeError for what holds no real numbers."""
    try:
        found = torch.as_tensor(values)
        # Lists again, because on the way they would be rounded to float32.
        found = torch.as_tensor(values, dtype=torch.float64) if not found.is_complex() else None
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: {type(values).__name__}, expected numbers, as a tensor, an array or lists "
            f"({error})"
        ) from None
    if found is None:
        raise TypeError(f"{name}: complex, expected real numbers")
    return found
