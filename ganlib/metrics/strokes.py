"""What can be measured of a drawn digit without knowing which: slant, breadth, width of stroke."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def slant(images: Tensor) -> Tensor:
    """How far digits lean: columns to the right for each row up.

    -μ₁₁/μ₀₂ of the ink's central moments (columns by rows, rows
    squared), the shear that would make a digit upright, (batch,).
    images: (batch, 1, rows, columns), ink positive on a ground of 0.
    A digit without ink, or all in one row, gives NaN. Raises
    ValueError for another shape or negative ink.
    """
    _, mixed, vertical = _central_moments(images)
    return -mixed / vertical


def breadth(images: Tensor) -> Tensor:
    """The deviation from side to side of an upright digit, in columns.

    The root of μ₂₀ - μ₁₁²/μ₀₂ for ink with the sum 1, (batch,).
    images, NaN and errors as for `slant`.
    """
    horizontal, mixed, vertical = _central_moments(images)
    return (horizontal - mixed.square() / vertical).clamp_min(0).sqrt()


def stroke_width(images: Tensor) -> Tensor:
    """The mean width of strokes in pixels: twice the ink over its edge.

    The edge is the image's total variation, by forward differences: a
    stroke of full ink, width w and length L has ink w L and an edge of
    about 2 L. images: as for `slant`, of full ink 1. NaN and errors as
    for `slant`.
    """
    ink = pad(_ink(images), (1, 1, 1, 1))
    corner = ink[:, :-1, :-1]
    right, down = ink[:, :-1, 1:] - corner, ink[:, 1:, :-1] - corner
    edge = torch.hypot(right, down).sum((1, 2))
    return 2 * ink.sum((1, 2)) / edge


def _central_moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the ink, its sum taken as 1: μ₂₀ (columns squared), μ₁₁ and μ₀₂ (rows squared)."""
    ink = _ink(images)
    ink = ink / ink.sum((1, 2), keepdim=True)
    rows, columns = (torch.arange(size, dtype=ink.dtype) for size in ink.shape[1:])
    by_row, by_column = ink.sum(2), ink.sum(1)
    off_row = rows - (by_row @ rows)[:, None]
    off_column = columns - (by_column @ columns)[:, None]
    horizontal = (by_column * off_column.square()).sum(1)
    vertical = (by_row * off_row.square()).sum(1)
    return horizontal, torch.einsum("brc,br,bc->b", ink, off_row, off_column), vertical


def _ink(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] != 1 or not images.numel():
        raise ValueError(
            f"images of shape {tuple(images.shape)}: expected (batch, 1, rows, columns)"
        )
    ink = images[:, 0].double().cpu()
    if not bool((ink >= 0).all()):
        raise ValueError("images: expected ink of 0 or more")
    return ink
