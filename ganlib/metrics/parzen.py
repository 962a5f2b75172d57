"""The likelihood of points under Gaussians around samples: how GANs were first judged."""

import math

import torch
from torch import Tensor


def parzen_log_likelihood(
    samples: Tensor, points: Tensor, bandwidth: Tensor | float, block: int = 500
) -> Tensor:
    """The log density of each point under Gaussians of one width centred on the samples, in nats.

    samples: (count, ...); points: (size, ...), of the same shape per example; bandwidth: the
    standard deviation, one number or a vector of several. Returns (size,), or (bandwidths, size).
    This is the estimate of Breuleux et al. (2011) that Goodfellow et al. (2014, table 1) report;
    Theis et al. (2016) show how far it can mislead. Raises ValueError for a bandwidth that is
    not positive or shapes that differ.
    """
    widths = torch.as_tensor(bandwidth, dtype=torch.float64, device=points.device)
    if not bool((widths > 0).all()):
        raise ValueError(f"bandwidth={bandwidth}: expected positive standard deviations")
    if samples.shape[1:] != points.shape[1:]:
        raise ValueError(
            f"samples {tuple(samples.shape)} and points {tuple(points.shape)}: expected the same "
            "shape per example"
        )
    centres = samples.flatten(1).double()
    dimensions, columns = centres.shape[1], widths.reshape(-1, 1)
    parts = []
    for part in points.flatten(1).double().split(block):
        squared = torch.cdist(part, centres).square()
        parts.append(
            torch.stack([torch.logsumexp(-squared / (2 * w * w), 1) for w in columns.flatten()])
        )
    log_width = torch.log(math.sqrt(2 * math.pi) * columns)
    log_normaliser = math.log(len(centres)) + dimensions * log_width
    result = torch.cat(parts, 1) - log_normaliser
    return result[0] if widths.ndim == 0 else result
