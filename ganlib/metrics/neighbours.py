"""What nearest neighbours tell: copies, precision and recall, density and coverage.

A set of examples stands for its manifold: the union of the balls around them that reach their
k-th nearest neighbours.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganlib.metrics.inputs import (
    check_finite,
    factor_to_one,
    feature_pair,
    numbers,
    scaled_to_one,
)
from ganlib.runtime import full_precision
from ganlib.sizes import whole

# Entries of the largest table that is held at once.
TABLE = 2**24


def nearest_neighbours(
    queries: Tensor, references: Tensor, block: int = 1000
) -> tuple[Tensor, Tensor]:
    """For each query the nearest reference in Euclidean distance: (distances, indices).

    queries: (count, ...); references: (size, ...), of the same shape per example; tensors, arrays
    or lists. Both results have shape (count,), the distances of the type of the examples, which
    for whole numbers is a float that holds them. A matrix product of up to `block` queries at a
    time, with a bound of its rounding, says which references can be nearest; among these the
    differences decide, so that a copy is found at distance 0.
    Raises ValueError when the shapes differ, a side is empty, or a value is not finite.
    """
    block = whole("block", block)
    queries, references = numbers(queries, "queries"), numbers(references, "references")
    if (
        min(queries.ndim, references.ndim) < 1
        or not queries.numel()
        or not references.numel()
        or queries.shape[1:] != references.shape[1:]
    ):
        raise ValueError(
            f"queries {tuple(queries.shape)} and references {tuple(references.shape)}: expected "
            "at least one of each, of the same shape per example, which is not empty"
        )
    dtype = _float_type(torch.promote_types(queries.dtype, references.dtype))
    queries = queries.reshape(len(queries), -1).to(references.device, dtype)
    references = references.reshape(len(references), -1).to(dtype)
    check_finite(queries, "queries")
    check_finite(references, "references")
    factor = 1.0
    if dtype == torch.float64:
        # Squares of float32 are taken in float64, where all are at ease.
        (queries, references), factor = scaled_to_one(queries, references)
    with torch.no_grad(), full_precision(references.device):
        indices = torch.cat(
            [
                _exact(part, references, _may_be_nearest(squared, error, 1)).argmin(1)
                for part, squared, error in _tables(queries, references, block)
            ]
        )
    distances = torch.cat(
        [
            _lengths(part - references[chosen])
            for part, chosen in zip(queries.split(block), indices.split(block), strict=True)
        ]
    )
    distances = distances / factor
    if not torch.isfinite(distances).all():
        raise ValueError(f"a distance is too large for {dtype}: expected examples that are nearer")
    return distances, indices


def _float_type(dtype: torch.dtype) -> torch.dtype:
    """The float in which distances of these are taken: of 32 bits where that holds the values."""
    wide = dtype in (torch.float64, torch.int32, torch.int64)
    return torch.float64 if wide else torch.float32


def _tables(
    examples: Tensor, others: Tensor, block: int = 1000
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Squared distances by a matrix product, some rows at a time: (rows, squared, error).

    squared, (rows, others), is off by up to error[0] + error[1], (rows, 1) and (others,). Examples
    whose squares leave the range of their type are taken times a power of two.
    """
    # Around a middle of the examples the product rounds least; outliers do not move a median.
    some = others[:: math.ceil(len(others) / 1000)]
    ends = torch.stack([end for side in (examples, others) for end in side.aminmax()])
    factor = factor_to_one(ends.abs().max())
    centre = some.median(0).values * factor
    limits = torch.finfo(others.dtype)
    # Both squares and the product are sums of so many rounded terms; centring, and what is done
    # with the table, add a few more; what is below the least number of all comes on top.
    share, least = ((others.shape[1] + 16) * rounding for rounding in (limits.eps, limits.tiny))
    centred = others * factor - centre
    squares = centred.square().sum(1)
    for part in examples.split(max(1, min(block, TABLE // len(others)))):
        rows = part * factor - centre
        lengths = rows.square().sum(1, keepdim=True)
        squared = torch.addmm(squares, rows, centred.T, alpha=-2).add_(lengths)
        yield part, squared, (share * lengths + least, share * squares)


def _may_be_nearest(squared: Tensor, error: tuple[Tensor, Tensor], k: int) -> Tensor:
    """Which entries of a table can be among the k least of their row, bool."""
    of_rows, of_columns = error
    # In place, because the table is large: first the most that a distance can be, then the least.
    most = squared.add_(of_columns)
    kth = most.amin(1, keepdim=True) if k == 1 else most.topk(k, largest=False).values[:, -1:]
    return most.sub_(of_columns, alpha=2) <= kth + 2 * of_rows


def _exact(examples: Tensor, others: Tensor, asked: Tensor) -> Tensor:
    """Distances by differences, (examples, others), float64; infinite where they are not asked."""
    table = torch.full(asked.shape, math.inf, dtype=torch.float64, device=asked.device)
    size = max(1, TABLE // 8 // others.shape[1])
    for rows, columns in zip(*(places.split(size) for places in asked.nonzero().T), strict=True):
        table[rows, columns] = _lengths(examples[rows].double() - others[columns].double())
    return table


def _lengths(differences: Tensor) -> Tensor:
    """The Euclidean norm of each row, however small or large: (count,)."""
    factors = factor_to_one(differences.detach().abs().amax(1))
    return torch.linalg.vector_norm(differences * factors[:, None], dim=1) / factors


class PrecisionRecall(NamedTuple):
    """Shares, from 0 to 1: of fakes within the real manifold, and of reals within the fakes'."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Real balls around a fake, of k expected; and the share of real balls that hold a fake."""

    density: float
    coverage: float


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """How many fakes lie where data lie, and how much of the data the fakes reach.

    real, fake: features, (count, dimensions), more than k of each. Precision is the share of fakes
    that lie in the ball of at least one real example, recall the same with the roles exchanged
    (Kynkäänniemi et al., 2019, eq. 2). Raises ValueError for features that are not finite, of
    different dimensions, or too few.
    """
    real, fake, k = _checked(real, fake, k)
    balls_around_fakes, _ = _inside(fake, real, _radii(real, k))
    balls_around_reals, _ = _inside(real, fake, _radii(fake, k))
    return PrecisionRecall(_share(balls_around_fakes > 0), _share(balls_around_reals > 0))


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Precision and recall that outliers among the fakes or the data cannot inflate.

    Density counts the real balls around each fake, over k, and may pass 1; coverage is the share
    of real balls with a fake inside (Naeem et al., 2020, eq. 6 and 7). Arguments and errors as for
    `precision_recall`.
    """
    real, fake, k = _checked(real, fake, k)
    balls, occupied = _inside(fake, real, _radii(real, k))
    return DensityCoverage(float(balls.double().mean() / k), _share(occupied))


def _checked(real: Any, fake: Any, k: int) -> tuple[Tensor, Tensor, int]:
    k = whole("k", k)
    real, fake = feature_pair(real, fake, ("real", "fake"), at_least=k + 1)
    (real, fake), _ = scaled_to_one(real, fake)
    return real, fake, k


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def _radii(examples: Tensor, k: int) -> Tensor:
    """The distance of each example to its k-th nearest other one, (count,)."""
    # The example itself, nearest to itself at 0, makes it the k + 1st.
    radii = [
        _exact(part, examples, _may_be_nearest(squared, error, k + 1))
        .topk(k + 1, largest=False)
        .values[:, k]
        for part, squared, error in _tables(examples, examples)
    ]
    return torch.cat(radii)


def _inside(points: Tensor, centres: Tensor, radii: Tensor) -> tuple[Tensor, Tensor]:
    """How many balls hold each point, (points,), and which balls hold any, (centres,)."""
    counts, occupied = [], torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    squared_radii = radii.square()
    # A distance is rounded as a sum of so many squares is: one this share above a radius is on the
    # edge of the ball, as a copy of the neighbour that the ball reaches to is.
    rounding = (centres.shape[1] + 4) * torch.finfo(centres.dtype).eps
    for part, squared, (of_rows, of_columns) in _tables(points, centres):
        within = squared.add_(of_columns).add_(of_rows) <= squared_radii
        least = squared.sub_(of_columns, alpha=2).sub_(of_rows, alpha=2)
        unsure = (least <= squared_radii * (1 + 4 * rounding)) & ~within
        within |= _exact(part, centres, unsure) <= radii * (1 + rounding)
        counts.append(within.sum(1))
        occupied |= within.any(0)
    return torch.cat(counts), occupied
