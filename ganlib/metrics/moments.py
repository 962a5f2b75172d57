"""Means and covariances gathered batch by batch, and the Fréchet distance between two of them.

Everything is in float64: a Fréchet distance is a small difference of large traces.
"""

import math
import sys

import numpy
import torch
import torch.distributed as distributed
from scipy import linalg
from torch import Tensor

from ganlib.metrics.inputs import (
    factor_to_one,
    feature_matrix,
    feature_pair,
    numbers,
    scaled_to_one,
)
from ganlib.sizes import whole

# The share of the traces that rounding may take from the fast way to a distance.
PRECISION = 1e-9


class Moments:
    """The mean and covariance of all features seen so far, the same however they were batched.

    Each batch is centred on its own mean and merged by the update of Chan, Golub and LeVeque
    (1983), so that features far from 0 lose nothing. dimensions: length of a feature vector.
    device: where the sums are kept. Raises ValueError for dimensions that are none.
    """

    def __init__(self, dimensions: int, device: torch.device | str = "cpu"):
        dimensions = whole("dimensions", dimensions)
        self.count, self.largest = 0, 0.0
        self.mean = torch.zeros(dimensions, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dimensions, dimensions, dtype=torch.float64, device=device)

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """The moments of one matrix of features, (count, dimensions). Errors as for `update`."""
        features = feature_matrix(features, "features", at_least=1)
        moments = cls(features.shape[1], features.device)
        moments.update(features)
        return moments

    def update(self, features: Tensor) -> None:
        """Take in a batch of features, (count, dimensions).

        Raises ValueError, and takes in nothing, unless they are finite, of that shape, and of a
        size whose squares float64 holds.
        """
        features = feature_matrix(features, "features", at_least=1).to(self.mean.device)
        if features.shape[1] != len(self.mean):
            raise ValueError(
                f"features of {features.shape[1]} dimensions: expected {len(self.mean)}"
            )
        largest = float(features.abs().max())
        if largest > 1 and not _at_ease(largest):
            raise ValueError(
                f"features of size {largest:.3g}: expected up to 1e77, for their squares"
            )
        self.largest = max(self.largest, largest)
        mean = features.mean(0)
        centred = features - mean
        self._merge(
            torch.tensor([self.count, len(features)]),
            torch.stack([self.mean, mean]),
            self.scatter.addmm_(centred.T, centred),
        )

    def merge(self, other: "Moments") -> None:
        """Take in all that `other` has seen. Raises ValueError for another number of dimensions."""
        if not isinstance(other, Moments):
            raise TypeError(f"other: {type(other).__name__}, expected Moments")
        if len(other.mean) != len(self.mean):
            raise ValueError(f"moments of {len(other.mean)} dimensions: expected {len(self.mean)}")
        self.largest = max(self.largest, other.largest)
        self._merge(
            torch.tensor([self.count, other.count]),
            torch.stack([self.mean, other.mean.to(self.mean.device)]),
            self.scatter + other.scatter.to(self.mean.device),
        )

    def all_reduce(self) -> None:
        """Take in what every other process has seen, with one all-reduce; alone, do nothing."""
        if not distributed.is_initialized():
            return
        world, rank = distributed.get_world_size(), distributed.get_rank()
        # Every process adds what is its own in a row of its own, and its scatter to the sum.
        rows = torch.zeros(world, 2 + len(self.mean), dtype=torch.float64, device=self.mean.device)
        rows[rank, 0], rows[rank, 1], rows[rank, 2:] = self.count, self.largest, self.mean
        packed = torch.cat([rows.flatten(), self.scatter.flatten()])
        distributed.all_reduce(packed)
        rows = packed[: rows.numel()].reshape(rows.shape)
        scatter = packed[rows.numel() :].reshape(self.scatter.shape)
        self.largest = float(rows[:, 1].max())
        self._merge(rows[:, 0].long(), rows[:, 2:], scatter)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, (dimensions, dimensions).

        Raises ValueError below two examples, or where all features are too small to be squared.
        """
        if self.count < 2:
            raise ValueError(f"a covariance of {self.count} examples: expected 2 or more")
        if not _at_ease(self.largest):
            raise ValueError(
                f"a covariance of features of size {self.largest:.3g}: expected 1e-77 or more, for "
                "their squares"
            )
        return self.scatter / (self.count - 1)

    def _merge(self, counts: Tensor, means: Tensor, scatter: Tensor) -> None:
        """Become the union of groups: their counts, means by row, and the sum of their scatters."""
        self.count = int(counts.sum())
        weights = counts.to(means)[:, None]
        self.mean = (weights * means).sum(0) / max(self.count, 1)
        apart = means - self.mean
        self.scatter = scatter + (weights * apart).T @ apart


def frechet_distance(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor
) -> float:
    """The squared Fréchet, or 2-Wasserstein, distance between two Gaussians.

    ‖m_a - m_b‖² + tr(C_a + C_b - 2 (C_a C_b)^{1/2}) (Dowson and Landau, 1982; on Inception features
    it is the FID of Heusel et al., 2017). Means (dimensions,), covariances (dimensions,
    dimensions), both symmetric and positive semi-definite; tensors, arrays or lists. In the
    features' units, squared; never negative. Numbers of extreme size are first multiplied by a
    power of two.

    No square root of a general matrix is taken. With C_b = L L^T the eigenvalues of C_a C_b are
    those of the symmetric L^T C_a L; where a covariance is singular, or so nearly that their roots
    would be rounding, symmetric eigenvalues give a root R of each covariance, and the singular
    values of R_a^T R_b are the square roots themselves. Computed on the CPU.
    Raises ValueError for shapes that do not fit, values that are not finite, matrices that are no
    covariances, and a distance that float64 cannot hold.
    """
    mean_a, covariance_a = _gaussian(mean_a, covariance_a, "a")
    mean_b, covariance_b = _gaussian(mean_b, covariance_b, "b")
    if mean_a.shape != mean_b.shape:
        raise ValueError(f"{len(mean_a)} and {len(mean_b)} dimensions: expected as many")
    # Halves do not overflow where their difference would.
    half = mean_a / 2 - mean_b / 2
    deviation = torch.stack([covariance_a, covariance_b]).abs().max().sqrt()
    factor = float(factor_to_one(torch.maximum(half.abs().max(), deviation)))
    if factor != 1:
        # Twice, because its square alone may be out of range.
        covariance_a, covariance_b = (c * factor * factor for c in (covariance_a, covariance_b))
    apart = mean_a - mean_b if factor == 1 else half * factor * 2
    traces = float(covariance_a.trace() + covariance_b.trace())
    root = _trace_of_root(covariance_a.numpy(), covariance_b.numpy(), PRECISION * traces)
    return _distance(apart, traces, root, factor)


def frechet_distance_between(features_a: Tensor, features_b: Tensor) -> float:
    """The Fréchet distance between the Gaussians fitted to two sets of features.

    features_a, features_b: (count, dimensions), two examples or more. Where either set has fewer
    examples than dimensions, no covariance is formed: with the centred features X as rows, the
    trace of (C_a C_b)^{1/2} is the sum of the singular values of X_a X_b^T, of size count × count,
    over the root of (n_a - 1)(n_b - 1). Returns and raises as `frechet_distance` does.
    """
    a, b = feature_pair(features_a, features_b, ("features_a", "features_b"))
    (a, b), factor = scaled_to_one(a, b)
    if min(len(a), len(b)) > a.shape[1]:
        # Not their `covariance`: one set may be so small that beside the other it is a point.
        gathered = [(Moments.of(x), len(x)) for x in (a, b)]
        gaussians = [(of.mean, of.scatter / (count - 1)) for of, count in gathered]
        return _unscaled(frechet_distance(*gaussians[0], *gaussians[1]), factor)
    mean_a, mean_b = a.mean(0), b.mean(0)
    rows_a = (a - mean_a) / (len(a) - 1) ** 0.5
    rows_b = (b - mean_b) / (len(b) - 1) ** 0.5
    traces = float(rows_a.square().sum() + rows_b.square().sum())
    root = float(torch.linalg.svdvals(rows_a @ rows_b.T).sum())
    return _distance(mean_a - mean_b, traces, root, factor)


def _at_ease(size: float) -> bool:
    return bool(factor_to_one(torch.tensor(size, dtype=torch.float64)) == 1)


def _distance(apart: Tensor, traces: float, trace_of_root: float, factor: float) -> float:
    """The distance, of parts that were multiplied by this factor, or its square."""
    return _unscaled(max(0.0, float(apart.square().sum()) + traces - 2 * trace_of_root), factor)


def _unscaled(squared: float, factor: float) -> float:
    """squared / factor²; ValueError where float64 cannot hold it."""
    distance = squared / factor / factor
    if not distance < math.inf or (squared > PRECISION and distance < sys.float_info.min):
        size = math.log10(squared) - 2 * math.log10(factor)
        raise ValueError(
            f"a Fréchet distance of about 1e{size:.0f}, which float64 cannot hold: expected "
            "features, or moments, of another size"
        )
    return distance


def _gaussian(mean: Tensor, covariance: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both in float64 on the CPU; ValueError unless they fit, are finite and symmetric."""
    mean = numbers(mean, f"mean_{name}").detach().double().cpu()
    covariance = numbers(covariance, f"covariance_{name}").detach().double().cpu()
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            f"mean_{name} of shape {tuple(mean.shape)} and covariance_{name} of shape "
            f"{tuple(covariance.shape)}: expected (dimensions,) and (dimensions, dimensions)"
        )
    if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise ValueError(f"mean_{name} or covariance_{name} has a value that is not finite")
    if (covariance - covariance.T).max() > 1e-6 * covariance.diagonal().abs().max():
        raise ValueError(f"covariance_{name} is not symmetric, as a covariance is")
    return mean, covariance


