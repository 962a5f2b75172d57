"""The optimisers that recipes use, their steps as functions, and the schedules of their rates."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def adam(
    module: nn.Module, rate: float, betas: tuple[float, float] = (0.5, 0.999)
) -> torch.optim.Adam:
    """Adam with the momentum that DCGAN made customary, fused into one kernel.

    Raises ValueError for a network without weights, and what torch says of rates and momenta.
    """
    return _adam(_weights(module), rate, betas)


class Muon(torch.optim.Optimizer):
    """Muon on the matrices within a network, Adam on all else (Jordan et al., 2024).

    The momentum of each kernel, (outputs, ...), is seen as a matrix and replaced by the nearest one
    with orthonormal rows or columns, by five Newton-Schulz steps; torch's own Muon does it.
    module: the network. rate: of Muon. adam_rate: of Adam, which fits vectors and the weights of
    the layers in `beside`, by the name of the layer: customarily the first and the last.
    Raises ValueError for a layer that is not there, or a network without matrices left.
    """

    def __init__(
        self,
        module: nn.Module,
        rate: float,
        adam_rate: float,
        beside: Collection[str] = (),
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        layers = dict(module.named_modules())
        unknown = sorted(set(beside) - layers.keys())
        if unknown:
            raise ValueError(f"beside={unknown}: expected layers of the network, {list(layers)}")
        apart = {id(p) for name in beside for p in layers[name].parameters()}
        weights = _weights(module)
        matrices = [p for p in weights if p.ndim >= 2 and id(p) not in apart]
        rest = [p for p in weights if p.ndim < 2 or id(p) in apart]
        if not matrices or not rest:
            raise ValueError("expected some matrices for Muon, and some other weights for Adam")
        # torch's Muon takes matrices: these are the kernels themselves, seen as such.
        self._flat = [(p, nn.Parameter(_as_matrix(p.detach()))) for p in matrices]
        self._muon = torch.optim.Muon(
            [flat for _, flat in self._flat], rate, weight_decay=0.0, momentum=momentum
        )
        self._adam = _adam(rest, adam_rate, betas)
        groups = [
            {"params": matrices, "lr": rate, "momentum": momentum},
            {"params": rest, "lr": adam_rate, "betas": betas},
        ]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step of each."""
        inner = self._muon.param_groups[0], self._adam.param_groups[0]
        for group, own in zip(self.param_groups, inner, strict=True):
            own["lr"] = group["lr"]
        rest = self.param_groups[1]["params"]
        # What each weight's optimiser remembers is this one's state, to be saved and loaded.
        pairs = [*((self._muon, p, flat) for p, flat in self._flat)]
        pairs += [(self._adam, p, p) for p in rest]
        for optimiser, parameter, seen in pairs:
            if parameter in self.state:
                optimiser.state[seen] = self.state[parameter]
        for parameter, flat in self._flat:
            if parameter.grad is None:
                flat.grad = None
            else:
                flat.grad = _as_matrix(torch.empty_like(parameter).copy_(parameter.grad))
        self._muon.step()
        self._adam.step()
        for optimiser, parameter, seen in pairs:
            if seen in optimiser.state:
                self.state[parameter] = optimiser.state[seen]


def foreseen(
    optimiser: torch.optim.Optimizer,
    module: nn.Module,
    cost: Callable[[Mapping[str, Tensor]], Tensor],
    steps: int,
) -> dict[str, Tensor]:
    """The weights of a module after `steps` of its optimiser down a cost, which are not taken.

    cost: the weights by name to the scalar that the optimiser would descend. The result is
    differentiable by all that the cost depends on, through every step and through Adam's moments,
    which start where they are now. Module and optimiser stay as they are.
    Raises ValueError as `check_foreseeable` does.
    """
    check_foreseeable(optimiser, module)
    names = {parameter: name for name, parameter in module.named_parameters()}
    owners = [(names[p], p, group) for group in optimiser.param_groups for p in group["params"]]
    weights = {n: p.detach().clone().requires_grad_() for n, p in module.named_parameters()}
    moments = {name: _present(optimiser.state.get(p), p) for name, p, _ in owners}
    for _ in range(steps):
        found = torch.autograd.grad(cost(weights), list(weights.values()), create_graph=True)
        slopes = dict(zip(weights, found, strict=True))
        weights = dict(weights)
        for name, _, group in owners:
            if isinstance(optimiser, torch.optim.SGD):
                move = group["lr"] * slopes[name]
            else:
                moments[name], move = _adams(*moments[name], slopes[name], group)
            weights[name] = weights[name] - move
    return weights


