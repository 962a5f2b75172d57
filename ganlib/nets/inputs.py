"""What convolutional pairs are given: checked against the sizes that they were built with."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def check_noise(noise: Tensor, settings: Mapping[str, Any]) -> None:
    """ValueError for noise of another size than (batch, noise_size)."""
    if noise.shape[1:] != (settings["noise_size"],):
        raise ValueError(
            f"noise of shape {tuple(noise.shape)}: expected (batch, {settings['noise_size']})"
        )


def check_images(images: Tensor, settings: Mapping[str, Any]) -> None:
    """ValueError for images of another size than (batch, channels, side, side)."""
    channels, side = settings["channels"], settings["side"]
    if images.shape[1:] != (channels, side, side):
        raise ValueError(
            f"images of shape {tuple(images.shape)}: expected (batch, {channels}, {side}, {side})"
        )