def _trace_of_root(a: numpy.ndarray, b: numpy.ndarray, tolerance: float) -> float:
    """tr (a b)^{1/2} for symmetric positive semi-definite matrices, to within `tolerance`."""
    try:
        # LAPACK's generalized problem a b x = w x: it factors b = L L^T and solves L^T a L. Its
        # matrices lie column by column, as a transposed one does.
        squares = linalg.eigh(a.T, b.T, type=2, eigvals_only=True, driver="gv", check_finite=False)
    except linalg.LinAlgError:
        pass
    else:
        # Every eigenvalue is off by about the rounding of what was multiplied, which may be far
        # larger than the product; roots of small ones by more.
        scale = _norm(a) * _norm(b)
        rounding = 4 * numpy.finfo(squares.dtype).eps * scale + numpy.finfo(squares.dtype).tiny
        roots = numpy.sqrt(squares.clip(min=rounding))
        if squares[0] > -rounding and (rounding / roots).sum() <= tolerance:
            return float(numpy.sqrt(squares.clip(min=0)).sum())
    return trace_of_root(square_root(a, "a"), square_root(b, "b"))


def trace_of_root(root_a: numpy.ndarray, root_b: numpy.ndarray) -> float:
    """tr (A B)^{1/2}, where A = R R^T and B = S S^T, from R and S.

    The eigenvalues of A B are the squares of the singular values
    of R^T S: these are added up, and no eigenvalue is rooted.
    """
    singular_values = linalg.svdvals(root_a.T @ root_b, check_finite=False)
    return float(singular_values.sum())


