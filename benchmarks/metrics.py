"""The Fréchet distance at Inception's 2048 dimensions beside the usual ways to compute it.

The baselines take the eigenvalues of the product of the covariances (as torchmetrics does, with
torch; numpy's are faster) or the square root of that product (as pytorch-fid does, with scipy).
All are on the CPU.
"""

import time
from collections.abc import Callable

import numpy
import scipy.linalg
import torch
from torch import Tensor

from benchmarks.rows import row
from ganlib.metrics import Moments, frechet_distance, frechet_distance_between
from ganlib.runtime import Run

DIMENSIONS, SAMPLES, FEW = 2048, 10_000, 500
BLOCKS = 3


def rows(run: Run) -> list[dict]:
    """Seconds for one distance, ours and theirs, timed in turn."""
    many, few = (_features(count, run) for count in (SAMPLES, FEW))
    moments = [Moments.of(features) for features in many]
    gaussians = [part for m in moments for part in (m.mean, m.covariance)]
    arrays = [part.cpu().numpy() for part in gaussians]
    baselines = {
        "torch-eigenvalues": lambda: _textbook(_torch_eigenvalues, arrays),
        "numpy-eigenvalues": lambda: _textbook(_numpy_eigenvalues, arrays),
        "sqrtm": lambda: _textbook(_sqrtm, arrays),
    }
    return [
        *(
            _row(f"frechet-{DIMENSIONS}-vs-{name}", lambda: frechet_distance(*gaussians), baseline)
            for name, baseline in baselines.items()
        ),
        _row(
            "frechet-gram",
            lambda: frechet_distance_between(*few),
            lambda: _textbook(_numpy_eigenvalues, _gaussians(*few)),
        ),
    ]


def _features(count: int, run: Run) -> tuple[Tensor, Tensor]:
    """Two sets of correlated features whose covariances have a wide spectrum."""
    draws = torch.Generator().manual_seed(0)
    sets = []
    for shift in (0.0, 0.1):
        mixing = torch.randn(DIMENSIONS, DIMENSIONS, generator=draws) / DIMENSIONS**0.5
        scales = torch.logspace(0.5, -1.5, DIMENSIONS)
        drawn = torch.randn(count, DIMENSIONS, generator=draws)
        sets.append(((drawn * scales) @ mixing + shift).to(run.device))
    return sets[0], sets[1]


def _row(name: str, ours: Callable[[], float], theirs: Callable[[], float]) -> dict:
    pairs, values = [], []
    for _ in range(BLOCKS):
        seconds = []
        for call in (ours, theirs):
            began = time.perf_counter()
            values.append(call())
            seconds.append(time.perf_counter() - began)
        pairs.append(seconds)
    if not numpy.allclose(values, values[0], rtol=1e-6):
        raise ArithmeticError(f"{name}: the distances differ, {values}")
    return row(name, pairs, "s a distance")


def _gaussians(*features: Tensor) -> list[numpy.ndarray]:
    parts = []
    for matrix in features:
        array = matrix.double().cpu().numpy()
        parts += [array.mean(0), numpy.cov(array, rowvar=False)]
    return parts


def _textbook(
    trace_of_root: Callable[[numpy.ndarray], float], gaussians: list[numpy.ndarray]
) -> float:
    """The distance by its formula, given tr (product)^{1/2}."""
    mean_a, cov_a, mean_b, cov_b = gaussians
    root = trace_of_root(cov_a @ cov_b)
    return float(numpy.sum((mean_a - mean_b) ** 2) + cov_a.trace() + cov_b.trace() - 2 * root)


def _torch_eigenvalues(product: numpy.ndarray) -> float:
    return float(torch.linalg.eigvals(torch.from_numpy(product)).sqrt().real.sum())


def _numpy_eigenvalues(product: numpy.ndarray) -> float:
    return float(numpy.sqrt(numpy.linalg.eigvals(product).astype(complex)).real.sum())


def _sqrtm(product: numpy.ndarray) -> float:
    return float(scipy.linalg.sqrtm(product).trace().real)
