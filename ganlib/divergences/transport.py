"""Optimal transport between weighted points, solved exactly: plan, potentials, and their values.

Both of Kantorovich's problems are given to a linear programming solver and compared, so that each
certifies the other (Villani, 2009, theorem 5.10). Approximations are not here.
"""

from typing import NamedTuple

import numpy
import torch
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack
from torch import Tensor

# What primal and dual may differ by, in units of the largest cost.
TOLERANCE = 1e-8
# What a constraint may be missed by: the least that HiGHS takes.
PRECISELY = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class Transport(NamedTuple):
    """cost: of the best plan. plan: mass moved, (n, m). potentials: f, (n,), and g, (m,).

    The plan's rows sum to the first weights and its columns to the second; f_i + g_j ≤ c_ij, with
    equality where mass is moved; cost = Σ f a + Σ g b.
    """

    cost: float
    plan: Tensor
    first: Tensor
    second: Tensor


def optimal_transport(weights_a: Tensor, weights_b: Tensor, cost: Tensor) -> Transport:
    """The cheapest way to move the mass of one table to another, and the prices that prove it.

    weights_a, weights_b: (n,) and (m,), none negative, each with the sum 1. cost: c_ij of moving a
    unit from i to j, (n, m), any finite numbers, of a metric or not. Returns float64.
    Raises ValueError for other shapes, weights or costs; RuntimeError where the solver's two
    answers do not agree.
    """
    a, b = _weights(weights_a, "weights_a"), _weights(weights_b, "weights_b")
    c = _finite(cost, "cost")
    if c.shape != (len(a), len(b)):
        raise ValueError(f"cost of shape {c.shape}: expected ({len(a)}, {len(b)})")
    scale = float(abs(c).max()) or 1.0
    rows = kron(eye_array(len(a)), numpy.ones((1, len(b))))
    columns = kron(numpy.ones((1, len(a))), eye_array(len(b)))
    sums = vstack([rows, columns], format="csr")
    masses = numpy.concatenate([a, b])
    moved = _solved(c=c.ravel() / scale, A_eq=sums, b_eq=masses, bounds=(0, None))
    prices = _solved(c=-masses, A_ub=sums.T.tocsr(), b_ub=c.ravel() / scale, bounds=(None, None))
    if abs(moved.fun + prices.fun) > TOLERANCE:
        raise RuntimeError(
            f"the plan costs {moved.fun * scale:.12g} and the prices say "
            f"{-prices.fun * scale:.12g}: expected the same"
        )
    first, second = numpy.split(prices.x * scale, [len(a)])
    plan = moved.x.reshape(c.shape)
    return Transport(moved.fun * scale, *map(torch.from_numpy, (plan, first, second)))


def lipschitz_potential(
    weights_a: Tensor, weights_b: Tensor, metric: Tensor
) -> tuple[float, Tensor]:
    """max of Σ f (a - b) over f with f_i - f_j ≤ d_ij for all i, j (Kantorovich, Rubinstein).

    weights_a, weights_b: on the same points, (n,). metric: their distances, (n, n). Returns the
    value, which is the cost of transport, and the best f, (n,), which is 0 at the first point.
    Raises ValueError as `optimal_transport` does, and for distances that are no metric: for those
    one function does not do, and the dual needs two.
    """
    a, b = _weights(weights_a, "weights_a"), _weights(weights_b, "weights_b")
    d = _finite(metric, "metric")
    if len(a) != len(b) or d.shape != (len(a), len(a)):
        raise ValueError(
            f"weights of {len(a)} and {len(b)} points and a metric of shape {d.shape}: expected "
            "the same points"
        )
    _check_metric(d)
    scale, count = float(d.max()) or 1.0, len(a)
    first, second = numpy.nonzero(~numpy.eye(count, dtype=bool))
    lines = numpy.arange(len(first))
    differences = numpy.zeros((len(first), count))
    differences[lines, first], differences[lines, second] = 1.0, -1.0
    best = _solved(
        c=b - a,
        A_ub=differences if count > 1 else None,
        b_ub=d[first, second] / scale if count > 1 else None,
        bounds=[(0, 0), *[(None, None)] * (count - 1)],
    )
    return -best.fun * scale, torch.from_numpy(best.x * scale)


def wasserstein_line(a: Tensor, b: Tensor) -> Tensor:
    """W₁ of two samples on the line: the area between their distribution functions.

    a, b: numbers, (n,) and (m,), each of weight 1/n and 1/m. Differentiable. Raises ValueError for
    another shape, or a value that is not finite.
    """
    for name, sample in (("a", a), ("b", b)):
        if sample.ndim != 1 or not len(sample) or not torch.isfinite(sample).all():
            raise ValueError(f"{name} of shape {tuple(sample.shape)}: expected finite numbers (n,)")
    points, order = torch.cat([a, b]).sort()
    signs = torch.cat([torch.full_like(a, 1 / len(a)), torch.full_like(b, -1 / len(b))])
    above = signs[order].cumsum(0)[:-1]
    return (above.abs() * points.diff()).sum()


def wasserstein_of_samples(x: Tensor, y: Tensor) -> float:
    """W₁ of two samples of one size in Euclidean space, exactly: the cheapest matching.

    x, y: (count, dimensions). Raises ValueError for shapes that differ, or a value that is not
    finite.
    """
    if x.ndim != 2 or x.shape != y.shape or not len(x):
        raise ValueError(
            f"samples of shape {tuple(x.shape)} and {tuple(y.shape)}: expected the same "
            "(count, dimensions)"
        )
    distances = _finite(torch.cdist(x.detach().double(), y.detach().double()), "samples")
    return float(distances[linear_sum_assignment(distances)].mean())


def _solved(**problem: object) -> object:
    found = linprog(method="highs", options=PRECISELY, **problem)
    if found.status != 0:
        raise RuntimeError(f"the linear program was not solved: {found.message}")
    return found


def _check_metric(d: numpy.ndarray) -> None:
    slack = 1e-9 * (float(abs(d).max()) or 1.0)
    if (abs(numpy.diag(d)) > 0).any() or (d < 0).any() or (abs(d - d.T) > slack).any():
        raise ValueError("metric: expected none negative, symmetric, and 0 on the diagonal")
    for middle in range(len(d)):
        if (d > d[:, [middle]] + d[[middle]] + slack).any():
            i, j = numpy.argwhere(d > d[:, [middle]] + d[[middle]] + slack)[0]
            raise ValueError(
                f"metric: from {i} to {j} it is farther than by way of {middle}, expected a metric "
                "(`optimal_transport` takes any costs)"
            )


def _weights(weights: Tensor, name: str) -> numpy.ndarray:
    found = _finite(weights, name)
    if found.ndim != 1 or not len(found) or (found < 0).any() or abs(found.sum() - 1) > 1e-6:
        raise ValueError(
            f"{name} of shape {found.shape} and the sum {found.sum():.6g}: expected (n,), none "
            "negative, with the sum 1"
        )
    return found / found.sum()


def _finite(values: Tensor, name: str) -> numpy.ndarray:
    found = numpy.asarray(torch.as_tensor(values).detach().cpu().double())
    if not numpy.isfinite(found).all():
        raise ValueError(f"{name}: a value is not finite, expected numbers that are")
    return found
