"""The Inception Score of a set of examples, and the kernel distance between two sets."""

import torch
from torch import Tensor

from ganlib.metrics.inputs import feature_matrix, feature_pair
from ganlib.sizes import whole


def inception_score(probabilities: Tensor, splits: int | None = None) -> float | Tensor:
    """exp E_x KL(p(y | x) ‖ p(y)): between 1 and the number of classes, higher is better.

    probabilities: a classifier's p(y | x) for each example, (count, classes); p(y) is their mean.
    splits: cut the examples, in the order given, into this many parts of equal size (to within
    one), each with a p(y) of its own. Returns a float, or a score for each split, (splits,), whose
    mean and deviation Salimans et al. (2016, section 4) report for ten. Raises ValueError for
    rows that are no probabilities, or fewer examples than splits.
    """
    if splits is not None:
        splits = whole("splits", splits)
    p = feature_matrix(probabilities, "probabilities", at_least=splits or 1)
    off = (p.sum(1) - 1).abs()
    if (p < 0).any() or off.max() > 1e-4:
        row = int((p < 0).any(1).logical_or(off > 1e-4).nonzero()[0])
        raise ValueError(
            f"probabilities: row {row} sums to {float(p[row].sum()):.6g} and its least entry is "
            f"{float(p[row].min()):.3g}: expected rows of probabilities, none negative, sum 1"
        )
    # Rounding may leave a score a little below 1.
    if splits is None:
        return max(1.0, float(exponential_information(p)))
    scores = [exponential_information(part) for part in p.tensor_split(splits)]
    return torch.stack(scores).clamp(min=1)


def exponential_information(p: Tensor) -> Tensor:
    """exp (H(y) - H(y | x)) of the rows p(y | x), (count, classes)."""
    return (entropy(p.mean(0)) - entropy(p).mean()).exp()


def entropy(p: Tensor) -> Tensor:
    """-sum_y p(y) log p(y) over the last dimension, in nats."""
    return -torch.xlogy(p, p).sum(-1)


def kernel_distance(
    features_a: Tensor,
    features_b: Tensor,
    subsets: int | None = None,
    subset_size: int = 1000,
    generator: torch.Generator | None = None,
) -> float | Tensor:
    """KID: the unbiased estimate of MMD² under k(x, y) = (x·y / dimensions + 1)³.

    features_a, features_b: (count, dimensions), two examples or more of each. subsets: how many
    times to draw `subset_size` examples of each, without replacement, and estimate from those
    (Bińkowski et al., 2018, report the mean and deviation over such blocks); generator: the
    source of the draws, default torch's global one. Returns a float, or an estimate for each
    subset, (subsets,). It may be negative: without bias, 0 is the middle and not the least.
    Raises ValueError for features that are not finite, too few, of different dimensions, or so
    large that float64 does not hold their kernels (beyond about 1e51).
    """
    a, b = feature_pair(features_a, features_b, ("features_a", "features_b"))
    if subsets is None:
        return float(_held(squared_discrepancy(a, b), a, b))
    subsets = whole("subsets", subsets)
    # So many examples are there of each, and two make a pair.
    subset_size = whole("subset_size", subset_size, 2, min(len(a), len(b)))
    estimates = []
    for _ in range(subsets):
        chosen = [torch.randperm(len(x), generator=generator)[:subset_size] for x in (a, b)]
        estimates.append(squared_discrepancy(a[chosen[0]], b[chosen[1]]))
    return _held(torch.stack(estimates), a, b)


def _held(estimates: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The estimates; ValueError where float64 does not hold the kernels behind them."""
    if not torch.isfinite(estimates).all():
        largest = max(float(x.abs().max()) for x in (a, b))
        raise ValueError(
            f"features of size {largest:.3g}: float64 does not hold their kernels, third powers of "
            "products; expected smaller ones"
        )
    return estimates


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """(x·y / dimensions + 1)³ for all pairs, (len(a), len(b))."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """The sum over all pairs, a thousand rows at a time."""
    return sum(kernel(rows, b).sum() for rows in a.split(1000))


def mean_within(x: Tensor) -> Tensor:
    """The mean over all pairs of different examples of one set."""
    with_itself = (x.square().sum(1) / x.shape[1] + 1) ** 3
    pairs = len(x) * (len(x) - 1)
    return (kernel_sum(x, x) - with_itself.sum()) / pairs


def squared_discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """MMD²: E k(a, a') + E k(b, b') - 2 E k(a, b), without bias."""
    between = kernel_sum(a, b) / (len(a) * len(b))
    return mean_within(a) + mean_within(b) - 2 * between
