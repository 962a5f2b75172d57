"""Three chains over the pixels of an image: PixelCNN, gated PixelCNN and LMConv.

Each turns images into the logits of every pixel given those drawn before it. How a model is
fitted, judged and sampled is in `fitting`, `likelihood` and `sampling`, the same for all.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ganlib.chains import masks, orders
from ganlib.chains.layers import Columns, MaskedConvolution, Whole, WithinPixel
from ganlib.sizes import whole

WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
Canvas = Whole | Columns


class Chain(nn.Module):
    """What all chains share: pixels in, logits out, and the order in which they are drawn.

    channels: 1, or 3 for R, G, B, which are drawn in turn within a pixel. levels: the number of
    values of a channel, 2 for binary images. sizes: the subclass's other arguments, of which
    `classes` is the number of labels that condition the chain. Raises ValueError that names a
    size of which no chain can be built.
    """

    any_order = False

    def __init__(self, channels: int, levels: int, **sizes: Any):
        super().__init__()
        channels, levels = whole("channels", channels), whole("levels", levels, 2)
        for name, size in sizes.items():
            if name in ("width", "depth") or (name == "classes" and size is not None):
                sizes[name] = whole(name, size)
            elif name in ("kernel", "first_kernel"):
                sizes[name] = masks.check_kernel(size, name)
        self.channels, self.levels, self.classes = channels, levels, sizes.get("classes")
        # All that the class must be called with to build the same network again.
        self.settings = {"channels": channels, "levels": levels, **sizes}

    def forward(
        self, images: Tensor, order: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """The logits of every channel of every pixel given all that is drawn before it.

        images: (batch, channels, height, width), whole numbers from 0 to levels - 1. order: the
        generation order, default raster; only LMConv takes another. labels: (batch,), for a
        class-conditional chain. Returns float32 (batch, levels, channels, height, width), whose
        softmax over the levels is p(x_i | x_before). Raises ValueError for what does not fit.
        A GPU is not made to wait for the values of pixels and labels: there a pixel that is no
        level makes its image's logits NaN, and a label that is no class fails in the embedding.
        """
        canvas = self.canvas(images, order)
        labels = self.checked_labels(labels, len(images))
        if labels is not None and labels.device != images.device:
            raise ValueError(f"labels are on {labels.device}: expected {images.device}, as images")
        return self.to_image(self.logits(canvas, labels), canvas)

    def canvas(self, images: Tensor, order: Tensor | None = None, remember: bool = False) -> Whole:
        """The images as a canvas for this chain, after checking them and the order."""
        self.check_images(images)
        height, width = images.shape[2:]
        orders.check_sides(height, width)
        picture = self.encode(images)
        if images.device.type == "cpu":
            self.check_levels(images)
        else:
            amiss = (images < 0) | (images >= self.levels)
            picture = picture.masked_fill(amiss.flatten(2).mT, torch.nan)
        canvas = Whole(picture, order, height, width, remember)
        if order is not None:
            self._check_followed(canvas.order, height, width)
        return canvas

    def check_images(self, images: Tensor) -> None:
        """ValueError unless images are whole numbers of this chain's shape."""
        if (
            not isinstance(images, Tensor)
            or images.ndim != 4
            or images.shape[1] != self.channels
            or images.dtype not in (torch.bool, *WHOLE_NUMBERS)
        ):
            raise ValueError(
                f"images are {orders.described(images)}: expected whole numbers of shape "
                f"(batch, {self.channels}, height, width)"
            )

    def check_levels(self, images: Tensor) -> None:
        """ValueError unless all pixels are levels of this chain; a GPU must wait for them."""
        if images.numel() and not 0 <= int(images.min()) <= int(images.max()) < self.levels:
            raise ValueError(
                f"pixels go from {int(images.min())} to {int(images.max())}: expected whole "
                f"numbers from 0 to {self.levels - 1}"
            )

    def checked(self, order: Tensor | None, height: int, width: int) -> Tensor:
        """The order on the CPU, default raster; ValueError where this chain cannot follow it."""
        if order is None:
            return orders.raster(height, width)
        order = orders.check(order, height, width).cpu()
        self._check_followed(order, height, width)
        return order

    def _check_followed(self, order: Tensor, height: int, width: int) -> None:
        if not self.any_order and not torch.equal(order, orders.raster(height, width)):
            raise ValueError(
                f"{type(self).__name__} draws in raster order only: its masks are fixed. "
                "Expected order=None or raster(height, width); LMConv takes any order."
            )

    def check_labels(self, labels: Tensor | None, count: int) -> None:
        """ValueError unless there are `count` labels just if this chain is class-conditional."""
        if (labels is None) != (self.classes is None):
            raise ValueError(
                "this chain is class-conditional: labels are needed"
                if labels is None
                else f"{type(self).__name__} without classes takes no labels"
            )
        if labels is None:
            return
        if not isinstance(labels, Tensor) or labels.dtype not in WHOLE_NUMBERS:
            raise ValueError(
                f"labels are {orders.described(labels)}: expected whole numbers of shape ({count},)"
            )
        if labels.shape != (count,):
            raise ValueError(f"labels of shape {tuple(labels.shape)}: expected ({count},)")

    def checked_labels(self, labels: Tensor | None, count: int) -> Tensor | None:
        """The labels as int64; ValueError as `check_labels`, or, on the CPU, for no class."""
        self.check_labels(labels, count)
        if labels is None:
            return None
        if labels.device.type == "cpu" and count:
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= self.classes:
                raise ValueError(
                    f"labels go from {low} to {high}: expected whole numbers from 0 to "
                    f"{self.classes - 1}"
                )
        return labels.long()

    def encode(self, images: Tensor) -> Tensor:
        """Levels to features in [-1, 1], pixels counted row by row: (batch, pixels, channels).

        images: (batch, channels, ...).
        """
        weight = next(self.parameters())
        return images.flatten(2).mT.to(weight.dtype) * (2 / (self.levels - 1)) - 1

    def to_image(self, features: Tensor, canvas: Whole) -> Tensor:
        """Features of the head to logits (batch, levels, channels, height, width)."""
        shape = canvas.height, canvas.width, self.channels, self.levels
        return features.unflatten(1, shape[:2]).unflatten(3, shape[2:]).permute(0, 4, 3, 1, 2)

    def logits(self, canvas: Canvas, labels: Tensor | None = None) -> Tensor:
        """The head's features at the canvas's pixels: (batch, pixels, channels·levels).

        labels: as `checked_labels` returns them; here only their number is looked at. Raises
        ValueError where there are not as many as images.
        """
        self.check_labels(labels, len(canvas.picture))
        return self.network(canvas, labels)

    def network(self, canvas: Canvas, labels: Tensor | None) -> Tensor:
        """What `logits` computes, one layer after the other."""
        raise NotImplementedError


