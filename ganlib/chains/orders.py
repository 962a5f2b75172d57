"""Generation orders: in what sequence a chain visits the pixels of an image.

An order is a LongTensor of shape (height·width, 2); its row i is the (row, column) of the pixel
drawn at step i. What a network may look at under an order is in `masks`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from ganlib.sizes import whole

Curve = Callable[[int, int], Tensor]

# No chain draws larger images, and an order of this many pixels fills a quarter of a gigabyte.
MOST_PIXELS = 2**24


def raster(height: int, width: int) -> Tensor:
    """Row after row, each from left to right: (height·width, 2)."""
    check_sides(height, width)
    return torch.cartesian_prod(torch.arange(height), torch.arange(width)).reshape(-1, 2)


def s_curve(height: int, width: int) -> Tensor:
    """Row after row, alternately to the right and left: (height·width, 2).

    Every step goes to an adjacent pixel (Jain et al., 2020).
    """
    order = raster(height, width).reshape(height, width, 2)
    order[1::2] = order[1::2].flip(1)
    return order.reshape(-1, 2)


def hilbert(height: int, width: int) -> Tensor:
    """The Hilbert curve and its generalization to any rectangle: (height·width, 2).

    On a square whose side is a power of two this is Hilbert's curve (1891). Elsewhere the
    rectangle is halved in the same manner, as Červený does, along whichever side lets every step
    go to an adjacent pixel.
    """
    check_sides(height, width)
    along, across = _hilbert(height, width), _hilbert(width, height).flip(1)
    if height > width:
        along, across = across, along
    return across if has_jumps(along) and not has_jumps(across) else along


def has_jumps(order: Tensor) -> bool:
    """Whether some step of an order goes to a pixel that is not beside the last one.

    Raises ValueError unless `order` is a LongTensor of shape (count, 2); it may be any part of an
    order.
    """
    _check_pairs(order)
    return bool((order.diff(dim=0).abs().sum(dim=1) != 1).any())


def reflections(curve: Curve, height: int, width: int) -> list[Tensor]:
    """The eight orders that reflect and transpose a curve.

    curve: gives the order of an image of height × width. The first is the
    curve itself. Four reflect it across the image's axes, and four do so
    with the curve of the transposed image, transposed back. Raises
    ValueError for a curve that gives no order.
    """
    upright = check(curve(height, width), height, width)
    transposed = check(curve(width, height), width, height).flip(1)
    # Counted from the corner that it starts in, a curve is the same.
    corners = list(product((0, height - 1), (0, width - 1)))
    return [
        (order.new_tensor(corner) - order).abs()
        for order in (upright, transposed)
        for corner in corners
    ]


def region_last(order: Tensor, region: Tensor) -> Tensor:
    """The order that visits the pixels of `region` after all others.

    region: (height, width), True for the pixels to come last. Within the
    region and outside it, pixels keep the sequence that `order` has. Every
    pixel of the region is then drawn with all of the others known: a
    maximum-context order (Jain et al., 2020). Raises ValueError for a
    region that is no such table, or an order of another size.
    """
    order, region = _check_region(order, region)
    late = region[order[:, 0], order[:, 1]]
    return torch.cat([order[~late], order[late]])


def visits_last(order: Tensor, region: Tensor) -> bool:
    """Whether `order` visits the pixels of `region`, (height, width), after all others."""
    order, region = _check_region(order, region)
    return bool(region[order[:, 0], order[:, 1]][len(order) - int(region.sum()) :].all())


def check(order: Tensor, height: int, width: int) -> Tensor:
    """Return `order` as it is, or raise ValueError unless it visits every pixel just once."""
    check_sides(height, width)
    count = height * width
    if not isinstance(order, Tensor) or order.dtype != torch.long or order.shape != (count, 2):
        raise ValueError(
            f"an order of a {height} × {width} image is a LongTensor of shape ({count}, 2) of "
            f"(row, column), this is {described(order)}"
        )
    low, high = order.amin(dim=0).tolist(), order.amax(dim=0).tolist()
    if min(low) < 0 or high[0] >= height or high[1] >= width:
        raise ValueError(
            f"the order leaves the {height} × {width} image: its rows go from {low[0]} to "
            f"{high[0]} and its columns from {low[1]} to {high[1]}"
        )
    visits = torch.bincount(positions(order, width), minlength=count)
    if (visits != 1).any():
        pixel = int((visits != 1).nonzero()[0])
        raise ValueError(
            f"the order is no permutation of the pixels: {int((visits != 1).sum())} of {count} "
            f"are not visited just once, the first being {divmod(pixel, width)}, "
            f"visited {int(visits[pixel])} times"
        )
    return order


def check_sides(height: int, width: int) -> None:
    """Raise ValueError unless an image may have this height and width, in pixels."""
    if whole("height", height) * whole("width", width) > MOST_PIXELS:
        raise ValueError(
            f"an image of {height} × {width} pixels: expected {MOST_PIXELS} pixels or fewer"
        )


def check_several(orders: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return several orders as they are, or raise ValueError unless they are a list of some.

    Each is checked where it is followed.
    """
    if isinstance(orders, Tensor) or not isinstance(orders, Sequence) or isinstance(orders, str):
        raise ValueError(f"orders are a {type(orders).__name__}: expected a list of LongTensors")
    if not len(orders):
        raise ValueError("no orders to draw from: expected one or more")
    return orders


