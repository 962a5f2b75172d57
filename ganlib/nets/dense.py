"""The fully connected pair for images of Nowozin et al. (2016, section 3.2)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ganlib.nets.inputs import check_images, check_noise
from ganlib.nets.perceptrons import Float, Logit
from ganlib.sizes import whole


class DenseGenerator(nn.Module):
    """Noise (batch, noise_size) to images (batch, channels, side, side) in (-1, 1).

    Each hidden layer of the given widths is batch-normalized and rectified. Raises ValueError for
    sizes that are no whole numbers of 1 or more.
    """

    def __init__(
        self,
        noise_size: int = 100,
        side: int = 28,
        channels: int = 1,
        widths: Sequence[int] = (1200, 1200),
    ):
        super().__init__()
        self.settings = sizes(noise_size, side, channels, widths)
        widths = self.settings["widths"]
        layers = normalized(noise_size, widths, nn.ReLU)
        last = nn.Linear((noise_size, *widths)[-1], channels * side * side)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, noise: Tensor) -> Tensor:
        """The images; ValueError for noise of another size."""
        check_noise(noise, self.settings)
        side = self.settings["side"]
        return torch.tanh(self.layers(noise)).float().unflatten(1, (-1, side, side))


class DenseEncoder(nn.Module):
    """Images (batch, channels, side, side) to codes (batch, noise_size), of any real numbers.

    The mirror of `DenseGenerator`: its hidden layers are batch-normalized and leakily rectified.
    Errors as for `DenseGenerator`.
    """

    def __init__(
        self,
        noise_size: int = 100,
        side: int = 28,
        channels: int = 1,
        widths: Sequence[int] = (1200, 1200),
    ):
        super().__init__()
        self.settings = sizes(noise_size, side, channels, widths)
        pixels, widths = channels * side * side, self.settings["widths"]
        layers = normalized(pixels, widths, partial(nn.LeakyReLU, 0.2))
        last = nn.Linear((pixels, *widths)[-1], noise_size)
        self.layers = nn.Sequential(nn.Flatten(1), *layers, last, Float())

    def forward(self, images: Tensor) -> Tensor:
        """The codes; ValueError for images of another size."""
        check_images(images, self.settings)
        return self.layers(images)


class DenseCritic(nn.Module):
    """Images (batch, channels, side, side) to any real numbers, (batch,).

    The hidden layers end in exponential linear units. Errors as for `DenseGenerator`.
    """

    def __init__(self, side: int = 28, channels: int = 1, widths: Sequence[int] = (240, 240)):
        super().__init__()
        side, channels = whole("side", side), whole("channels", channels)
        self.layers = Logit(channels * side * side, widths, "ELU")
        self.settings = {"side": side, "channels": channels, "widths": tuple(widths)}

    def forward(self, images: Tensor) -> Tensor:
        """The critic's numbers; ValueError for images of another size."""
        check_images(images, self.settings)
        return self.layers(images.flatten(1))


def sizes(noise_size: int, side: int, channels: int, widths: Sequence[int]) -> dict[str, object]:
    """The sizes of a pair, checked."""
    return {
        "noise_size": whole("noise_size", noise_size),
        "side": whole("side", side),
        "channels": whole("channels", channels),
        "widths": tuple(whole("a width of widths", width) for width in widths),
    }


def normalized(
    inputs: int, widths: Sequence[int], activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    """Hidden layers of the given widths, each batch-normalized and then activated."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), activation()]
    return layers
