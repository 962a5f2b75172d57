"""Ways to spoil images by degrees (Heusel et al., 2017, appendix A1), to see what a metric notices.

Images are floats in [-1, 1], (count, channels, height, width), and so is what comes back. Level 0
changes nothing. A generator is the source of random numbers, on the CPU; default torch's own.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad


def gaussian_noise(
    images: Tensor, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """(1 - share) x + share n with n ~ N(0, 1) at each pixel, cut to [-1, 1]; share in [0, 1]."""
    _check_share(share)
    noise = torch.randn(images.shape, generator=generator).to(images)
    return ((1 - share) * images + share * noise).clamp(-1, 1)


def blur(images: Tensor, deviation: float) -> Tensor:
    """Convolve with a Gaussian of this standard deviation in pixels; edges go on as they end."""
    if not 0 <= deviation < math.inf:
        raise ValueError(f"deviation={deviation}: expected 0 or more, in pixels")
    if deviation == 0:
        return images.clone()
    radius = math.ceil(4 * deviation)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = (-0.5 * (offsets / deviation).square()).exp()
    kernel = kernel / kernel.sum()
    planes = images.flatten(0, 1)[:, None]
    planes = pad(planes, (radius, radius, radius, radius), mode="replicate")
    planes = conv2d(conv2d(planes, kernel[None, None, None]), kernel[None, None, :, None])
    return planes.reshape(images.shape)


def rectangles(
    images: Tensor, share: float, generator: torch.Generator | None = None, count: int = 5
) -> Tensor:
    """Fill `count` rectangles at random places with ink (1).

    The sides of each are drawn evenly from 0 to `share` of the image's, share in [0, 1].
    """
    _check_share(share)
    height, width = images.shape[2:]
    draws = torch.rand(len(images), count, 4, generator=generator).to(images)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    inside_rows = _interval(draws[..., 0], draws[..., 2], share, height, rows)
    inside_columns = _interval(draws[..., 1], draws[..., 3], share, width, columns)
    covered = (inside_rows[..., :, None] & inside_columns[..., None, :]).any(1, keepdim=True)
    return torch.where(covered, torch.ones_like(images), images)


def swirl(images: Tensor, strength: float, radius: float | None = None) -> Tensor:
    """Turn each image about its centre, by `strength` radians there and less with the distance.

    The angle at ρ pixels is strength · exp(-5 ρ / (radius · ln 2)), a thousandth at the radius
    (scikit-image's `swirl`, which the paper used). radius: in pixels, default twice the width.
    Between pixels linear; what comes from outside continues the edge.
    """
    if not math.isfinite(strength):
        raise ValueError(f"strength={strength}: expected a finite number of radians")
    if strength == 0:
        return images.clone()
    height, width = images.shape[2:]
    radius = 2 * width if radius is None else radius
    if not radius > 0:
        raise ValueError(f"radius={radius}: expected a positive number of pixels")
    y = torch.arange(height, dtype=images.dtype, device=images.device) - (height - 1) / 2
    x = torch.arange(width, dtype=images.dtype, device=images.device) - (width - 1) / 2
    y, x = torch.meshgrid(y, x, indexing="ij")
    distance = torch.hypot(x, y)
    angle = torch.atan2(y, x) + strength * torch.exp(-5 / math.log(2) * distance / radius)
    sources = torch.stack(
        [distance * angle.cos() * 2 / (width - 1), distance * angle.sin() * 2 / (height - 1)], dim=2
    )
    sources = sources.expand(len(images), -1, -1, -1)
    turned = grid_sample(images, sources, padding_mode="border", align_corners=True)
    return turned.clamp(-1, 1)


def salt_and_pepper(
    images: Tensor, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """Make each pixel, with probability `share`, ink (1) or paper (-1) by a fair coin."""
    _check_share(share)
    draws = torch.rand(len(images), 1, *images.shape[2:], generator=generator).to(images.device)
    hit, ink = draws < share, draws < share / 2
    return torch.where(hit, torch.where(ink, 1.0, -1.0).to(images), images)


def contaminate(
    images: Tensor, others: Tensor, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """Replace a share of the images, at random places, by as many random others.

    others: images of the same shape each; some may come twice. The number replaced is rounded to
    the nearest whole one.
    """
    _check_share(share)
    if others.shape[1:] != images.shape[1:] or not len(others):
        raise ValueError(
            f"others of shape {tuple(others.shape)}: expected one or more images of shape "
            f"{tuple(images.shape[1:])}"
        )
    replaced = torch.randperm(len(images), generator=generator)[: round(share * len(images))]
    chosen = torch.randint(len(others), (len(replaced),), generator=generator)
    result = images.clone()
    result[replaced] = others[chosen].to(images)
    return result


def _interval(size: Tensor, place: Tensor, share: float, length: int, ticks: Tensor) -> Tensor:
    """Which ticks 0..length - 1 lie in an interval of size·share·length, placed within: bool."""
    size = (size * share * length)[..., None]
    start = place[..., None] * (length - size)
    middle = ticks + 0.5
    return (middle >= start) & (middle < start + size)


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: expected a number from 0 to 1")
