"""f-divergences, one row each: all that the game, the claims and the plots know of one.

D_f(p ‖ q) = E_q f(p / q) for a convex f on [0, ∞). It is also the largest E_p T - E_q f*(T) over
all functions T (Nguyen et al., 2010), and that is the game of `games.fgan`. A new row in
`F_DIVERGENCES` is a new game. Rows follow table 6 of Nowozin et al. (2016), but that conjugates are
those of f on [0, ∞), where ratios lie, and that "jensen-shannon" has the factor ½ of its name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from ganlib.divergences.tables import distributions

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FDivergence:
    """One row: how to compute an f-divergence, and how to play for it.

    f: of a ratio u ≥ 0, its limit at 0 included; ∞ there if it has none.
    conjugate: f*(t) = sup over u ≥ 0 of t u - f(u). It never falls, so that a generator which is
    paid by it never gains where T falls.
    domain: the least and the largest t at which f* is finite. The largest is the limit of f(u) / u,
    which is what mass of p costs where q has none.
    activation: any real number to a t in the domain, in order.
    optimal: f'(u), the T at which the bound is tight where the ratio is u.
    """

    f: Function
    conjugate: Function
    domain: tuple[float, float]
    activation: Function
    optimal: Function


def _entropy(u: Tensor) -> Tensor:
    """u log u, and 0 at 0."""
    return torch.xlogy(u, u)


def _identity(v: Tensor) -> Tensor:
    return v


def _below_one(v: Tensor) -> Tensor:
    return 1 - torch.exp(-v)


def _jeffrey_conjugate(t: Tensor) -> Tensor:
    """e⁻ʸ - 1 - y, where y + eʸ = 1 - t: y is the logarithm of Lambert's W at e¹⁻ᵗ."""
    target = 1 - t
    with torch.no_grad():
        y = torch.where(target < 1, target, target.clamp(min=1).log())
        for _ in range(8):
            y = y - (y + y.exp() - target) / (1 + y.exp())
    # One more step of Newton's, which has the derivative too.
    y = y - (y + y.exp() - target) / (1 + y.exp())
    return torch.exp(-y) - 1 - y


F_DIVERGENCES: dict[str, FDivergence] = {
    "kl": FDivergence(
        f=_entropy,
        conjugate=lambda t: torch.exp(t - 1),
        domain=(-math.inf, math.inf),
        activation=_identity,
        optimal=lambda u: 1 + u.log(),
    ),
    "reverse-kl": FDivergence(
        f=lambda u: -u.log(),
        conjugate=lambda t: -1 - torch.log(-t),
        domain=(-math.inf, 0.0),
        activation=lambda v: -torch.exp(-v),
        optimal=lambda u: -1 / u,
    ),
    "pearson": FDivergence(
        f=lambda u: (u - 1) ** 2,
        # Below -2 the best ratio is 0; a quadratic goes on only if f does, to ratios below 0.
        conjugate=lambda t: (t.clamp(min=-2) / 2 + 1) ** 2 - 1,
        domain=(-math.inf, math.inf),
        activation=_identity,
        optimal=lambda u: 2 * (u - 1),
    ),
    "neyman": FDivergence(
        f=lambda u: (1 - u) ** 2 / u,
        conjugate=lambda t: 2 - 2 * torch.sqrt(1 - t),
        domain=(-math.inf, 1.0),
        activation=_below_one,
        optimal=lambda u: 1 - 1 / u**2,
    ),
    "hellinger": FDivergence(
        f=lambda u: (u.sqrt() - 1) ** 2,
        conjugate=lambda t: t / (1 - t),
        domain=(-math.inf, 1.0),
        activation=_below_one,
        optimal=lambda u: 1 - 1 / u.sqrt(),
    ),
    "jeffrey": FDivergence(
        f=lambda u: torch.where(u > 0, (u - 1) * u.log(), math.inf),
        conjugate=_jeffrey_conjugate,
        domain=(-math.inf, math.inf),
        activation=_identity,
        optimal=lambda u: u.log() + 1 - 1 / u,
    ),
    "jensen-shannon": FDivergence(
        f=lambda u: _entropy(u) / 2 - (u + 1) / 2 * torch.log((u + 1) / 2),
        conjugate=lambda t: -torch.log(2 - torch.exp(2 * t)) / 2,
        domain=(-math.inf, math.log(2) / 2),
        activation=lambda v: (math.log(2) + logsigmoid(v)) / 2,
        optimal=lambda u: torch.log(2 * u / (1 + u)) / 2,
    ),
    "gan": FDivergence(
        f=lambda u: _entropy(u) - (u + 1) * torch.log1p(u),
        conjugate=lambda t: -torch.log(-torch.expm1(t)),
        domain=(-math.inf, 0.0),
        activation=logsigmoid,
        optimal=lambda u: -softplus(-u.log()),
    ),
    # The limiting case: f has a corner at 1, f' jumps from one end of the activation to the other.
    "total-variation": FDivergence(
        f=lambda u: (u - 1).abs() / 2,
        conjugate=lambda t: t.clamp(min=-0.5),
        domain=(-math.inf, 0.5),
        activation=lambda v: torch.tanh(v) / 2,
        optimal=lambda u: torch.sign(u - 1) / 2,
    ),
}


def f_divergence(name: str, p: Tensor, q: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """D_f(p ‖ q) = E_q f(p / q), of the row of that name, over the last axis.

    Where q has no mass, p's counts by the limit of f(u) / u, the upper end of the row's domain.
    Arguments and errors as for `kullback_leibler`; ValueError that lists the names for another.
    Rows with f(1) = 0 are 0 for equal distributions; "gan" is 2 JSD - log 4.
    """
    row = f_divergence_named(name)
    p, q, cells = distributions(p, q, cells)
    p, q = torch.broadcast_tensors(p, q)
    ratio = torch.where(q > 0, p, 0.0) / torch.where(q > 0, q, 1.0)
    beyond = (q <= 0) | ratio.isinf()
    values = q * row.f(torch.where(beyond, 1.0, ratio))
    alone = p * row.domain[1] if math.isfinite(row.domain[1]) else torch.where(p > 0, math.inf, p)
    # Cells that weigh nothing count nothing, whatever is there.
    values = torch.where(beyond, torch.where(p > 0, alone, 0.0), values)
    return torch.where(cells > 0, values * cells, 0.0).sum(-1)


def f_divergence_named(name: str) -> FDivergence:
    """The row of that name; ValueError that lists the names for any other."""
    if name not in F_DIVERGENCES:
        raise ValueError(
            f"divergence {name!r} is not known: choose one of {', '.join(F_DIVERGENCES)}"
        )
    return F_DIVERGENCES[name]
