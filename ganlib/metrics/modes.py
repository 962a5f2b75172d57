"""How many modes of the data a generator reaches, and in what proportions.

First each sample is assigned to a mode (the nearest Gaussian, or the digits that a classifier
reads), then the assignments are counted against the true weights.
"""

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from ganlib.divergences import kullback_leibler
from ganlib.metrics.inputs import check_finite, numbers, whole_numbers


class ModeStatistics(NamedTuple):
    """covered: modes with a sample of high quality. high_quality: the share of such samples.

    divergence: KL(samples ‖ truth) over modes, in nats. counts: samples by mode, (modes,).
    """

    covered: int
    high_quality: float
    divergence: float
    counts: Tensor


def mode_statistics(
    modes: Tensor, weights: Tensor, high_quality: Tensor | None = None
) -> ModeStatistics:
    """Count assigned samples by mode.

    modes: the mode of each sample, whole numbers, (count,). weights: the true probabilities of the
    modes, (modes,). high_quality: which samples are good enough to cover their mode, bool,
    (count,); None for all. The divergence counts every sample, good or not, as Metz et al. (2017)
    do on stacked MNIST. Raises ValueError for an unknown mode, no samples, or weights that are
    no probabilities.
    """
    modes, weights = whole_numbers(modes, "modes"), numbers(weights, "weights").double()
    if weights.ndim != 1:
        raise ValueError(f"weights of shape {tuple(weights.shape)}: expected (modes,)")
    if modes.min() < 0 or modes.max() >= len(weights):
        raise ValueError(
            f"modes from {int(modes.min())} to {int(modes.max())}: expected 0 to {len(weights) - 1}"
        )
    if high_quality is None:
        high_quality = torch.ones_like(modes, dtype=torch.bool)
    good = numbers(high_quality, "high_quality").to(modes.device)
    if good.shape != modes.shape or good.dtype != torch.bool:
        raise ValueError(
            f"high_quality: {good.dtype} of shape {tuple(good.shape)}, expected bool "
            f"{tuple(modes.shape)}"
        )
    counts = modes.bincount(minlength=len(weights))
    covered = modes[good].bincount(minlength=len(weights)) > 0
    divergence = kullback_leibler(counts.double() / len(modes), weights.to(modes.device))
    return ModeStatistics(
        int(covered.sum()), float(good.double().mean()), float(divergence), counts
    )


def mixture_modes(
    samples: Tensor, mixture: MixtureSameFamily, deviations: float = 3.0
) -> tuple[Tensor, Tensor]:
    """The nearest mode of each sample, and whether it lies within `deviations` of that mode.

    samples: (count, dimensions). mixture: Gaussians with diagonal covariances, as
    `datasets.mixture` makes them; distances are in each mode's own standard deviations. Returns
    int64 and bool, both (count,): the first and third arguments of `mode_statistics`. The limit
    of 3 is that of Srivastava et al. (2017, section 4.1). Raises ValueError for another shape, a
    value that is not finite, or one so far off that its distance is not; TypeError for another
    distribution.
    """
    if not isinstance(mixture, MixtureSameFamily):
        raise TypeError(f"mixture: {type(mixture).__name__}, expected a MixtureSameFamily")
    if isinstance(deviations, bool) or not isinstance(deviations, Real) or not deviations >= 0:
        raise ValueError(f"deviations={deviations!r}: expected a number, 0 or more")
    samples = numbers(samples, "samples")
    means, scales = mixture.component_distribution.mean, mixture.component_distribution.stddev
    if means.ndim != 2:
        raise ValueError(f"a mixture of means {tuple(means.shape)}: expected (modes, dimensions)")
    if samples.ndim != 2 or samples.shape[1] != means.shape[1]:
        raise ValueError(
            f"samples of shape {tuple(samples.shape)}: expected (count, {means.shape[1]})"
        )
    check_finite(samples, "samples")
    samples = samples.detach().to(means)
    distances = ((samples[:, None] - means) / scales).norm(dim=2)
    nearest = distances.min(1)
    if not torch.isfinite(nearest.values).all():
        raise ValueError(
            f"samples up to {float(samples.abs().max()):.3g}: {means.dtype} does not hold their "
            "distances, expected some that are nearer"
        )
    return nearest.indices, nearest.values <= deviations


def stacked_modes(images: Tensor, classify: Callable[[Tensor], Tensor]) -> Tensor:
    """The mode of each stacked digit, 0 to 999: its three channels read as a number.

    images: (count, 3, height, width), one or more. classify: images (count, 1, height, width) to
    probabilities or logits (count, 10). Returns int64 (count,). Raises ValueError for another
    shape of either, or an answer that is NaN.
    """
    images = numbers(images, "images")
    if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        raise ValueError(f"images of shape {tuple(images.shape)}: expected (count, 3, ...)")
    digits = [_digits(classify, images[:, channel : channel + 1]) for channel in range(3)]
    return 100 * digits[0] + 10 * digits[1] + digits[2]


def _digits(classify: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The likeliest digit of each image, int64 (count,)."""
    answers = numbers(classify(images), "what classify gave")
    if answers.shape != (len(images), 10) or answers.isnan().any():
        raise ValueError(
            f"classify gave {'NaN, ' if answers.isnan().any() else ''}shape "
            f"{tuple(answers.shape)}: expected probabilities or logits ({len(images)}, 10)"
        )
    # As floats, because torch finds no largest bool.
    return answers.double().argmax(1)


def stacked_weights(labels: Tensor) -> Tensor:
    """The probabilities of the 1,000 modes of stacked digits drawn independently, (1000,).

    labels: the labels 0 to 9 of the digits that are stacked, (count,). Raises ValueError for none,
    or others.
    """
    labels = whole_numbers(labels, "labels")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError("labels: expected one or more, each from 0 to 9")
    share = labels.bincount(minlength=10).double() / len(labels)
    return torch.einsum("a,b,c->abc", share, share, share).flatten()
