"""What can be measured of a drawn digit without knowing which it is: its slant and its stroke."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def slant(images: Tensor) -> Tensor:
    """How far digits lean to the right, (batch,): columns to the right for each row up.

    images: (batch, 1, rows, columns), ink positive on a ground of 0. It is -μ₁₁/μ₀₂ of the ink's
    central moments (columns by rows, rows squared), the shear that would make it upright. A digit
    without ink, or all in one row, gives NaN. Raises ValueError for another shape or negative ink.
    """
    ink = _ink(images)
    rows, columns = (torch.arange(size, dtype=ink.dtype) for size in ink.shape[1:])
    mass = ink.sum((1, 2))
    down = (ink.sum(2) @ rows) / mass
    right = (ink.sum(1) @ columns) / mass
    off_row, off_column = rows - down[:, None], columns - right[:, None]
    mixed = torch.einsum("brc,br,bc->b", ink, off_row, off_column)
    vertical = torch.einsum("brc,br->b", ink, off_row.square())
    return -mixed / vertical


def stroke_width(images: Tensor) -> Tensor:
    """The mean width of strokes in pixels, (batch,): twice the ink over the length of its edge.

    The edge is the total variation of the image, the sum of the lengths of its gradient by forward
    differences: a stroke of full ink, width w and length L has ink w L and an edge of about 2 L.
    images: as for `slant`, of full ink 1. A digit without ink gives NaN. Errors as for `slant`.
    """
    ink = pad(_ink(images), (1, 1, 1, 1))
    right, down = ink[:, :-1, 1:] - ink[:, :-1, :-1], ink[:, 1:, :-1] - ink[:, :-1, :-1]
    edge = torch.hypot(right, down).sum((1, 2))
    return 2 * ink.sum((1, 2)) / edge


def _ink(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] != 1 or not images.numel():
        raise ValueError(
            f"images of shape {tuple(images.shape)}: expected (batch, 1, rows, columns)"
        )
    ink = images[:, 0].double().cpu()
    if not bool((ink >= 0).all()):
        raise ValueError("images: expected ink of 0 or more")
    return ink
