"""Networks from image to image (Johnson et al., 2016; Zhu et al., 2017), and critics of patches."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganlib.nets.perceptrons import Float, Layers
from ganlib.sizes import whole

Modules = list[nn.Module]


class Translator(Layers):
    """Images (batch, channels, h, w) in [-1, 1] to images of the same shape in (-1, 1).

    A convolution, `halvings` that halve the sides and double the channels, `blocks` that add to
    what they see, and as many doublings. All but the last layer are normalized image by image.
    width: channels at the full side. Raises ValueError for sizes of which there is none.
    """

    def __init__(self, channels: int = 3, width: int = 32, halvings: int = 1, blocks: int = 3):
        channels, width = whole("channels", channels), whole("width", width)
        halvings, blocks = whole("halvings", halvings, 0), whole("blocks", blocks, 0)
        super().__init__(*_layers(channels, width, halvings, blocks))
        self.settings = {
            "channels": channels,
            "width": width,
            "halvings": halvings,
            "blocks": blocks,
        }


class Residual(nn.Module):
    """x to x + f(x), f two convolutions; any number of pixels."""

    def __init__(self, width: int):
        super().__init__()
        first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        layers = [*_normalized(first), *_normalized(second)]
        self.added = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.added(x)


class ColourMap(Layers):
    """Images (batch, channels, h, w) to images in (-1, 1), each pixel by its own colour alone.

    A perceptron as convolutions of one pixel. widths: of its hidden layers. Raises ValueError for
    sizes of which there is none.
    """

    def __init__(self, channels: int = 3, widths: Sequence[int] = (64, 64)):
        channels = whole("channels", channels)
        widths = tuple(whole("a width of widths", width) for width in widths)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise((channels, *widths)):
            layers += [nn.Conv2d(fan_in, fan_out, 1), nn.ReLU(inplace=True)]
        last = nn.Conv2d(widths[-1] if widths else channels, channels, 1)
        super().__init__(*layers, last, nn.Tanh(), Float())
        self.settings = {"channels": channels, "widths": list(widths)}


class PatchDiscriminator(Layers):
    """Images (batch, channels, h, w) to verdicts (batch, rows, columns), one for each patch.

    A verdict depends on a square of pixels alone: of 16 pixels a side with one halving, of 34 with
    two (Isola et al., 2017, section 3.2.2). Nothing is normalized: the mean over a picture would
    show each verdict all of it. width: channels after the first layer. Raises ValueError for sizes
    of which there is none.
    """

    def __init__(self, channels: int = 3, width: int = 32, halvings: int = 1):
        channels, width = whole("channels", channels), whole("width", width)
        halvings = whole("halvings", halvings)
        first = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        layers, wide = [first, nn.LeakyReLU(0.2)], width
        for stride in (*(halvings - 1) * (2,), 1):
            layers += [nn.Conv2d(wide, 2 * wide, 4, stride, padding=1)]
            layers += [nn.LeakyReLU(0.2)]
            wide *= 2
        layers += [nn.Conv2d(wide, 1, 4, padding=1), nn.Flatten(1, 2)]
        super().__init__(*layers, Float())
        settings = {"channels": channels, "width": width, "halvings": halvings}
        self.settings = settings


def _layers(ends: int, width: int, halvings: int, blocks: int) -> Modules:
    first = nn.Conv2d(ends, width, 5, padding=2, bias=False)
    layers, wide = _normalized(first), width
    for _ in range(halvings):
        halve = nn.Conv2d(wide, 2 * wide, 4, 2, 1, bias=False)
        layers += _normalized(halve)
        wide *= 2
    layers += [Residual(wide) for _ in range(blocks)]
    for _ in range(halvings):
        double = nn.Conv2d(wide, wide // 2, 3, padding=1, bias=False)
        layers += [nn.UpsamplingNearest2d(scale_factor=2)]
        layers += _normalized(double)
        wide //= 2
    last = nn.Conv2d(width, ends, 5, padding=2)
    return [*layers, last, nn.Tanh(), Float()]


def _normalized(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(layer.out_channels, affine=True), nn.ReLU(inplace=True)]
