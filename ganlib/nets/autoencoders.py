"""Autoencoders as energies: how far an image is from what comes back (Zhao et al., 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlib.nets.dcgan import halved
from ganlib.nets.inputs import check_images
from ganlib.nets.perceptrons import Perceptron
from ganlib.sizes import whole


class Autoencoder(nn.Module):
    """Images x to energies ‖decoder(encoder(x)) - x‖, (batch,), the Euclidean norm over pixels."""

    encoder: nn.Module
    decoder: nn.Module
    settings: dict[str, object]

    def coded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The energies, (batch,), and the codes, (batch, size).

        Raises ValueError for images of another size.
        """
        check_images(images, self.settings)
        codes = self.encoder(images)
        # In float32, whatever the layers computed in.
        back = self.decoder(codes).float().view_as(images)
        missing = (back - images).flatten(1)
        return torch.linalg.vector_norm(missing, dim=1), codes.float()

    def reconstructed(self, images: Tensor) -> Tensor:
        """What comes back, of the images' shape; ValueError for another size."""
        check_images(images, self.settings)
        return self.decoder(self.encoder(images)).float().view_as(images)

    def forward(self, images: Tensor) -> Tensor:
        """The energies; ValueError for images of another size."""
        return self.coded(images)[0]


class ConvolutionalAutoencoder(Autoencoder):
    """An autoencoder of strided convolutions, which halve the side as `DCGANDiscriminator` does.

    Nothing is normalized, so an image's energy is its own. width: channels after the first layer,
    doubled with each halving. code_size: numbers in a code. Raises ValueError for sizes of which
    there is none.
    """

    def __init__(self, side: int = 28, channels: int = 1, width: int = 32, code_size: int = 32):
        super().__init__()
        halvings, base = halved(side)
        side, channels = int(side), whole("channels", channels)
        width, code_size = whole("width", width), whole("code_size", code_size)
        filters = [channels, *(width * 2**i for i in range(halvings))]
        down: list[nn.Module] = []
        up: list[nn.Module] = [nn.Tanh()]
        for fan_in, fan_out in zip(filters, filters[1:], strict=False):
            down += [nn.Conv2d(fan_in, fan_out, 4, 2, 1), nn.LeakyReLU(0.2)]
            up += [nn.ConvTranspose2d(fan_out, fan_in, 4, 2, 1), nn.LeakyReLU(0.2)]
        start = nn.ConvTranspose2d(code_size, filters[-1], base)
        self.encoder = nn.Sequential(*down, nn.Conv2d(filters[-1], code_size, base), nn.Flatten(1))
        self.decoder = nn.Sequential(nn.Unflatten(1, (code_size, 1, 1)), start, *reversed(up))
        self.settings = {
            "side": side,
            "channels": channels,
            "width": width,
            "code_size": code_size,
        }


class DenseAutoencoder(Autoencoder):
    """A fully connected autoencoder, whose decoder mirrors its encoder.

    widths: of the encoder's layers, of which the last is the code. Raises ValueError for sizes that
    are no whole numbers of 1 or more.
    """

    def __init__(self, side: int = 28, channels: int = 1, widths: Sequence[int] = (256, 64)):
        super().__init__()
        side, channels = whole("side", side), whole("channels", channels)
        if not isinstance(widths, Sequence) or not widths:
            raise ValueError(f"widths={widths!r}: expected a list of one or more whole numbers")
        *hidden, code = widths
        pixels = channels * side * side
        self.encoder = nn.Sequential(nn.Flatten(1), Perceptron(pixels, code, hidden))
        mirror = Perceptron(code, pixels, hidden[::-1])
        self.decoder = nn.Sequential(nn.ReLU(), mirror, nn.Tanh())
        self.settings = {"side": side, "channels": channels, "widths": tuple(widths)}
