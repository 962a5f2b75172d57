"""What the recipes of several chapters share: their sizes, their streams, the fit of a chain."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from ganlib.chains import Chain, MaximumLikelihood
from ganlib.datasets import tossed
from ganlib.optimisers import Muon, adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import held_out, negative_log_likelihood
from ganlib.runtime import Choice, Run
from ganlib.streams import Draws, Minibatches


def paper(run: Run, *, gpu: Choice, cpu: Choice) -> Choice:
    """The `paper` preset's size on a GPU, and one that a single core trains in about an hour."""
    return cpu if run.device.type == "cpu" else gpu


def minibatches(
    run: Run, *tensors: Tensor, size: int, prepare: Callable[[Tensor], Any] | None = None
) -> Minibatches:
    """Minibatches in the order of the run's seed, on its device, shared by its processes."""
    return Minibatches(
        *tensors,
        size=size,
        seed=run.seed,
        device=run.device,
        prepare=prepare,
        rank=run.rank,
        world=run.world,
    )


def draws(run: Run, distribution: Distribution, size: int) -> Draws:
    """Fresh minibatches from a distribution, on the run's device, shared by its processes."""
    return Draws(distribution, size, run.device, run.world)


# A minibatch is shared out among so many orders: a step that serves one order spoils others.
ORDERS_AT_ONCE = 4


def likelihood(
    name: str,
    run: Run,
    chain: Chain,
    images: Tensor,
    rounds: int,
    generation_orders: Sequence[Tensor] | None = None,
    grey: Tensor | None = None,
) -> Recipe:
    """Maximum likelihood, with an average of the weights.

    grey: the images' grey levels, if their coins are to be tossed afresh
    for each minibatch.
    """
    size = run.pick(smoke=16, book=32, paper=paper(run, gpu=128, cpu=32))
    several = min(ORDERS_AT_ONCE, len(generation_orders or [None]))
    game = run.place(MaximumLikelihood(chain, generation_orders, several))
    training, rest = held_out(run, images)
    if grey is not None:
        training, _ = held_out(run, grey)
    prepare = None if grey is None else tossed
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, training, size=size, prepare=prepare),
        optimisers={"chain": fitting_optimiser(run, chain)},
        rounds=rounds,
        averages={"chain": run.pick(smoke=0.9, book=0.99, paper=0.999)},
        schedule=cosine,
        precision=run.precision,
        measure=negative_log_likelihood(rest, generation_orders),
    )


# The first and the last layers of chains, whose kernels Muon leaves to Adam.
ENDS = ("first", "place", "above", "left", "place_above", "head.3")


def fitting_optimiser(run: Run, chain: Chain) -> torch.optim.Optimizer:
    """Adam; for the long runs of `paper`, Muon on what lies within."""
    if run.preset != "paper":
        return adam(chain, 2e-3, betas=(0.9, 0.999))
    ends = [name for name, _ in chain.named_modules() if name in ENDS]
    return Muon(chain, 0.02, adam_rate=2e-3, beside=ends)
