"""The optimisers that recipes use, and the schedules of their rates."""

import math

import torch
from torch import nn


def adam(
    module: nn.Module, rate: float, betas: tuple[float, float] = (0.5, 0.999)
) -> torch.optim.Adam:
    """Adam with the momentum that DCGAN made customary, fused into one kernel."""
    parameters = list(module.parameters())
    fused = parameters[0].device.type in ("cpu", "cuda")
    return torch.optim.Adam(parameters, rate, betas, fused=fused)


def cosine(progress: float) -> float:
    """A learning-rate factor that falls from 1 to 0 along half a cosine."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)
