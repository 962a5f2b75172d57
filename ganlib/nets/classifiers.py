"""Classifiers, whose features judge generators."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import normalize, relu

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
        self.body = nn.Sequential(
            *halving(channels, width, 2 * width, 2 * width),
            nn.Flatten(),
            nn.Linear(2 * width * 3 * 3, features),
            nn.ReLU(),
            Float(),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(features, classes), Float())

    def embed(self, images: Tensor) -> Tensor:
        """The feature vectors of images: (batch, features), not negative."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of images."""
        return self.head(self.embed(images))


class EmojiReader(nn.Module):
    """Pictures (batch, 3, 32, 32) in [-1, 1] to two answers: who drew them, and what they show.

    Three convolutions as in `DigitClassifier`, then `features` numbers, which `embed` gives. From
    these come the logits of the foundries, and a vector of length 1 that is near that of the same
    emoji by another foundry. Raises ValueError for sizes below 1.
    """

    def __init__(self, foundries: int = 3, width: int = 32, features: int = 64):
        super().__init__()
        foundries, width = whole("foundries", foundries), whole("width", width)
        features = whole("features", features)
        self.settings = {"foundries": foundries, "width": width, "features": features}
        self.body = nn.Sequential(
            *halving(3, width, 2 * width, 4 * width),
            nn.Flatten(),
            nn.Linear(4 * width * 4 * 4, features),
            Float(),
        )
        self.foundry = nn.Sequential(nn.Linear(features, foundries), Float())
        self.content = nn.Sequential(nn.Linear(features, features), Float())

    def embed(self, images: Tensor) -> Tensor:
        """The features of pictures: (batch, features)."""
        return self.body(images)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, foundries), and unit vectors (batch, features)."""
        seen = relu(self.embed(images))
        return self.foundry(seen), normalize(self.content(seen), dim=1)


def halving(*channels: int) -> list[nn.Module]:
    """Normalized convolutions between so many channels, each followed by a halving of the sides."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(channels):
        layers += [
            nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(fan_out),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
    return layers
