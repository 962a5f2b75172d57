"""Drawing images from a chain, pixel by pixel, whole or around what was observed.

With `cached`, a new pixel costs one column of activations (`layers.Columns`); without, it costs
the whole network. The images are the same.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganlib.chains import orders
from ganlib.chains.layers import Columns
from ganlib.chains.models import WHOLE_NUMBERS, Chain
from ganlib.runtime import full_precision
from ganlib.sizes import whole


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
    falls within it (about 1e-7 in float32) of a level's edge may differ. It draws outside of any
    autocast and without TF32. Raises ValueError for an order, observed images, a mask or labels
    that do not fit, and where a pixel's probabilities are not numbers.
    """
    height, width = _size(size, observed)
    count, order = whole("count", count), model.checked(order, height, width)
    images, known = _start(model, count, observed, mask, height, width)
    home = images.device
    labels = model.checked_labels(labels, count)
    labels = None if labels is None else labels.to(home)
    positions = orders.positions(order, width).tolist()
    seen_first = next((i for i, pixel in enumerate(positions) if not known[pixel]), len(positions))
    # A number for each pixel, whatever the order, so that orders can be compared.
    numbers = torch.rand(count, model.channels, height, width, generator=generator)
    numbers = numbers.to(home)
    totals: list[tuple[int, Tensor]] = []
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), full_precision(home):
            logits_at = (_cached if cached else _afresh)(model, images, order, labels, seen_first)
            for drawn, pixel in enumerate(positions[seen_first:], start=seen_first + 1):
                row, column = divmod(pixel, width)
                if known[pixel]:
                    logits_at(pixel)
                else:
                    for channel in range(model.channels):
                        levels, total = _draw(
                            logits_at(pixel)[:, channel], numbers[:, channel, row, column]
                        )
                        images[:, channel, row, column] = levels
                        totals.append((pixel, total))
                # Once a row's worth of pixels: a GPU would wait for every answer.
                if len(totals) >= width * model.channels or drawn == len(positions):
                    _check_totals(totals, width)
                    totals.clear()
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


def _draw(logits: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Levels by inverting the distribution function: (count, levels) and (count,) to (count,).

    Returns with them what the probabilities sum to, NaN where the logits are no distribution's.
    """
    below = logits.softmax(dim=1).cumsum(dim=1)
    return (below[:, :-1] <= numbers[:, None]).sum(dim=1), below[:, -1]


def _check_totals(totals: list[tuple[int, Tensor]], width: int) -> None:
    """ValueError that names the first pixel whose probabilities sum to NaN."""
    if not totals:
        return
    amiss = torch.stack([total for _, total in totals]).isnan().any(dim=1)
    if amiss.any():
        pixel, _ = totals[int(amiss.nonzero()[0])]
        raise ValueError(
            f"the probabilities at pixel {divmod(pixel, width)} are not numbers (nan): are the "
            "chain's weights finite?"
        )


def _size(size: tuple[int, int], observed: Tensor | None) -> tuple[int, int]:
    """The height and width of what is to be drawn; ValueError if there is none."""
    if observed is not None:
        if (
            not isinstance(observed, Tensor)
            or observed.ndim not in (3, 4)
            or observed.dtype not in (torch.bool, *WHOLE_NUMBERS)
        ):
            raise ValueError(
                f"observed is {orders.described(observed)}: expected whole numbers of shape "
                "(count, channels, height, width) or (channels, height, width)"
            )
        size = observed.shape[-2:]
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"size={size!r}: expected (height, width)")
    orders.check_sides(*size)
    return int(size[0]), int(size[1])


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
    if (observed is None) != (mask is None):
        raise ValueError("observed images and the mask of observed pixels go together")
    images = torch.zeros(count, model.channels, height, width, dtype=torch.long, device=home)
    if observed is None:
        return images, [False] * (height * width)
    if not isinstance(mask, Tensor) or mask.shape != (height, width) or mask.dtype != torch.bool:
        raise ValueError(
            f"mask is {orders.described(mask)}: expected bool of shape ({height}, {width}), True "
            "for observed pixels"
        )
    if observed.shape[-3:] != images.shape[1:]:
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
