"""A residual pair for images: a generator, and a discriminator that judges each image by itself.

After Gulrajani et al. (2017, appendix F) and Mescheder et al. (2018). Neither attention nor
progressive growth is here.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, relu

from ganlib.nets.inputs import check_images, check_noise
from ganlib.sizes import whole


class ResidualGenerator(nn.Module):
    """Noise (batch, noise_size) to images (batch, channels, side, side) in (-1, 1).

    Two blocks double the side, each after batch normalization. width: channels at the full side;
    they double with each block towards the noise. Raises ValueError for sizes of which there is
    none: the side is a multiple of 4.
    """

    def __init__(self, noise_size: int = 64, side: int = 28, channels: int = 1, width: int = 12):
        super().__init__()
        noise_size, channels = whole("noise_size", noise_size), whole("channels", channels)
        side, width = _side(side), whole("width", width)
        self.settings = {
            "noise_size": noise_size,
            "side": side,
            "channels": channels,
            "width": width,
        }
        self.first = nn.Linear(noise_size, 4 * width * (side // 4) ** 2)
        self.blocks = nn.ModuleList([_Doubling(4 * width, 2 * width), _Doubling(2 * width, width)])
        self.normal = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, noise: Tensor) -> Tensor:
        """The images; ValueError for noise of another size."""
        check_noise(noise, self.settings)
        base = self.settings["side"] // 4
        x = self.first(noise).unflatten(1, (-1, base, base))
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.last(relu(self.normal(x)))).float()


class ResidualDiscriminator(nn.Module):
    """Images (batch, channels, side, side) to logits (batch,); nothing is normalized.

    The logit is log D(x) - log(1 - D(x)). width: channels at the full side. Errors as for
    `ResidualGenerator`.
    """

    def __init__(self, side: int = 28, channels: int = 1, width: int = 12):
        super().__init__()
        side, channels, width = _side(side), whole("channels", channels), whole("width", width)
        self.settings = {"side": side, "channels": channels, "width": width}
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList([_Halving(width, 2 * width), _Halving(2 * width, 4 * width)])
        self.deep = nn.Conv2d(4 * width, 4 * width, 3, padding=1)
        self.last = nn.Linear(4 * width * (side // 4) ** 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The logits; ValueError for images of another size."""
        check_images(images, self.settings)
        x = self.first(images)
        for block in self.blocks:
            x = block(x)
        x = leaky_relu(self.deep(leaky_relu(x, 0.2)), 0.2)
        return self.last(x.flatten(1)).flatten().float()


class _Doubling(nn.Module):
    """A block that doubles the side: (batch, inputs, h, w) to (batch, outputs, 2 h, 2 w)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.before, self.between = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.past = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(interpolate(relu(self.before(x)), scale_factor=2))
        h = self.two(relu(self.between(h)))
        return h + interpolate(self.past(x), scale_factor=2)


class _Halving(nn.Module):
    """A block that halves the side: (batch, inputs, h, w) to (batch, outputs, h / 2, w / 2)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.past = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.two(leaky_relu(self.one(leaky_relu(x, 0.2)), 0.2))
        # Two terms of like variance: their sum keeps it.
        return (avg_pool2d(h, 2) + self.past(avg_pool2d(x, 2))) * 0.5**0.5


def _side(side: int) -> int:
    side = whole("side", side, 8)
    if side % 4:
        raise ValueError(f"side={side}: expected a multiple of 4")
    return side
