"""The small convolutional pair of Metz et al. (2017, appendix), for digits and stacked digits."""

from torch import Tensor, nn

from ganlib.nets.inputs import check_images, check_noise
from ganlib.nets.perceptrons import Float, Layers
from ganlib.sizes import whole

SIDE = 28


class SmallGenerator(Layers):
    """Noise (batch, noise_size) to images (batch, channels, 28, 28) in (-1, 1).

    A square of side 4 is doubled three times, to 7, 14 and 28, each time with half the channels
    and after batch normalization. width: channels at the full side. Raises ValueError for sizes
    below 1.
    """

    def __init__(self, noise_size: int = 256, channels: int = 3, width: int = 8):
        noise_size, channels = whole("noise_size", noise_size), whole("channels", channels)
        width = whole("width", width)
        layers: list[nn.Module] = [nn.Linear(noise_size, 8 * width * 4 * 4)]
        layers += [nn.Unflatten(1, (8 * width, 4, 4)), nn.BatchNorm2d(8 * width), nn.ReLU()]
        # From 4 to 7 the last row and column are left out.
        for filters, more in ((4 * width, 0), (2 * width, 1), (width, 1)):
            wide = nn.ConvTranspose2d(2 * filters, filters, 3, 2, 1, output_padding=more)
            layers += [wide, nn.BatchNorm2d(filters), nn.ReLU()]
        layers += [nn.Conv2d(width, channels, 3, padding=1), nn.Tanh(), Float()]
        super().__init__(*layers)
        self.settings = {"noise_size": noise_size, "channels": channels, "width": width}

    def forward(self, noise: Tensor) -> Tensor:
        """The images; ValueError for noise of another size."""
        check_noise(noise, self.settings)
        return super().forward(noise)


class SmallDiscriminator(Layers):
    """Images (batch, channels, 28, 28) to logits (batch,).

    Three convolutions halve the side, to 14, 7 and 4, each with twice the channels and a leak of
    0.3. Nothing is normalized: a generator that collapses hides in the statistics of its own batch.
    width: channels of the first. Raises ValueError for sizes below 1.
    """

    def __init__(self, channels: int = 3, width: int = 8):
        channels, width = whole("channels", channels), whole("width", width)
        layers: list[nn.Module] = []
        for fan_in, fan_out in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(fan_in, fan_out, 3, 2, 1), nn.LeakyReLU(0.3)]
        last = nn.Linear(4 * width * 4 * 4, 1)
        super().__init__(*layers, nn.Flatten(), last, nn.Flatten(0), Float())
        self.settings = {"channels": channels, "width": width}

    def forward(self, images: Tensor) -> Tensor:
        """The logits; ValueError for images of another size."""
        check_images(images, {**self.settings, "side": SIDE})
        return super().forward(images)