class Place(nn.Module):
    """Tell every pixel where it is: its coordinates and, under an order, which taps it may see.

    Gives (pixels, width), to be added to features.
    """

    def __init__(self, width: int, kernel: int = 0):
        super().__init__()
        self.kernel = kernel
        self.linear = nn.Linear(2 + kernel**2, width)

    def forward(self, canvas: Canvas) -> Tensor:
        """The features of the canvas's pixels, the same for every image."""
        if isinstance(canvas, Whole):
            return self.linear(self.facts(canvas))
        if self not in canvas.notes:
            canvas.notes[self] = self.linear(self.facts(canvas))
        return canvas.pixels(canvas.notes[self])

    def facts(self, canvas: Canvas) -> Tensor:
        """Row and column in [-1, 1], then 1 for each tap that is seen: (pixels, 2 + kernel²)."""
        height, width = canvas.height, canvas.width
        facts = torch.cartesian_prod(
            torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        ).reshape(-1, 2)
        if self.kernel:
            seen = masks.masks_of_checked(canvas.key, height, width, self.kernel)
            facts = torch.cat([facts, seen.reshape(height * width, -1).float()], dim=1)
        return facts.to(self.linear.weight)


class Head(nn.Sequential):
    """Features to logits: two layers within each pixel."""

    def __init__(self, width: int, channels: int, levels: int):
        super().__init__(
            nn.ReLU(),
            WithinPixel(width, width, channels),
            nn.ReLU(),
            WithinPixel(width, channels * levels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits in full precision."""
        return super().forward(x).to(self[1].weight.dtype)


class Stack(Chain):
    """One stack of masked convolutions: PixelCNN and LMConv, which differ in the masks alone.

    There are `depth` of them: the first of type A with a kernel of side
    `first_kernel`, the others of type B, whose dilations repeat
    `dilations`. width: channels of the features, a multiple of `channels`.
    """

    def __init__(
        self,
        channels: int = 1,
        levels: int = 2,
        width: int = 64,
        depth: int = 10,
        kernel: int = 3,
        first_kernel: int = 7,
        dilations: Sequence[int] = (1,),
    ):
        dilations = _checked(dilations)
        sizes = {"width": width, "depth": depth, "kernel": kernel}
        sizes |= {"first_kernel": first_kernel, "dilations": dilations}
        super().__init__(channels, levels, **sizes)
        self.first = self.masked(channels, width, first_kernel, "A")
        self.place = self.placed(width, kernel)
        self.convolutions = nn.ModuleList()
        for index in range(depth - 1):
            apart = dilations[index % len(dilations)]
            later = self.masked(width, width, kernel, "B", apart)
            self.convolutions.append(later)
        self.head = Head(width, channels, levels)

    def masked(
        self, inputs: int, outputs: int, kernel: int, kind: str, dilation: int = 1
    ) -> MaskedConvolution:
        """A convolution with the masks of this chain, of type A or B."""
        raise NotImplementedError

    def placed(self, width: int, kernel: int) -> Place:
        """What tells every pixel where it is."""
        raise NotImplementedError

    def network(self, canvas: Canvas, labels: Tensor | None) -> Tensor:
        """Masked convolutions, the later ones with residual connections."""
        x = self.first.look(canvas) + self.place(canvas)
        for convolution in self.convolutions:
            x = x + convolution(relu(x), canvas)
        return self.head(x)


class PixelCNN(Stack):
    """Masked convolutions in raster order (van den Oord et al., 2016a); sizes as for `Stack`."""

    def masked(
        self, inputs: int, outputs: int, kernel: int, kind: str, dilation: int = 1
    ) -> MaskedConvolution:
        """One mask for all pixels: above the centre, and to the left of it."""
        centre = kind == "B" or self.channels > 1
        mask = masks.raster_mask(kernel, include_centre=centre)
        options = {"dilation": dilation, "mask": mask, "colours": self.channels}
        return MaskedConvolution(inputs, outputs, kernel, kind, **options)

    def placed(self, width: int, kernel: int) -> Place:
        """Its coordinates."""
        return Place(width)


class LMConv(Stack):
    """PixelCNN with masks that follow any generation order (Jain et al., 2020); sizes as there.

    Every masked convolution is a locally masked one. The network is told where a pixel is and
    which of its neighbours it may see.
    """

    any_order = True

    def masked(
        self, inputs: int, outputs: int, kernel: int, kind: str, dilation: int = 1
    ) -> MaskedConvolution:
        """A mask of its own for every pixel, made from the canvas's order."""
        options = {"dilation": dilation, "colours": self.channels}
        return MaskedConvolution(inputs, outputs, kernel, kind, **options)

    def placed(self, width: int, kernel: int) -> Place:
        """Its coordinates, and which of its neighbours come before it."""
        return Place(width, kernel)


def _checked(dilations: Sequence[int]) -> list[int]:
    """The dilations as a list; ValueError for none or what is none."""
    if isinstance(dilations, str) or not isinstance(dilations, Sequence) or not dilations:
        raise ValueError(f"dilations={dilations!r}: expected a list of one or more")
    return [masks.check_dilation(dilation) for dilation in dilations]


# What is added before a gate: a label's embedding, or nothing.
Label = Tensor | float


def gate(x: Tensor) -> Tensor:
    """tanh of one half of the channels, times the sigmoid of the other."""
    signal, opening = x.chunk(2, dim=-1)
    return torch.tanh(signal) * torch.sigmoid(opening)


class GatedLayer(nn.Module):
    """One layer of both stacks (van den Oord et al., 2016b, figure 2).

    Unlike there, the vertical stack has a residual connection too. last: no layer follows, so the
    vertical stack ends here.
    """

    def __init__(
        self, width: int, kernel: int, channels: int, classes: int | None, last: bool = False
    ):
        super().__init__()
        rows = torch.arange(kernel)[:, None].expand(kernel, kernel)
        middle, centre = kernel // 2, masks.raster_mask(kernel, include_centre=True)
        self.vertical = MaskedConvolution(width, 2 * width, kernel, mask=rows <= middle)
        self.horizontal = MaskedConvolution(
            width,
            2 * width,
            kernel,
            mask=centre & (rows == middle),
            colours=channels,
            splits=2,
        )
        self.upward = None if last else nn.Linear(width, width)
        self.link = nn.Linear(2 * width, 2 * width)
        self.onward = WithinPixel(width, width, channels)
        self.labels = None if classes is None else nn.Embedding(classes, 2 * width)

    def embedded(self, labels: Tensor | None) -> Label:
        """What the labels add before both gates: 0 for a chain without classes."""
        return 0.0 if labels is None else self.labels(labels)[:, None]


class GatedPixelCNN(Chain):
    """Two stacks of gated convolutions without a blind spot (van den Oord et al., 2016b).

    At a pixel, the vertical stack has seen all rows above, and the horizontal stack those and
    the pixels to the left. width: channels of each stack, a multiple of `channels`. classes: if
    given, a label's embedding is added before every gate (their equation 4).
    """

    def __init__(
        self,
        channels: int = 1,
        levels: int = 2,
        width: int = 64,
        depth: int = 8,
        kernel: int = 3,
        first_kernel: int = 7,
        classes: int | None = None,
    ):
        super().__init__(
            channels,
            levels,
            width=width,
            depth=depth,
            kernel=kernel,
            first_kernel=first_kernel,
            classes=classes,
        )
        rows = torch.arange(first_kernel)[:, None].expand(first_kernel, first_kernel)
        middle = first_kernel // 2
        left = masks.raster_mask(first_kernel, include_centre=channels > 1) & (rows == middle)
        self.above = MaskedConvolution(channels, width, first_kernel, mask=rows < middle)
        self.left = MaskedConvolution(
            channels, width, first_kernel, "A", mask=left, colours=channels
        )
        self.place_above, self.place = Place(width), Place(width)
        self.layers = nn.ModuleList(
            GatedLayer(width, kernel, channels, classes, last=index == depth - 1)
            for index in range(depth)
        )
        self.head = Head(width, channels, levels)

    def network(self, canvas: Canvas, labels: Tensor | None) -> Tensor:
        """The horizontal stack, told what the vertical one knows."""
        added = [layer.embedded(labels) for layer in self.layers]
        told = self.told_at(canvas, added)
        b = self.left.look(canvas) + self.place(canvas)
        for layer, link, label in zip(self.layers, told, added, strict=True):
            h = layer.horizontal(b, canvas) + link
            b = b + layer.onward(gate(h + label))
        return self.head(b)

    def vertical(self, canvas: Canvas, added: Sequence[Label]) -> list[Tensor]:
        """What the vertical stack tells the horizontal one in every layer."""
        a = self.above.look(canvas) + self.place_above(canvas)
        told = []
        for layer, label in zip(self.layers, added, strict=True):
            v = layer.vertical(a, canvas)
            told.append(layer.link(v))
            if layer.upward is not None:
                a = a + layer.upward(gate(v + label))
        return told

    def told_at(self, canvas: Canvas, added: Sequence[Label]) -> list[Tensor]:
        """On columns, the vertical stack is computed a row at a time: it sees the rows above."""
        if isinstance(canvas, Whole):
            return self.vertical(canvas, added)
        pixel = canvas.now
        row, column = divmod(pixel[0], canvas.width)
        if canvas.notes.get("row") != row:
            canvas.at(range(row * canvas.width, (row + 1) * canvas.width))
            canvas.notes["row"], canvas.notes["told"] = row, self.vertical(canvas, added)
            canvas.at(pixel)
        return [link[:, column : column + 1] for link in canvas.notes["told"]]
