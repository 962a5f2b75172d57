"""Drawing images from a chain, whole or around what was observed, by one of three methods.

"cached" draws pixel by pixel, at one column of activations a pixel (`layers.Columns`). "naive"
does so at the whole network a pixel. "fixed-point" draws all pixels at once, again and again,
until none changes. The images are the same.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Real

import torch
from torch import Tensor

from ganlib.chains import orders
from ganlib.chains.layers import Columns
from ganlib.chains.models import WHOLE_NUMBERS, Chain
from ganlib.runtime import full_precision
from ganlib.sizes import whole

METHODS = ("cached", "naive", "fixed-point")
Watch = Callable[[int, Tensor], None]
# Turns logits, (..., levels), and numbers, (...), into levels.
Draw = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def sample(
    model: Chain,
    count: int,
    order: Tensor | None = None,
    observed: Tensor | None = None,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    method: str = "cached",
    *,
    size: tuple[int, int] = (28, 28),
    labels: Tensor | None = None,
    temperature: float = 1.0,
    watch: Watch | None = None,
) -> Tensor:
    """Draw images, or complete observed ones.

    count: how many images. order: the generation order, default the model's own. observed: images
    to complete, (count, channels, height, width) or one (channels, height, width) for all, whole
    numbers; mask: (height, width), bool, True where they were observed. The order must visit the
    observed pixels first (`orders.region_last` makes such an order), so that the others are drawn
    from p(rest | observed). generator: the source of the random numbers, default torch's global
    one; it lives on the CPU. method: "cached" remembers activations, "naive" computes the network
    anew for every pixel, and "fixed-point" computes it for all pixels at once and repeats that
    until no pixel changes (Wiggers and Hoogeboom, 2020): at most as often as there are values to
    draw, and once more. size: (height, width), unless observed gives it. labels: (count,), for a
    class-conditional model. temperature: the logits of every value are divided by it, so that 1
    draws from the model, and less from a chain that is surer of what comes next. watch: called
    with the number of pixels known so far and the images, after each pixel; under "fixed-point"
    with the number of times that the network was asked, after each time.

    Returns int64 images (count, channels, height, width) on the model's device. The same random
    numbers give the same images by every method, up to the rounding of probabilities: a draw that
    falls within it (about 1e-7 in float32) of a level's edge may differ. It draws outside of any
    autocast and without TF32. Raises ValueError for a method that is not known, an order, observed
    images, a mask or labels that do not fit, a temperature that is no positive finite number, and
    where a pixel's probabilities are not numbers.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not known: choose from {', '.join(METHODS)}")
    draw = partial(_draw, temperature=_positive("temperature", temperature))
    height, width = _size(size, observed)
    count, order = whole("count", count), model.checked(order, height, width)
    images, known = _start(model, count, observed, mask, height, width)
    home = images.device
    labels = model.checked_labels(labels, count)
    labels = None if labels is None else labels.to(home)
    # A number for each pixel, whatever the order, so that orders can be compared.
    numbers = torch.rand(count, model.channels, height, width, generator=generator)
    numbers = numbers.to(home)
    _check_first(order, known)
    with at_rest(model):
        if method == "fixed-point":
            return _by_fixed_point(model, images, order, known, numbers, labels, draw, watch)
        logits_at = (remembered if method == "cached" else _afresh)(
            model, images, order, labels, int(known.sum())
        )
        return _by_pixel(images, order, known, numbers, logits_at, draw, watch)


