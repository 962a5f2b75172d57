"""Divergences between distributions that are known exactly: on finite tables and on grids.

Everything is in nats and float64. What must be estimated from samples is in `metrics`.
"""

import torch
from torch import Tensor


def kullback_leibler(p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """KL(p ‖ q) = Σ p log(p / q) · cells, in nats, over the last axis.

    p, q: probabilities of a finite table, shape (..., outcomes), or densities on a grid.
    cells: what one entry weighs; 1 for a table, the quadrature weights for densities.
    Infinite where p has mass and q has none. Entries without mass in p count 0, gradients included.
    Raises ValueError unless both are non-negative and sum to 1 (grids: within 0.001).
    """
    p, q, cells = _distributions(p, q, cells)
    return (_weighted_log_ratio(p, q) * cells).sum(-1)


def jensen_shannon(p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """JSD(p ‖ q) = ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q) / 2, in nats.

    Between 0 (equal) and log 2 (disjoint supports). Arguments and errors as for
    `kullback_leibler`; Lin, 1991, eq. 4.1 with equal weights.
    """
    p, q, cells = _distributions(p, q, cells)
    m = (p + q) / 2
    return ((_weighted_log_ratio(p, m) + _weighted_log_ratio(q, m)) / 2 * cells).sum(-1)


def total_variation(p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """TV(p, q) = ½ ‖p - q‖₁, weighted by cells: the largest gap between two chances of one event.

    Arguments and errors as for `kullback_leibler`.
    """
    p, q, cells = _distributions(p, q, cells)
    return ((p - q).abs() * cells).sum(-1) / 2


def grid(low: float, high: float, points: int = 2001) -> tuple[Tensor, Tensor]:
    """Equally spaced points from `low` to `high` and their trapezoid weights, float64.

    Both have shape (points,); `(f(x) * cells).sum()` approximates the integral of f.
    """
    if not (points >= 2 and low < high):
        raise ValueError(f"grid({low}, {high}, {points}): expected low < high and 2 or more points")
    x = torch.linspace(low, high, points, dtype=torch.float64)
    cells = torch.full_like(x, (high - low) / (points - 1))
    cells[[0, -1]] /= 2
    return x, cells


def _weighted_log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), and 0 where p is 0."""
    massive = p > 0
    safe_p, safe_q = torch.where(massive, p, 1.0), torch.where(massive, q, 1.0)
    return torch.where(massive, p * (safe_p.log() - safe_q.log()), 0.0)


def _distributions(p: Tensor, q: Tensor, cells: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    p, q = (torch.as_tensor(density).double() for density in (p, q))
    on_grid = torch.as_tensor(cells).ndim > 0
    cells = torch.as_tensor(cells, dtype=torch.float64)
    for name, density in (("p", p), ("q", q)):
        if not bool((density >= 0).all()):
            raise ValueError(f"{name} has entries that are negative or NaN: expected probabilities")
        mass = (density * cells).sum(-1).detach().flatten()
        worst = mass[(mass - 1).abs().argmax()]
        if abs(worst - 1) > (1e-3 if on_grid else 1e-6):
            raise ValueError(
                f"{name} sums to {float(worst):.6g}: expected 1"
                + (" (a grid must cover nearly all of its mass)" if on_grid else "")
            )
    return p, q, cells
