"""Ways to spoil images by degrees (Heusel et al., 2017, appendix A1), to see what a metric notices.

Images are floats in [-1, 1], (count, channels, height, width), and so is what comes back. Level 0
changes nothing. A generator is the source of random numbers, on the CPU; default torch's own.
All raise ValueError for images of another shape, range or type than float32 or float64, and for a
level out of its range; TypeError for what is no tensor.
"""

import math
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from ganlib.sizes import whole


def gaussian_noise(
    images: Tensor, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """(1 - share) x + share n with n ~ N(0, 1) at each pixel, cut to [-1, 1]; share in [0, 1]."""
    _check_images(images)
    _check_number("share", share, 0, 1)
    noise = torch.randn(images.shape, generator=generator).to(images)
    return ((1 - share) * images + share * noise).clamp(-1, 1)


def blur(images: Tensor, deviation: float) -> Tensor:
    """Convolve with a Gaussian of this standard deviation in pixels; edges go on as they end.

    deviation: from 0 to 1000.
    """
    _check_images(images)
    _check_number("deviation", deviation, 0, 1000)
    # At the next pixel even float64 has no weight left.
    if deviation < 0.02:
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
    _check_images(images)
    _check_number("share", share, 0, 1)
    count = whole("count", count, 0)
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
    (scikit-image's `swirl`, which the paper used). strength: up to a million either way; radius:
    in pixels, default twice the width. Between pixels linear; what comes from outside continues
    the edge.
    """
    _check_images(images)
    _check_number("strength", strength, -1e6, 1e6)
    height, width = images.shape[2:]
    radius = 2 * width if radius is None else radius
    if isinstance(radius, bool) or not isinstance(radius, Real) or not radius > 0:
        raise ValueError(f"radius={radius!r}: expected a positive number of pixels")
    if strength == 0:
        return images.clone()
    # From a millionth of a pixel to as many pixels, all smaller ones and all larger ones are alike.
    radius = min(max(radius, 1e-6), 1e18)
    y = torch.arange(height, dtype=images.dtype, device=images.device) - (height - 1) / 2
    x = torch.arange(width, dtype=images.dtype, device=images.device) - (width - 1) / 2
    y, x = torch.meshgrid(y, x, indexing="ij")
    distance = torch.hypot(x, y)
    angle = torch.atan2(y, x) + strength * torch.exp(-5 / math.log(2) * distance / radius)
    sources = torch.stack(
        [
            distance * angle.cos() * 2 / max(width - 1, 1),
            distance * angle.sin() * 2 / max(height - 1, 1),
        ],
        dim=2,
    )
    sources = sources.expand(len(images), -1, -1, -1)
    turned = grid_sample(images, sources, padding_mode="border", align_corners=True)
    return turned.clamp(-1, 1)


def salt_and_pepper(
    images: Tensor, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """Make each pixel, with probability `share`, ink (1) or paper (-1) by a fair coin."""
    _check_images(images)
    _check_number("share", share, 0, 1)
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
    _check_images(images)
    _check_number("share", share, 0, 1)
    if not isinstance(others, Tensor):
        raise TypeError(f"others: {type(others).__name__}, expected a tensor of images")
    if others.shape[1:] != images.shape[1:] or not len(others):
        raise ValueError(
            f"others of shape {tuple(others.shape)}: expected one or more images of shape "
            f"{tuple(images.shape[1:])}"
        )
    _check_images(others, "others")
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


def _check_images(images: Tensor, name: str = "images") -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name}: {type(images).__name__}, expected a tensor of floats in [-1, 1]")
    floats = images.dtype in (torch.float32, torch.float64)
    if images.ndim != 4 or not images.numel() or not floats:
        raise ValueError(
            f"{name}: {images.dtype} of shape {tuple(images.shape)}, expected float32 or float64 "
            "(count, channels, height, width), one or more of each"
        )
    # As `metrics.extract` has it, the range may be left by a rounding.
    if not images.abs().max() <= 1 + 1e-4:
        raise ValueError(
            f"{name} from {float(images.min()):.3g} to {float(images.max()):.3g}: expected values "
            "in [-1, 1]"
        )


def _check_number(name: str, level: float, least: float, most: float) -> None:
    if isinstance(level, bool) or not isinstance(level, Real) or not least <= level <= most:
        raise ValueError(f"{name}={level!r}: expected a number from {least:g} to {most:g}")