def _norm(covariance: numpy.ndarray) -> float:
    """About the largest eigenvalue, and never more, by three steps of the power method."""
    vector = numpy.random.RandomState(0).standard_normal(len(covariance))
    for _ in range(3):
        vector = covariance @ (vector / max(linalg.norm(vector), numpy.finfo(float).tiny))
    return float(linalg.norm(vector))


def square_root(covariance: numpy.ndarray, name: str) -> numpy.ndarray:
    """R, (dimensions, rank), with R R^T the covariance."""
    values, vectors = linalg.eigh(covariance, check_finite=False)
    kept = _above_rounding(values, name)
    return vectors[:, kept] * numpy.sqrt(values[kept])


def _above_rounding(values: numpy.ndarray, name: str) -> numpy.ndarray:
    """Which eigenvalues, in rising order, are not 0; ValueError if one is negative."""
    if values[0] < -1e-5 * max(values[-1], 0):
        raise ValueError(
            f"covariance_{name} has the eigenvalue {values[0]:.3g} beside one of "
            f"{values[-1]:.3g}: expected a covariance, which has none below 0"
        )
    # Eigenvalues within rounding of 0 are 0: their square roots would not be small.
    # LAPACK leaves up to some 25 roundings of the largest in their place, at any size.
    return values > (64 + len(values)) * numpy.finfo(values.dtype).eps * values[-1]
