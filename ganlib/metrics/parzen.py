"""The likelihood of points under Gaussians around samples: how GANs were first judged."""

import math

import torch
from torch import Tensor

from ganlib.metrics.inputs import check_finite, factor_to_one, numbers, scaled_to_one
from ganlib.sizes import whole


def parzen_log_likelihood(
    samples: Tensor, points: Tensor, bandwidth: Tensor | float, block: int = 500
) -> Tensor:
    """The log density of each point under Gaussians of one width centred on the samples, in nats.

    samples: (count, ...); points: (size, ...), of the same shape per example, one or more of each;
    tensors, arrays or lists. bandwidth: the standard deviation, one number or a vector of several.
    Returns float64, (size,), or (bandwidths, size). This is the estimate of Breuleux et al. (2011)
    that Goodfellow et al. (2014, table 1) report; Theis et al. (2016) show how far it can mislead.
    Raises ValueError for a bandwidth that is not positive, shapes that differ, values that are not
    finite, or a density that float64 cannot hold.
    """
    block = whole("block", block)
    samples, points = numbers(samples, "samples"), numbers(points, "points")
    widths = numbers(bandwidth, "bandwidth").to(points.device, torch.float64)
    if (
        widths.ndim > 1
        or not widths.numel()
        or not bool(((widths > 0) & (widths < math.inf)).all())
    ):
        raise ValueError(
            f"bandwidth={bandwidth}: expected positive standard deviations, one number or a vector"
        )
    if (
        min(samples.ndim, points.ndim) < 1
        or not samples.numel()
        or not points.numel()
        or samples.shape[1:] != points.shape[1:]
    ):
        raise ValueError(
            f"samples {tuple(samples.shape)} and points {tuple(points.shape)}: expected the same "
            "shape per example, which is not empty, and one or more of each"
        )
    check_finite(samples, "samples")
    check_finite(points, "points")
    (centres, points), factor = scaled_to_one(
        samples.reshape(len(samples), -1).to(points.device, torch.float64),
        points.reshape(len(points), -1).double(),
    )
    scaled_widths = widths * factor
    if bool((factor_to_one(scaled_widths.detach()) != 1).any()):
        raise ValueError(
            f"bandwidth={bandwidth}: its square float64 does not hold beside these samples"
        )
    parts = []
    for part in points.split(block):
        squared = torch.cdist(part, centres).square()
        parts.append(
            torch.stack(
                [torch.logsumexp(-squared / (2 * w * w), 1) for w in scaled_widths.flatten()]
            )
        )
    log_width = torch.log(math.sqrt(2 * math.pi) * widths.reshape(-1, 1))
    log_normaliser = math.log(len(centres)) + centres.shape[1] * log_width
    result = torch.cat(parts, 1) - log_normaliser
    if not torch.isfinite(result).all():
        raise ValueError(
            f"bandwidth={bandwidth}: a log density is too low for float64, expected wider Gaussians"
        )
    return result[0] if widths.ndim == 0 else result
