"""Drawing images from a chain, pixel by pixel, whole or around what was observed.

With `cached`, a new pixel costs one column of activations (`layers.Columns`); without, it costs
the whole network. The images are the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ganlib.chains import orders
from ganlib.chains.layers import Columns
from ganlib.chains.models import Chain


def sample(
    model: Chain,
    count: int,
    order: Tensor | None = None,
    observed: Tensor | None = None,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    cached: bool = True,
    *,
    size: tuple[int, int] = (28, 28),
    labels: Tensor | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Draw images, or complete observed ones.

    count: how many images. order: the generation order, default the model's own. observed: images
    to complete, (count, channels, height, width) or one (channels, height, width) for all, whole
    numbers; mask: (height, width), bool, True where they were observed. Every other pixel is
    drawn given those before it in the order: for p(rest | observed) the order must visit the
    observed pixels first (`orders.region_last`). generator: the source of the random numbers,
    default torch's global one; it lives on the CPU. cached: remember activations rather than
    compute the network anew for every pixel. size: (height, width), unless observed gives it.
    labels: (count,), for a class-conditional model. watch: called after each pixel with the
    number of pixels known so far and the images.

    Returns int64 images (count, channels, height, width) on the model's device. The same random
    numbers give the same images either way, up to the rounding of probabilities: a draw that
    falls within it (about 1e-7 in float32) of a level's edge may differ. Raises ValueError for
    an order, observed images, a mask or labels that do not fit.
    """
    height, width = size if observed is None else observed.shape[-2:]
    order = model.checked(order, height, width)
    images, known = _start(model, count, observed, mask, height, width)
    if labels is not None and labels.shape != (count,):
        raise ValueError(f"labels of shape {tuple(labels.shape)}: expected ({count},)")
    positions = orders.positions(order, width).tolist()
    seen_first = next((i for i, pixel in enumerate(positions) if not known[pixel]), len(positions))
    # A number for each pixel, whatever the order, so that orders can be compared.
    numbers = torch.rand(count, model.channels, height, width, generator=generator)
    numbers = numbers.to(images.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits_at = (_cached if cached else _afresh)(model, images, order, labels, seen_first)
            for drawn, pixel in enumerate(positions[seen_first:], start=seen_first + 1):
                row, column = divmod(pixel, width)
                if known[pixel]:
                    logits_at(pixel)
                else:
                    for channel in range(model.channels):
                        levels = _draw(
                            logits_at(pixel)[:, channel], numbers[:, channel, row, column]
                        )
                        images[:, channel, row, column] = levels
                if watch is not None:
                    watch(drawn, images)
    finally:
        model.train(was_training)
    return images


def _afresh(
    model: Chain, images: Tensor, order: Tensor, labels: Tensor | None, seen_first: int
) -> Callable[[int], Tensor]:
    """Logits at a pixel, (count, channels, levels), by computing the whole network."""

    def logits_at(pixel: int) -> Tensor:
        row, column = divmod(pixel, images.shape[3])
        return model(images, order, labels)[..., row, column].mT

    return logits_at


def _cached(
    model: Chain, images: Tensor, order: Tensor, labels: Tensor | None, seen_first: int
) -> Callable[[int], Tensor]:
    """Logits at a pixel, (count, channels, levels), from what is remembered of earlier ones.

    The first `seen_first` pixels are computed at once, the others as they are asked for. Before
    every answer the canvas takes up what was drawn since the last one.
    """
    whole = model.canvas(images, order, remember=seen_first > 0)
    if seen_first:
        model.logits(whole, labels)
    canvas = Columns(whole)
    last = 0

    def logits_at(pixel: int) -> Tensor:
        nonlocal last
        canvas.paint(last, model.encode(images.flatten(2)[:, :, last : last + 1]))
        last = pixel
        canvas.at((pixel,))
        return model.logits(canvas, labels)[:, 0].unflatten(1, (model.channels, model.levels))

    return logits_at


def _draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """Levels by inverting the distribution function: (count, levels) and (count,) to (count,)."""
    below = logits.softmax(dim=1).cumsum(dim=1)
    return (below[:, :-1] <= numbers[:, None]).sum(dim=1)


def _start(
    model: Chain,
    count: int,
    observed: Tensor | None,
    mask: Tensor | None,
    height: int,
    width: int,
) -> tuple[Tensor, list[bool]]:
    """Images to begin with and which pixels, row by row, are known; ValueError if amiss."""
    home = next(model.parameters()).device
    if count < 1:
        raise ValueError(f"count={count}: expected 1 or more")
    if (observed is None) != (mask is None):
        raise ValueError("observed images and the mask of observed pixels go together")
    images = torch.zeros(count, model.channels, height, width, dtype=torch.long, device=home)
    if observed is None:
        return images, [False] * (height * width)
    if mask.shape != (height, width) or mask.dtype != torch.bool:
        raise ValueError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}: expected bool of shape "
            f"({height}, {width}), True for observed pixels"
        )
    if observed.is_floating_point() or observed.shape[-3:] != images.shape[1:]:
        raise ValueError(
            f"observed is {observed.dtype} of shape {tuple(observed.shape)}: expected whole "
            f"numbers of shape {tuple(images.shape)} or {tuple(images.shape[1:])}"
        )
    if observed.ndim == 4 and len(observed) != count:
        raise ValueError(f"{len(observed)} observed images for count={count}: expected as many")
    mask = mask.to(home)
    values = observed.to(home).long() * mask
    if not 0 <= int(values.min()) <= int(values.max()) < model.levels:
        raise ValueError(
            f"observed pixels go from {int(values.min())} to {int(values.max())}: expected "
            f"whole numbers from 0 to {model.levels - 1}"
        )
    return images + values, mask.flatten().tolist()
