"""Discriminators that see data together with something else: a label, or the noise of a draw."""

import torch
from torch import Tensor, nn


class WithPlanes(nn.Module):
    """Images, with a label as constant planes beside their channels: to what a network answers.

    network: images of channels + classes channels to logits (batch,).
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, told: Tensor) -> Tensor:
        """The answers for images (batch, channels, h, w) and labels (batch, classes)."""
        planes = told[:, :, None, None].expand(-1, -1, *images.shape[2:])
        return self.network(torch.cat([images, planes], 1))


class Joined(nn.Module):
    """Data, flattened, and a second vector in one row: to what a network answers.

    network: (batch, numbers of both) to logits (batch,). factor: what the vector is multiplied by,
    so that a few numbers are heard beside many.
    """

    def __init__(self, network: nn.Module, factor: float = 1.0):
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, data: Tensor, beside: Tensor) -> Tensor:
        """The answers for data (batch, ...) and vectors (batch, size)."""
        return self.network(torch.cat([data.flatten(1), self.factor * beside], 1))
