"""Masked convolutions, and the canvas that they are applied to: a whole image or one new pixel.

Features are (batch, pixels, channels), pixels counted row by row, so that what happens within a
pixel is an ordinary linear layer. Only a masked convolution looks at other pixels. It asks its
canvas to do so, and the same network thus computes an image's logits at once or pixel by pixel.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from ganlib.chains import masks, orders
from ganlib.chains.masks import Plan
from ganlib.sizes import whole


class MaskedConvolution(nn.Module):
    """A convolution that looks only at pixels that are drawn before its own.

    kernel: odd side. kind: "A" leaves out the pixel itself, "B" includes it. dilation: pixels
    between taps. mask: (kernel, kernel), bool, the taps that are used everywhere; without one,
    the canvas's generation order decides at each pixel (locally masked convolution, Jain et al.,
    2020). colours: channels are split evenly into that many groups, drawn in turn within a
    pixel; at the centre a group sees those before it, and itself if the kind is B (van den Oord
    et al., 2016a, section 3.4). splits: outputs are that many stacks of such groups, say 2 for
    a gate and what it gates.

    Maps (batch, pixels, inputs) to (batch, pixels, outputs). Raises ValueError for a kind, sizes
    or a mask that make no convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        kind: str = "B",
        *,
        dilation: int = 1,
        mask: Tensor | None = None,
        colours: int = 1,
        splits: int = 1,
    ):
        super().__init__()
        _check_kind(kind)
        inputs, outputs = whole("inputs", inputs), whole("outputs", outputs)
        colours, splits = whole("colours", colours), whole("splits", splits)
        kernel = masks.check_kernel(kernel)
        if mask is not None and (
            not isinstance(mask, Tensor)
            or mask.dtype != torch.bool
            or mask.shape != (kernel, kernel)
        ):
            raise ValueError(
                f"a mask of {orders.described(mask)}: expected bool of shape ({kernel}, {kernel}), "
                "the kernel"
            )
        self.kernel, self.kind, self.dilation = kernel, kind, masks.check_dilation(dilation)
        # A convolution of torch's own, for its initial weights and their names.
        start = nn.Conv2d(inputs, outputs, kernel)
        self.weight, self.bias = start.weight, start.bias
        # Half of the taps are masked: keep the variance of what the others sum to.
        with torch.no_grad():
            self.weight *= 2**0.5
        self.mask = None if mask is None else tuple(mask.flatten().tolist())
        if mask is not None and kind == "A" and colours == 1 and mask[kernel // 2, kernel // 2]:
            raise ValueError("a type A mask leaves out its centre, and this one includes it")
        self.sees_centre = kind == "B" or colours > 1
        connections = None
        if colours > 1:
            connections = torch.ones(outputs, inputs, kernel, kernel)
            middle = kernel // 2
            connections[:, :, middle, middle] = colour_mask(inputs, outputs, colours, kind, splits)
        self.register_buffer("connections", connections, persistent=False)

    def allowed_weight(self) -> Tensor:
        """The weight, (outputs, inputs, kernel, kernel), without what colours may not see."""
        return self.weight if self.connections is None else self.weight * self.connections

    def matrices(self) -> Tensor:
        """The weight as one matrix for each tap: (kernel², inputs, outputs)."""
        return self.allowed_weight().permute(2, 3, 1, 0).flatten(0, 1)

    def extra_repr(self) -> str:
        """Sizes, kind and dilation, by which a run also tells its checkpoints from others'."""
        outputs, inputs = self.weight.shape[:2]
        sides = f"{inputs}, {outputs}, kernel={self.kernel}, kind={self.kind!r}"
        return f"{sides}, dilation={self.dilation}"

    def plan(self, canvas: "Whole") -> Plan:
        """Who sees what on this canvas."""
        sizes = canvas.height, canvas.width, self.kernel, self.dilation
        if self.mask is not None:
            return masks.plan_everywhere(self.mask, *sizes, str(self.weight.device))
        device = str(self.weight.device)
        return masks.plan_of_checked(canvas.key, *sizes, self.sees_centre, device)

    def forward(self, x: Tensor, canvas: "Whole | Columns") -> Tensor:
        """Convolve features."""
        return canvas.convolve(self, x)

    def look(self, canvas: "Whole | Columns") -> Tensor:
        """Convolve the canvas's own picture."""
        return canvas.convolve(self, canvas.picture, is_picture=True)


def colour_mask(inputs: int, outputs: int, colours: int, kind: str, splits: int = 1) -> Tensor:
    """Which input channels each output channel may see within a pixel: (outputs, inputs).

    Raises ValueError for channels that cannot be split evenly.
    """
    _check_kind(kind)
    sizes = {"inputs": inputs, "outputs": outputs, "colours": colours, "splits": splits}
    for name, size in sizes.items():
        whole(name, size)
    if inputs % colours or outputs % (colours * splits):
        raise ValueError(
            f"{inputs} input and {outputs} output channels cannot be split into {colours} colours"
            + (f", {splits} times" if splits > 1 else "")
        )
    source = torch.arange(inputs) // (inputs // colours)
    target = torch.arange(outputs // splits) // (outputs // splits // colours)
    target = target.repeat(splits)[:, None]
    return (source < target if kind == "A" else source <= target).float()


class WithinPixel(nn.Linear):
    """A linear layer on each pixel's channels that keeps colours in their order (kind B).

    Maps (..., inputs) to (..., outputs).
    """

    def __init__(self, inputs: int, outputs: int, colours: int = 1):
        super().__init__(whole("inputs", inputs), whole("outputs", outputs))
        colours = whole("colours", colours)
        allowed = None if colours == 1 else colour_mask(inputs, outputs, colours, "B")
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of each pixel."""
        weight = self.weight if self.allowed is None else self.weight * self.allowed
        return linear(x, weight, self.bias)


class Whole:
    """A canvas that holds whole pictures: every pixel is computed at once.

    picture: (batch, height·width, channels), float. order: the generation order, None for
    raster; it is checked here, once for all layers. remember: keep what every convolution was
    given, so that `Columns` can go on from there. Raises ValueError for an order or a picture
    that does not fit.
    """

    def __init__(
        self,
        picture: Tensor,
        order: Tensor | None,
        height: int,
        width: int,
        remember: bool = False,
    ):
        if order is None:
            order = orders.raster(height, width)
        else:
            order = orders.check(order, height, width).cpu()
        _check_features(picture, height * width)
        self.picture, self.order = picture, order
        self.height, self.width = height, width
        self.memories: dict[nn.Module, Tensor] | None = {} if remember else None

    @cached_property
    def key(self) -> bytes:
        """What the order's plans are kept under."""
        return masks.key_of_checked(self.order)

    def convolve(self, layer: MaskedConvolution, x: Tensor, is_picture: bool = False) -> Tensor:
        """The layer's output at every pixel: (batch, pixels, outputs)."""
        _check_features(x, self.height * self.width, layer.weight.shape[1])
        if self.memories is not None and not is_picture:
            self.memories[layer] = x
        plan, weight, bias = layer.plan(self), layer.allowed_weight(), layer.bias
        # On meta tensors, of a rehearsal, there is no autocast to ask for.
        if not x.is_meta and torch.is_autocast_enabled(x.device.type):
            precision = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(precision), weight.to(precision), bias.to(precision)
        if plan.is_dense:
            return _convolve_lattices(x, weight, bias, plan, layer, self.height, self.width)
        return _Gathered.apply(x, weight, bias, plan)

    def pixels(self, table: Tensor) -> Tensor:
        """A table with a row for each pixel, (height·width, ...), at this canvas's pixels."""
        return table


class Columns:
    """A canvas on which pixels are drawn one after the other, each convolution's past remembered.

    At a new pixel a convolution needs its own input there, which the layer before has just
    computed, and at earlier pixels, which it remembers. So a pixel costs one column of
    activations, wherever it lies (as in the fast generation of Ramachandran et al., 2017, here
    for any order). `at` says which pixels are being computed; they must share their masks.
    """

    def __init__(self, canvas: Whole):
        self.order, self.key = canvas.order, canvas.key
        self.height, self.width = canvas.height, canvas.width
        self.picture = _with_outside(canvas.picture)
        self.memories = {k: _with_outside(x) for k, x in (canvas.memories or {}).items()}
        self.matrices: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
        self.notes: dict[Any, Any] = {}
        self.now: Sequence[int] = ()

    def at(self, pixels: Sequence[int]) -> None:
        """Compute at these pixels from now on."""
        self.now = pixels
        # A single pixel, the rule, is addressed by its number.
        several = len(pixels) > 1
        self._index = torch.tensor(pixels, device=self.picture.device) if several else None

    def paint(self, pixel: int, values: Tensor) -> None:
        """Put what was drawn at a pixel into the picture: (batch, 1, channels)."""
        self.picture[:, pixel] = values[:, 0]

    def convolve(self, layer: MaskedConvolution, x: Tensor, is_picture: bool = False) -> Tensor:
        """The layer's output at the pixels of now: (batch, pixels of now, outputs)."""
        if is_picture:
            memory = self.picture
        else:
            memory = self.memories.get(layer)
            if memory is None:
                shape = x.shape[0], self.height * self.width + 1, x.shape[2]
                memory = self.memories[layer] = x.new_zeros(shape)
            if len(self.now) == 1:
                memory[:, self.now[0]] = x[:, 0]
            else:
                memory[:, self._index] = x
        looks = self.matrices.get(layer)
        if looks is None:
            looks = self.matrices[layer] = self._looks(layer)
        sources, weight = looks[self.now[0]]
        if len(self.now) > 1:
            sources = torch.cat([looks[pixel][0] for pixel in self.now])
        seen = memory.index_select(1, sources).view(len(memory), len(self.now), -1)
        return linear(seen, weight, layer.bias)

    def _looks(self, layer: MaskedConvolution) -> list[tuple[Tensor, Tensor]]:
        """For every pixel, the pixels it sees and the matrix for them, shared by its group."""
        matrices = layer.matrices()
        looks: list[Any] = [None] * (self.height * self.width)
        for group in layer.plan(self).groups:
            weight = matrices[group.taps].flatten(0, 1).T.contiguous()
            for row, pixel in enumerate(group.pixels.tolist()):
                looks[pixel] = group.sources[row], weight
        return looks

    def pixels(self, table: Tensor) -> Tensor:
        """A table with a row for each pixel, (height·width, ...), at the pixels of now."""
        if len(self.now) == 1:
            return table[self.now[0] : self.now[0] + 1]
        return table[self._index]


def _check_kind(kind: str) -> None:
    if not isinstance(kind, str) or kind not in ("A", "B"):
        raise ValueError(f"kind={kind!r} is not known: choose 'A' or 'B'")


def _check_features(x: Tensor, pixels: int, channels: int | None = None) -> None:
    if (
        not isinstance(x, Tensor)
        or x.ndim != 3
        or x.shape[1] != pixels
        or not x.is_floating_point()
        or (channels is not None and x.shape[2] != channels)
    ):
        raise ValueError(
            f"features are {orders.described(x)}: expected floats of shape (batch, {pixels}, "
            f"{'channels' if channels is None else channels})"
        )


def _with_outside(x: Tensor) -> Tensor:
    """Append a pixel of zeros, which stands for all that lies outside the image."""
    return torch.cat([x, x.new_zeros(len(x), 1, x.shape[2])], dim=1)


def _convolve_lattices(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    plan: Plan,
    layer: MaskedConvolution,
    height: int,
    width: int,
) -> Tensor:
    """One strided convolution for each group of pixels that share a mask."""
    dilation = layer.dilation
    reach = layer.kernel // 2 * dilation
    image = x.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    out = None
    for group in plan.groups:
        top, left = group.corner
        bottom, right = top + group.window.shape[0] - 1, left + group.window.shape[1] - 1
        masked = weight[:, :, top : bottom + 1, left : right + 1] * group.window
        down, over = group.lattice
        # Pad, or crop where the padding is negative, to just what these pixels see.
        first, last = down.start, down.stop - 1
        begin, end = over.start, over.stop - 1
        framed = pad(
            image,
            (
                reach - begin - left * dilation,
                end + right * dilation - reach - (width - 1),
                reach - first - top * dilation,
                last + bottom * dilation - reach - (height - 1),
            ),
        )
        part = conv2d(framed, masked, bias, (down.step, over.step), dilation=dilation)
        part = part.permute(0, 2, 3, 1)
        if len(plan.groups) == 1:
            out = part
            break
        if out is None:
            out = part.new_empty(len(x), height, width, len(weight))
        out[:, down, over] = part
    return out.flatten(1, 2)


class _Gathered(torch.autograd.Function):
    """One gather and one matrix product: every pixel's taps side by side, zeros where masked.

    The gradient with respect to the input is the same for the pixels that see each pixel, so
    nothing is ever scattered. What was gathered is gathered again on the way back, not kept.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, plan: Plan) -> Tensor:
        context.save_for_backward(x, weight)
        context.plan = plan
        return linear(_gather(x, plan.sources), _taps_last(weight), bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), plan = context.saved_tensors, context.plan
        for_x = linear(_gather(slope, plan.observers), _taps_last(weight.transpose(0, 1)))
        seen = _gather(x, plan.sources).flatten(0, 1)
        for_weight = slope.flatten(0, 1).T @ seen
        for_weight = for_weight.unflatten(1, (-1, x.shape[2])).mT.reshape(weight.shape)
        return for_x, for_weight, slope.sum(dim=(0, 1)), None


def _taps_last(weight: Tensor) -> Tensor:
    """A kernel, (outputs, inputs, k, k), as one matrix: (outputs, k²·inputs), tap by tap."""
    return weight.flatten(2).mT.flatten(1)


def _gather(x: Tensor, sources: Tensor) -> Tensor:
    """What lies under every tap of every pixel: (batch, pixels, taps·channels)."""
    seen = _with_outside(x).index_select(1, sources.flatten())
    return seen.view(len(x), len(sources), -1)