@contextmanager
def at_rest(model: Chain) -> Iterator[None]:
    """A block in which a chain only computes: in eval mode, without slopes, in full precision."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), full_precision(next(model.parameters()).device):
            yield
    finally:
        model.train(was_training)


def _by_pixel(
    images: Tensor,
    order: Tensor,
    known: Tensor,
    numbers: Tensor,
    logits_at: Callable[[int], Tensor],
    draw: Draw,
    watch: Watch | None,
) -> Tensor:
    """The images, drawn one channel of one pixel after the other."""
    channels, _, width = images.shape[1:]
    positions, first = orders.positions(order, width).tolist(), int(known.sum())
    totals: list[tuple[int, Tensor]] = []
    for drawn, pixel in enumerate(positions[first:], start=first + 1):
        row, column = divmod(pixel, width)
        for channel in range(channels):
            levels, total = draw(logits_at(pixel)[:, channel], numbers[:, channel, row, column])
            images[:, channel, row, column] = levels
            totals.append((pixel, total))
        # Once a row's worth of pixels: a GPU would wait for every answer.
        if len(totals) >= width * channels or drawn == len(positions):
            _check_totals(totals, width)
            totals.clear()
        if watch is not None:
            watch(drawn, images)
    return images


def _by_fixed_point(
    model: Chain,
    images: Tensor,
    order: Tensor,
    known: Tensor,
    numbers: Tensor,
    labels: Tensor | None,
    draw: Draw,
    watch: Watch | None,
) -> Tensor:
    """The images, drawn all at once until a further time changes nothing.

    Each time the values that depend on settled ones alone are settled too, so that the first k in
    the order are right after k times. An image that no longer changes is not computed again.
    """
    moving, asked = torch.arange(len(images), device=images.device), 0
    while len(moving):
        before = images[moving]
        logits = model(before, order, None if labels is None else labels[moving])
        levels, totals = draw(logits.permute(0, 2, 3, 4, 1), numbers[moving])
        after = torch.where(known, before, levels)
        images[moving] = after
        asked += 1
        if watch is not None:
            watch(asked, images)
        still = (after != before).flatten(1).any(dim=1)
        settled = totals[~still][:, :, ~known]
        if settled.isnan().any():
            where = (~known).nonzero()[settled.isnan().any(dim=0).any(dim=0)][0]
            raise _no_numbers(*where.tolist())
        moving = moving[still]
    return images


def _afresh(
    model: Chain, images: Tensor, order: Tensor, labels: Tensor | None, seen_first: int
) -> Callable[[int], Tensor]:
    """Logits at a pixel, (count, channels, levels), by computing the whole network."""

    def logits_at(pixel: int) -> Tensor:
        row, column = divmod(pixel, images.shape[3])
        return model(images, order, labels)[..., row, column].mT

    return logits_at


def remembered(
    model: Chain,
    images: Tensor,
    order: Tensor,
    labels: Tensor | None = None,
    seen_first: int = 0,
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


def _draw(logits: Tensor, numbers: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Levels by inverting the distribution function: (..., levels) and (...) to (...).

    Returns with them what the probabilities sum to, NaN where the logits are no distribution's.
    """
    if temperature != 1:
        # The largest becomes 0, and the temperature a number of this precision, so that whatever
        # is finite divides into a distribution.
        logits, limits = logits - logits.amax(dim=-1, keepdim=True), torch.finfo(logits.dtype)
        logits = logits / min(max(temperature, limits.tiny), limits.max)
    below = logits.softmax(dim=-1).cumsum(dim=-1)
    return (below[..., :-1] <= numbers[..., None]).sum(dim=-1), below[..., -1]


def _check_totals(totals: list[tuple[int, Tensor]], width: int) -> None:
    """ValueError that names the first pixel whose probabilities sum to NaN."""
    if not totals:
        return
    amiss = torch.stack([total for _, total in totals]).isnan().any(dim=1)
    if amiss.any():
        pixel, _ = totals[int(amiss.nonzero()[0])]
        raise _no_numbers(*divmod(pixel, width))


def _no_numbers(row: int, column: int) -> ValueError:
    return ValueError(
        f"the probabilities at pixel {(row, column)} are not numbers (nan): are the chain's "
        "weights finite?"
    )


def _check_first(order: Tensor, known: Tensor) -> None:
    """ValueError unless the order visits the known pixels before all others."""
    if not orders.visits_last(order, ~known.cpu()):
        raise ValueError(
            "the order visits some observed pixel after one that is not observed, so it does not "
            "draw from p(rest | observed): expected an order such as region_last(order, ~mask)"
        )


def _positive(name: str, value: float) -> float:
    """The value as a float; ValueError that names it unless it is a positive finite number."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max:
        raise ValueError(f"{name}={value!r}: expected a positive finite number")
    return float(value)


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
) -> tuple[Tensor, Tensor]:
    """Images to begin with and which pixels, (height, width), are known; ValueError if amiss."""
    home = next(model.parameters()).device
    if (observed is None) != (mask is None):
        raise ValueError("observed images and the mask of observed pixels go together")
    images = torch.zeros(count, model.channels, height, width, dtype=torch.long, device=home)
    if observed is None:
        return images, torch.zeros(height, width, dtype=torch.bool, device=home)
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
    return images + values, mask
