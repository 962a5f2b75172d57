"""How steep a critic is at each example, with a graph, so that games may charge for it."""

import torch
from torch import Tensor, nn

from ganlib.runtime import no_autocast


def squared_slopes(critic: nn.Module, x: Tensor) -> Tensor:
    """‖∇f‖² at each of the examples x, (batch,), in full precision.

    The critic may not normalize over the batch, or an example's slope is not its own.
    """
    x = x.detach().requires_grad_(True)
    with no_autocast(x.device):
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return slope.square().flatten(1).sum(1)


def slopes(critic: nn.Module, x: Tensor) -> Tensor:
    """‖∇f‖ at each of the examples x, (batch,), as `squared_slopes`."""
    squared = squared_slopes(critic, x)
    # The norm has no slope at 0, where its square is flat.
    return torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
