"""What nearest neighbours tell: copies, precision and recall, density and coverage.

A set of examples stands for its manifold: the union of the balls around them that reach their
k-th nearest neighbours.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ganlib.metrics.inputs import feature_pair

# Squared distances are differences of squares: what lies this share of them outside a ball may be
# on its edge, as a copy of the neighbour that the ball reaches to is.
ROUNDING = 1e-12


def nearest_neighbours(
    queries: Tensor, references: Tensor, block: int = 1000
) -> tuple[Tensor, Tensor]:
    """For each query the nearest reference in Euclidean distance: (distances, indices).

    queries: (count, ...); references: (size, ...), of the same shape per example. Both results
    have shape (count,). A matrix product of `block` queries at a time finds the four nearest;
    their distances are then computed from differences, so that a copy is at distance 0.
    Raises ValueError when the shapes differ or a side is empty.
    """
    if not len(queries) or not len(references) or queries.shape[1:] != references.shape[1:]:
        raise ValueError(
            f"queries {tuple(queries.shape)} and references {tuple(references.shape)}: expected "
            "at least one of each, of the same shape per example"
        )
    if not references.is_floating_point():
        queries, references = queries.float(), references.float()
    references = references.flatten(1)
    # Around the mean the matrix product rounds least.
    centre = references.mean(0)
    centred, few = references - centre, min(4, len(references))
    distances, indices = [], []
    for part in queries.flatten(1).split(block):
        near = torch.cdist(part - centre, centred).topk(few, largest=False).indices
        exact = torch.linalg.vector_norm(part[:, None] - references[near], dim=2)
        nearest = exact.min(1)
        distances.append(nearest.values)
        indices.append(near.gather(1, nearest.indices[:, None])[:, 0])
    return torch.cat(distances), torch.cat(indices)


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
    real, fake = _checked(real, fake, k)
    balls_around_fakes, _ = _inside(fake, real, _squared_radii(real, k))
    balls_around_reals, _ = _inside(real, fake, _squared_radii(fake, k))
    return PrecisionRecall(_share(balls_around_fakes > 0), _share(balls_around_reals > 0))


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Precision and recall that outliers among the fakes or the data cannot inflate.

    Density counts the real balls around each fake, over k, and may pass 1; coverage is the share
    of real balls with a fake inside (Naeem et al., 2020, eq. 6 and 7). Arguments and errors as for
    `precision_recall`.
    """
    real, fake = _checked(real, fake, k)
    balls, occupied = _inside(fake, real, _squared_radii(real, k))
    return DensityCoverage(float(balls.double().mean() / k), _share(occupied))


def _checked(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise ValueError(f"k={k}: expected 1 or more")
    real, fake = feature_pair(real, fake, ("real", "fake"), at_least=k + 1)
    # Seen from one of the examples, features far from 0 lose nothing, and whole numbers stay whole.
    return real - real[0], fake - real[0]


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """All squared distances, (len(a), len(b)), by a matrix product in float64."""
    products = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
    return products.add_(a.square().sum(1, keepdim=True)).clamp_(min=0)


def _squared_radii(examples: Tensor, k: int, block: int = 1000) -> Tensor:
    """The squared distance of each example to its k-th nearest other one."""
    radii = []
    for start, part in zip(range(0, len(examples), block), examples.split(block), strict=True):
        # The example itself, nearest to itself at 0, makes it the k + 1st.
        distances = _squared_distances(part, examples)
        rows = torch.arange(len(part), device=part.device)
        distances[rows, start + rows] = 0
        radii.append(distances.topk(k + 1, largest=False).values[:, k])
    return torch.cat(radii)


def _inside(
    points: Tensor, centres: Tensor, squared_radii: Tensor, block: int = 1000
) -> tuple[Tensor, Tensor]:
    """How many balls hold each point, (points,), and which balls hold any, (centres,)."""
    counts, occupied = [], torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    lengths = centres.square().sum(1)
    for part in points.split(block):
        slack = ROUNDING * (lengths + part.square().sum(1, keepdim=True))
        within = _squared_distances(part, centres) <= squared_radii + slack
        counts.append(within.sum(1))
        occupied |= within.any(0)
    return torch.cat(counts), occupied
