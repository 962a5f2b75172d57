"""The few network shapes that the chapters share.

Networks only: what they are paid is in `games/`, how they are fitted in `play`.
"""

import torch
from torch import Tensor, nn


class Float(nn.Module):
    """Return to float32 after autocast, so that losses are computed in full precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Cast to float32; any shape."""
        return x.float()


class Layers(nn.Sequential):
    """A sequence of layers of which a slice is a plain `nn.Sequential`, say for features."""

    def __getitem__(self, index: int | slice) -> nn.Module:
        """One layer, or a network of several."""
        if isinstance(index, slice):
            return nn.Sequential(*list(self)[index])
        return super().__getitem__(index)


class Perceptron(Layers):
    """A fully connected network: (batch, inputs) to (batch, outputs), float32.

    widths: the width of each hidden layer. activation: the class of the nonlinearity.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: tuple[int, ...] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
    ):
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip((inputs, *widths), widths, strict=False):
            layers += [nn.Linear(fan_in, fan_out), activation()]
        super().__init__(*layers, nn.Linear((inputs, *widths)[-1], outputs), Float())


class Logit(Perceptron):
    """A fully connected discriminator or critic: (batch, inputs) to one number each, (batch,)."""

    def __init__(
        self,
        inputs: int,
        widths: tuple[int, ...] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
    ):
        super().__init__(inputs, 1, widths, activation)
        self.append(nn.Flatten(0))


class DCGANGenerator(Layers):
    """Noise (batch, noise_size) to images (batch, channels, side, side) in (-1, 1).

    Strided transposed convolutions with batch normalization (Radford et al., 2016). The side is
    halved as often as it stays whole and at least 4: 28 grows from 7, and 32 from 4. `width` is
    the number of channels before the last layer; it doubles with each layer towards the noise.
    """

    def __init__(self, noise_size: int = 64, side: int = 28, channels: int = 1, width: int = 64):
        halvings, base = _halvings(side)
        filters = width * 2 ** (halvings - 1)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (noise_size, 1, 1)),
            nn.ConvTranspose2d(noise_size, filters, base, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
        ]
        for _ in range(halvings - 1):
            layers += [
                nn.ConvTranspose2d(filters, filters // 2, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(filters // 2),
                nn.ReLU(inplace=True),
            ]
            filters //= 2
        layers += [nn.ConvTranspose2d(filters, channels, 4, stride=2, padding=1), nn.Tanh()]
        super().__init__(*layers, Float())
        self.settings = {
            "noise_size": noise_size,
            "side": side,
            "channels": channels,
            "width": width,
        }
        _initialise(self)


class DCGANDiscriminator(Layers):
    """Images (batch, channels, side, side) to logits (batch,); the mirror of `DCGANGenerator`.

    The logit is log D(x) - log(1 - D(x)): a sigmoid turns it into the probability D(x).
    """

    def __init__(self, side: int = 28, channels: int = 1, width: int = 64):
        halvings, base = _halvings(side)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for _ in range(halvings - 1):
            layers += [
                nn.Conv2d(width, width * 2, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width * 2),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width *= 2
        layers += [nn.Conv2d(width, 1, base), nn.Flatten(0), Float()]
        super().__init__(*layers)
        _initialise(self)


class DigitClassifier(nn.Module):
    """Images (batch, channels, 28, 28) in [-1, 1] to logits (batch, classes), by way of features.

    Three convolutions with batch normalization, each followed by a halving, then a layer of
    `features` units, whose values `embed` gives. width: channels of the first convolution.
    """

    def __init__(self, classes: int = 10, channels: int = 1, width: int = 32, features: int = 128):
        super().__init__()
        self.settings = {
            "classes": classes,
            "channels": channels,
            "width": width,
            "features": features,
        }
        layers: list[nn.Module] = []
        for fan_in, fan_out in ((channels, width), (width, 2 * width), (2 * width, 2 * width)):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(2 * width * 3 * 3, features), nn.ReLU(), Float()
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(features, classes), Float())

    def embed(self, images: Tensor) -> Tensor:
        """The feature vectors of images: (batch, features), not negative."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of images."""
        return self.head(self.embed(images))


def _halvings(side: int) -> tuple[int, int]:
    """How often `side` can be halved while it stays whole and at least 4, and what is left."""
    halvings = 0
    while side % 2 == 0 and side // 2 >= 4:
        side, halvings = side // 2, halvings + 1
    if halvings == 0:
        raise ValueError(f"side={side} is too small or odd: expected an even number of 8 or more")
    return halvings, side


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """DCGAN's start: every weight from N(0, 0.02²), batch normalization around 1."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.normal_(0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.normal_(1.0, 0.02)
