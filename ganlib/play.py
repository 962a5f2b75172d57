"""The one training loop: it plays every game, and fits a chain as a game of one player.

A round is a game's turns in order. The loop owns what every game needs (whose weights move,
averages, history, checkpoints, finite losses, many processes) and knows nothing of any loss.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ganlib.games.rules import Game, Turn
from ganlib.progress import Progress
from ganlib.runtime import Run, mixed_seed
from ganlib.state import NotFiniteError, Recipe, State, Stream

__all__ = ["NotFiniteError", "Outcome", "Recipe", "Stream", "play"]

# On a GPU, looking at a loss waits for everything before it, so losses are looked at in groups.
GPU_LOOK_EVERY = 50


@dataclass
class Outcome:
    """What `play` gives back.

    losses: every loss paid, by turn, in order. averages: the averaged players, in eval mode.
    seconds: wall time of this call. rounds: rounds played, those before a resume included.
    """

    losses: dict[str, numpy.ndarray]
    averages: dict[str, nn.Module]
    seconds: float
    rounds: int


def play(
    recipe: Recipe,
    run: Run,
    *,
    checkpoint: Path | str | None = None,
    save_every: int = 500,
    observe: Callable[[int], None] | None = None,
    show: bool = True,
) -> Outcome:
    """Play a recipe's rounds; leave its game trained and in eval mode.

    checkpoint: a file to resume from if it exists, and to save to every `save_every` rounds and
        at the end. On the CPU a run that was killed ends with the very weights of one that was
        not.
    observe: called with the number of finished rounds after each round, and once before the
        first. What it draws from torch's generators does not disturb the run.
    show: whether to show a progress bar on the first process;
        without it nothing is printed.

    All randomness comes from the run's seed: torch's global generators are seeded here and
    given back as they were. Raises NotFiniteError when a loss or a weight stops being finite (on
    the CPU before the step is taken, on a GPU within 50 rounds), CheckpointError when the
    checkpoint belongs to another model or recipe, ValueError when the recipe does not fit the
    game.

    Under torchrun gradients are averaged over the processes. Buffers, such as the statistics of
    batch normalization, stay each process's own, and those of the first one are saved.
    """
    _check(recipe)
    began = time.perf_counter()
    with _own_randomness(run), _own_gradients(recipe.game):
        state = State(recipe, run)
        if checkpoint is not None and Path(checkpoint).exists():
            state.load(Path(checkpoint))
        losses = _play_rounds(state, checkpoint, save_every, observe, show)
    recipe.game.eval()
    averages = {player: average.network for player, average in state.averages.items()}
    return Outcome(losses, averages, time.perf_counter() - began, recipe.rounds)


def _play_rounds(
    state: State,
    checkpoint: Path | str | None,
    save_every: int,
    observe: Callable[[int], None] | None,
    show: bool,
) -> dict[str, numpy.ndarray]:
    recipe, run = state.recipe, state.run
    look_at_once = run.device.type == "cpu"
    title = f"{recipe.name}: {recipe.rounds:,} rounds of {_listed(recipe.game.turns)}"
    batch = None
    recipe.game.train()
    if observe is not None and state.round == 0:
        _observe(observe, state)
    with Progress(title, recipe.rounds, state.round, shown=show and run.rank == 0) as bar:
        while state.round < recipe.rounds:
            state.set_rates()
            for turn in recipe.game.turns:
                if turn.fresh:
                    batch = next(recipe.stream)
                state.record(turn, _descend(turn, batch, state))
                if look_at_once:
                    state.check_losses(checkpoint)
                _step(turn, recipe)
            state.round += 1
            for average in state.averages.values():
                average.update(state.round)
            if observe is not None:
                _observe(observe, state)
            bar.update()
            ended = state.round == recipe.rounds
            due = checkpoint is not None and (ended or state.round % save_every == 0)
            if not look_at_once and (due or ended or state.round % GPU_LOOK_EVERY == 0):
                state.check_losses(checkpoint)
            if due:
                state.save(Path(checkpoint))
    return {turn: losses.cpu().numpy() for turn, losses in state.losses.items()}


def _listed(turns: Sequence[Turn]) -> str:
    """The turns of a round in words: 5 × critic, generator."""
    runs = [(name, len(list(same))) for name, same in groupby(turn.name for turn in turns)]
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in runs)


def _descend(turn: Turn, batch: Any, state: State) -> Tensor:
    """One turn's loss, and its gradients on the movers alone.

    Neither this nor `_step` reads a value back from the device or branches on one: together
    they are what a CUDA graph or torch.compile may later wrap.
    """
    moving = [parameter for player in turn.movers for parameter in state.trainable[player]]
    for parameter in state.recipe.game.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    for parameter in moving:
        parameter.requires_grad_(True)
    with state.run.autocast(state.recipe.precision):
        loss = turn.loss(batch)
    loss.backward()
    if state.run.world > 1:
        _average_gradients(moving, state.run.world)
    return loss.detach()


def _step(turn: Turn, recipe: Recipe) -> None:
    """The movers' optimiser steps, and what the turn asks for after them."""
    for player in turn.movers:
        recipe.optimisers[player].step()
    if turn.then is not None:
        turn.then()


def _average_gradients(parameters: list[nn.Parameter], world: int) -> None:
    """Replace gradients by their mean over all processes, in one all-reduce."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    pieces = (flat / world).split([gradient.numel() for gradient in gradients])
    for parameter, gradient, piece in zip(parameters, gradients, pieces, strict=True):
        parameter.grad = torch.empty_like(gradient).copy_(piece.view(gradient.shape))


def _observe(observe: Callable[[int], None], state: State) -> None:
    device = state.run.device
    with torch.random.fork_rng([device.index] if device.type == "cuda" else []):
        observe(state.round)


@contextmanager
def _own_randomness(run: Run) -> Iterator[None]:
    """Seed torch's global generators from the run for a while, then give them back."""
    with torch.random.fork_rng([run.device.index] if run.device.type == "cuda" else []):
        torch.manual_seed(mixed_seed(run.seed, run.rank))
        yield


@contextmanager
def _own_gradients(game: Game) -> Iterator[None]:
    """Give back every parameter's `requires_grad` as it was, and leave no gradient behind."""
    wanted = {parameter: parameter.requires_grad for parameter in game.parameters()}
    try:
        yield
    finally:
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)
            parameter.grad = None


def _check(recipe: Recipe) -> None:
    """Raise ValueError where the recipe does not fit its game."""
    players = recipe.game.players
    for turn in recipe.game.turns:
        for mover in turn.movers:
            if mover not in players or mover not in recipe.optimisers:
                raise ValueError(
                    f"{recipe.name}: turn {turn.name!r} moves {mover!r}, which needs to be a "
                    f"player (there are {sorted(players)}) and to have an optimiser "
                    f"(there are {sorted(recipe.optimisers)})"
                )
    if not recipe.game.turns[0].fresh:
        raise ValueError(f"{recipe.name}: the first turn of a round must draw a fresh minibatch")
    if unknown := set(recipe.averages) - set(players):
        raise ValueError(f"{recipe.name}: averages of {sorted(unknown)}, which are no players")
    if recipe.rounds < 1:
        raise ValueError(f"{recipe.name}: rounds={recipe.rounds}: expected 1 or more")
