"""Classifiers, whose features judge generators."""

from torch import Tensor, nn

from ganlib.nets.perceptrons import Float
from ganlib.sizes import whole


class DigitClassifier(nn.Module):
    """Images (batch, channels, 28, 28) in [-1, 1] to logits (batch, classes), by way of features.

    Three convolutions with batch normalization, each followed by a halving, then a layer of
    `features` units, whose values `embed` gives. width: channels of the first convolution. Raises
    ValueError for sizes below 1.
    """

    def __init__(self, classes: int = 10, channels: int = 1, width: int = 32, features: int = 128):
        super().__init__()
        classes, channels = whole("classes", classes), whole("channels", channels)
        width, features = whole("width", width), whole("features", features)
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