def check_foreseeable(optimiser: torch.optim.Optimizer, module: nn.Module) -> None:
    """ValueError unless it is Adam, or SGD without momentum, of all of the module's weights.

    Neither may decay weights, maximise, or be a variant such as AMSGrad.
    """
    if type(optimiser) not in (torch.optim.Adam, torch.optim.SGD):
        raise ValueError(f"optimiser {type(optimiser).__name__}: expected torch's Adam or SGD")
    for group in optimiser.param_groups:
        for option in ("weight_decay", "amsgrad", "maximize", "momentum", "nesterov"):
            if group.get(option):
                raise ValueError(f"{option}={group[option]}: expected none, to be foreseen")
    fitted = {id(p) for group in optimiser.param_groups for p in group["params"]}
    if fitted != {id(p) for p in module.parameters()}:
        raise ValueError(
            f"the optimiser fits other weights than {type(module).__name__}'s: expected those, "
            "and all of them"
        )


def _present(
    state: Mapping[str, Any] | None, parameter: Tensor
) -> tuple[Tensor | float, Tensor, Tensor]:
    """Adam's count of steps and its two moments; none yet before its first step."""
    if not state or "exp_avg" not in state:
        return 0.0, torch.zeros_like(parameter), torch.zeros_like(parameter)
    # A tensor still: a fused Adam counts on the device, which nobody should wait for.
    return state["step"].double(), state["exp_avg"], state["exp_avg_sq"]


def _adams(
    count: Tensor | float, first: Tensor, second: Tensor, slope: Tensor, group: Mapping[str, Any]
) -> tuple[tuple[Tensor | float, Tensor, Tensor], Tensor]:
    """Adam's moments after one slope, and by how much it moves (Kingma and Ba, 2015)."""
    (beta_1, beta_2), count = group["betas"], count + 1
    first = beta_1 * first + (1 - beta_1) * slope
    second = beta_2 * second + (1 - beta_2) * slope.square()
    # The root of 0 has no slope, and what is 0 here has had no slope either: it does not move.
    moved = second > 0
    root = torch.where(moved, second, 1.0).sqrt() / (1 - beta_2**count) ** 0.5
    step = first / (1 - beta_1**count) / (root + group["eps"])
    return (count, first, second), torch.where(moved, group["lr"] * step, 0.0)


def cosine(progress: float) -> float:
    """A learning-rate factor that falls from 1 to 0 along half a cosine."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


def late_decline(progress: float) -> float:
    """A learning-rate factor of 1 for half of a run, that then falls evenly to 0."""
    return min(1.0, 2.0 - 2.0 * progress)


def warmed_up(
    share: float, schedule: Callable[[float], float] = cosine
) -> Callable[[float], float]:
    """A schedule that rises evenly over the first `share` of a run, then goes its way.

    Raises ValueError for a share outside 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share={share}: expected 0 to below 1")

    def warmed(progress: float) -> float:
        if progress < share:
            return progress / share * schedule(0.0)
        return schedule((progress - share) / (1 - share))

    return warmed


def _adam(weights: list[nn.Parameter], rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(weights, rate, betas, fused=weights[0].device.type in ("cpu", "cuda"))


def _weights(module: nn.Module) -> list[nn.Parameter]:
    weights = list(module.parameters())
    if not weights:
        raise ValueError(f"{type(module).__name__} has no weights to fit")
    return weights


def _as_matrix(kernel: Tensor) -> Tensor:
    """A kernel, (outputs, inputs, ...), as (outputs, all else), in whatever order it lies there."""
    if kernel.ndim == 4 and kernel.is_contiguous(memory_format=torch.channels_last):
        kernel = kernel.permute(0, 2, 3, 1)
    return kernel.view(len(kernel), -1)