def positions(order: Tensor, width: int) -> Tensor:
    """The pixels of an order counted row by row, row·width + column: (height·width,)."""
    _check_pairs(order)
    return order[:, 0] * whole("width", width, 1, MOST_PIXELS) + order[:, 1]


def steps(order: Tensor, height: int, width: int) -> Tensor:
    """At what step each pixel is drawn: (height, width), from 0 to height·width - 1.

    Raises ValueError unless the order visits every pixel just once.
    """
    order = check(order, height, width).cpu()
    times = torch.empty(height * width, dtype=torch.long)
    times[positions(order, width)] = torch.arange(height * width)
    return times.reshape(height, width)


def described(thing: object) -> str:
    """A thing in words for an error: a tensor's dtype and shape, the type of anything else."""
    if isinstance(thing, Tensor):
        return f"{thing.dtype} of shape {tuple(thing.shape)}"
    return type(thing).__name__


def _check_region(order: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """An order and a region of one size, on the order's device; ValueError if they are not."""
    if not isinstance(region, Tensor) or region.dtype != torch.bool or region.ndim != 2:
        raise ValueError(f"region is {described(region)}: expected bool of shape (height, width)")
    return check(order, *region.shape), region.to(order.device)


def _check_pairs(order: Tensor) -> None:
    if (
        not isinstance(order, Tensor)
        or order.dtype != torch.long
        or order.ndim != 2
        or order.shape[1] != 2
    ):
        raise ValueError(
            f"an order is a LongTensor of shape (pixels, 2) of (row, column), this is "
            f"{described(order)}"
        )


def _hilbert(height: int, width: int) -> Tensor:
    """The generalized curve that starts at (0, 0) and runs along the width."""
    return torch.tensor(list(_walk(0, 0, (0, width), (height, 0)))).reshape(-1, 2)


def _walk(
    row: int, column: int, along: tuple[int, int], across: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Visit the rectangle spanned by two axis-parallel vectors, from its corner along the first.

    A long rectangle is cut in two along its length. Any other is entered across, traversed along
    the far side, and left across: three parts, as Hilbert's curve has four with two in line.
    """
    length, breadth = abs(sum(along)), abs(sum(across))
    ahead, aside = _unit(along), _unit(across)
    if breadth == 1:
        yield from _line(row, column, ahead, length)
        return
    if length == 1:
        yield from _line(row, column, aside, breadth)
        return
    half_along, half_across = _half(along), _half(across)
    if 2 * length > 3 * breadth:
        if abs(sum(half_along)) % 2 and length > 2:
            half_along = _plus(half_along, ahead)
        yield from _walk(row, column, half_along, across)
        yield from _walk(*_plus((row, column), half_along), _minus(along, half_along), across)
        return
    if abs(sum(half_across)) % 2 and breadth > 2:
        half_across = _plus(half_across, aside)
    yield from _walk(row, column, half_across, half_along)
    yield from _walk(*_plus((row, column), half_across), along, _minus(across, half_across))
    corner = _plus((row, column), _plus(_minus(along, ahead), _minus(half_across, aside)))
    yield from _walk(*corner, _negative(half_across), _negative(_minus(along, half_along)))


def _line(row: int, column: int, step: tuple[int, int], count: int) -> Iterator[tuple[int, int]]:
    for index in range(count):
        yield row + index * step[0], column + index * step[1]


def _plus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]


def _negative(a: tuple[int, int]) -> tuple[int, int]:
    return -a[0], -a[1]


def _minus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return _plus(a, _negative(b))


def _half(a: tuple[int, int]) -> tuple[int, int]:
    return int(a[0] / 2), int(a[1] / 2)


def _unit(a: tuple[int, int]) -> tuple[int, int]:
    return (a[0] > 0) - (a[0] < 0), (a[1] > 0) - (a[1] < 0)
