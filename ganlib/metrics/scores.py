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
    if splits is None:
        return float(_score(p))
    return torch.stack([_score(part) for part in p.tensor_split(splits)])


def _score(p: Tensor) -> Tensor:
    marginal = p.mean(0)
    divergence = torch.xlogy(p, p).sum(1).mean() - torch.xlogy(marginal, marginal).sum()
    return divergence.clamp(min=0).exp()


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
        return float(_unbiased_mmd(a, b))
    subsets = whole("subsets", subsets)
    # So many examples are there of each, and two make a pair.
    subset_size = whole("subset_size", subset_size, 2, min(len(a), len(b)))
    estimates = []
    for _ in range(subsets):
        chosen = [torch.randperm(len(x), generator=generator)[:subset_size] for x in (a, b)]
        estimates.append(_unbiased_mmd(a[chosen[0]], b[chosen[1]]))
    return torch.stack(estimates)


def _unbiased_mmd(a: Tensor, b: Tensor) -> Tensor:
    """E k(a, a') + E k(b, b') - 2 E k(a, b) over pairs of different examples."""
    squared = _within(a) + _within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))
    if not torch.isfinite(squared):
        largest = max(float(x.abs().max()) for x in (a, b))
        raise ValueError(
            f"features of size {largest:.3g}: float64 does not hold their kernels, third powers of "
            "products; expected smaller ones"
        )
    return squared


def _within(x: Tensor) -> Tensor:
    """E k(x, x') over pairs of different examples of one set."""
    with_itself = _kernel(x.square().sum(1), x.shape[1]).sum()
    return (_kernel_sum(x, x) - with_itself) / (len(x) * (len(x) - 1))


def _kernel_sum(a: Tensor, b: Tensor, block: int = 1000) -> Tensor:
    """The sum of k over all pairs, a block of rows at a time."""
    return torch.stack([_kernel(part @ b.T, a.shape[1]).sum() for part in a.split(block)]).sum()


def _kernel(products: Tensor, dimensions: int) -> Tensor:
    return (products / dimensions + 1) ** 3
