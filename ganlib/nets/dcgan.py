"""Convolutional networks for images (Radford et al., 2016): a generator and its mirror."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlib.nets.inputs import check_images, check_noise
from ganlib.nets.perceptrons import Float, Layers
from ganlib.sizes import whole


class DCGANGenerator(Layers):
    """Noise (batch, noise_size) to images (batch, channels, side, side) in (-1, 1).

    Strided transposed convolutions with batch normalization (Radford et al., 2016). The side is
    halved as often as it stays whole and at least 4: 28 grows from 7, and 32 from 4. `width` is
    the number of channels before the last layer; it doubles with each layer towards the noise.
    choices: if not 0, the noise goes through `Choice` first. Raises ValueError for sizes of which
    there is none, or as many choices as noise.
    """

    def __init__(
        self,
        noise_size: int = 64,
        side: int = 28,
        channels: int = 1,
        width: int = 64,
        choices: int = 0,
    ):
        halvings, base = halved(side)
        noise_size, channels = whole("noise_size", noise_size), whole("channels", channels)
        side, width = int(side), whole("width", width)
        choices = whole("choices", choices, 0, noise_size - 1)
        layers = growing(noise_size, base, halvings, channels, width)
        super().__init__(*([Choice(choices)] if choices else []), *layers, Float())
        self.settings = {
            "noise_size": noise_size,
            "side": side,
            "channels": channels,
            "width": width,
            "choices": choices,
        }
        _initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """The images; ValueError for noise of another size."""
        check_noise(noise, self.settings)
        return super().forward(noise)


class Choice(nn.Module):
    """Noise (batch, n) to a choice among `choices`, and quieter noise; the same size.

    Of the first `choices` numbers only the largest counts: it becomes 1, the others 0. Of noise
    from N(0, I) each choice comes as often as any other, independently of the rest, which is
    multiplied by `scale`. So a generator need not lead over from one kind of image to another.
    """

    def __init__(self, choices: int, scale: float = 0.25):
        super().__init__()
        self.choices, self.scale = choices, scale

    def forward(self, noise: Tensor) -> Tensor:
        """The choice as a one-hot vector, then the quieter numbers."""
        chosen = noise[:, : self.choices].argmax(1)
        quiet = self.scale * noise[:, self.choices :]
        return torch.cat([one_hot(chosen, self.choices).to(noise), quiet], 1)


class DCGANDiscriminator(Layers):
    """Images (batch, channels, side, side) to logits (batch,); the mirror of `DCGANGenerator`.

    The logit is log D(x) - log(1 - D(x)): a sigmoid turns it into the probability D(x).
    normalized: with batch normalization. Without, the answer to one image does not depend on the
    others in its batch, which a penalty on the gradient at each image needs (Gulrajani et al.,
    2017, section 4). features: the units of a layer between the convolutions and the logit, or
    None for no such layer. Raises ValueError for sizes of which there is none.
    """

    def __init__(
        self,
        side: int = 28,
        channels: int = 1,
        width: int = 64,
        normalized: bool = True,
        features: int | None = None,
    ):
        halvings, base = halved(side)
        side, channels, width = int(side), whole("channels", channels), whole("width", width)
        if not isinstance(normalized, bool):
            raise ValueError(f"normalized={normalized!r}: expected True or False")
        features = None if features is None else whole("features", features)
        layers = shrinking(channels, width, halvings, base, normalized)
        if features is not None:
            seen = width * 2 ** (halvings - 1) * base**2
            end = [nn.Linear(features, 1), nn.Flatten(0)]
            layers[-2:] = [*dense(seen, features, normalized), *end]
        super().__init__(*layers, Float())
        self.settings = {
            "side": side,
            "channels": channels,
            "width": width,
            "normalized": normalized,
            "features": features,
        }
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """The logits; ValueError for images of another size, which could give several each."""
        check_images(images, self.settings)
        return super().forward(images)


class DCGANTrunk(Layers):
    """Images (batch, channels, side, side) to features (batch, features), which heads share.

    The convolutions of `DCGANDiscriminator`, then a normalized layer of `features` units (Chen et
    al., 2016, table 1). Raises ValueError for sizes of which there is none.
    """

    def __init__(self, side: int = 28, channels: int = 1, width: int = 64, features: int = 1024):
        halvings, base = halved(side)
        side, channels = int(side), whole("channels", channels)
        width, features = whole("width", width), whole("features", features)
        convolutions = shrinking(channels, width, halvings, base, normalized=True)[:-2]
        seen = width * 2 ** (halvings - 1) * base**2
        super().__init__(*convolutions, *dense(seen, features, normalized=True), Float())
        self.settings = {
            "side": side,
            "channels": channels,
            "width": width,
            "features": features,
        }
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """The features; ValueError for images of another size."""
        check_images(images, self.settings)
        return super().forward(images)


def growing(
    noise_size: int, base: int, doublings: int, channels: int, width: int
) -> list[nn.Module]:
    """From noise to a square of side `base`, doubled `doublings` times."""
    filters = width * 2 ** (doublings - 1)
    start = nn.ConvTranspose2d(noise_size, filters, base, bias=False)
    layers = [nn.Unflatten(1, (noise_size, 1, 1)), start]
    for _ in range(doublings - 1):
        layers += [nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
        half = filters // 2
        layers += [nn.ConvTranspose2d(filters, half, 4, 2, 1, bias=False)]
        filters = half
    layers += [nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
    last = nn.ConvTranspose2d(filters, channels, 4, 2, 1)
    return [*layers, last, nn.Tanh()]


def shrinking(
    channels: int, width: int, halvings: int, base: int, normalized: bool
) -> list[nn.Module]:
    """From images to a square of side `base`, and from it to one number."""
    layers = [nn.Conv2d(channels, width, 4, 2, 1)]
    for _ in range(halvings - 1):
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        double, plain = 2 * width, not normalized
        layers += [nn.Conv2d(width, double, 4, 2, 1, bias=plain)]
        width = double
        if normalized:
            layers += [nn.BatchNorm2d(width)]
    layers += [nn.LeakyReLU(0.2, inplace=True)]
    return [*layers, nn.Conv2d(width, 1, base), nn.Flatten(0)]


def dense(seen: int, features: int, normalized: bool) -> list[nn.Module]:
    """A layer of `features` units upon all of an image, `seen` numbers."""
    layers = [nn.Flatten(1), nn.Linear(seen, features, bias=not normalized)]
    if normalized:
        layers += [nn.BatchNorm1d(features)]
    return [*layers, nn.LeakyReLU(0.2)]


def halved(side: int) -> tuple[int, int]:
    """How often `side` can be halved while it stays whole and at least 4, and what is left."""
    halvings, left = 0, whole("side", side)
    while left % 2 == 0 and left // 2 >= 4:
        left, halvings = left // 2, halvings + 1
    if halvings == 0:
        raise ValueError(f"side={side} is too small or odd: expected an even number of 8 or more")
    return halvings, left


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """DCGAN's start: every weight from N(0, 0.02²), batch normalization around 1."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.normal_(0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.normal_(1.0, 0.02)
