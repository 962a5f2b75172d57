"""The one training loop: it plays every game, and fits a chain as a game of one player.

A round is a game's turns in order. The loop owns what every game needs (whose weights move,
averages, history, checkpoints, finite losses, many processes) and knows nothing of any loss.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ganlib import checkpoints, processes
from ganlib.games.rules import Loss, Turn
from ganlib.progress import Progress
from ganlib.runtime import Run, mixed_seed
from ganlib.state import Measure, NotFiniteError, Recipe, State, Stream, observed_series

__all__ = ["Measure", "NotFiniteError", "Outcome", "Recipe", "Stream", "play", "rehearse"]

# On a GPU, looking at a loss waits for everything before it, so losses are looked at in groups.
GPU_LOOK_EVERY = 50

Observer = Callable[[int, Mapping[str, nn.Module]], Mapping[str, float] | None]


@dataclass
class Outcome:
    """What `play` gives back.

    losses: every loss paid, by turn, in order, and beside it its parts, as `turn/part`.
    averages: the averaged players, in eval mode. rounds: rounds played, and seconds: the time
    that they took, those before a resume included. observed: what `observe` returned, by name,
    (observations, 2): the round and the value.
    """

    losses: dict[str, numpy.ndarray]
    averages: dict[str, nn.Module]
    seconds: float
    rounds: int
    observed: dict[str, numpy.ndarray] = field(default_factory=dict)


def play(
    recipe: Recipe,
    run: Run,
    *,
    checkpoint: Path | str | None = None,
    save_every: int | timedelta = 500,
    observe: Observer | None = None,
    observe_every: int = 1,
    show: bool = True,
) -> Outcome:
    """Play a recipe's rounds; leave its movers trained and in eval mode.

    checkpoint: a file to resume from if it exists, and to save to at once, every `save_every`
        rounds (or by the clock, in a run of one process) and at the end. On the CPU a run that
        was killed ends with the very weights of one
        that was not (of several processes: if no loss depends on a buffer of its own process).
        No two processes may train with one file.
    observe: called with the number of finished rounds and the players by name, averaged where the
        recipe averages them: before the first round, every `observe_every` rounds, and at the end.
        All players are in eval mode then, and with the owner's `requires_grad`. It may return
        named numbers, which are kept. What it draws from torch's generators, and the modes that
        it sets, do not disturb the run.
    show: whether to show a progress bar on the first process;
        without it nothing is printed.

    All randomness comes from the run's seed: torch's global generators are seeded here and
    given back as they were, as are learning rates and `requires_grad`. Only players that move are
    trained in training mode; others stay as they are. Raises NotFiniteError when a loss or a
    weight stops being finite (on the CPU before the step is taken, on a GPU within 50 rounds),
    CheckpointError when the checkpoint cannot be used or written or belongs to another run,
    ValueError when the recipe does not fit the game.

    Under torchrun gradients are averaged over the processes. Buffers, such as the statistics of
    batch normalization, stay each process's own, and those of the first one are saved. A run may
    resume on another number of processes; it then draws other random numbers.
    """
    recipe.check()
    by_clock = isinstance(save_every, timedelta)
    if by_clock and (save_every <= timedelta() or run.world > 1):
        raise ValueError(
            f"save_every={save_every} in a run of {run.world}: expected more than no time, in a "
            "run of one process"
        )
    numbers = {"observe_every": observe_every} | ({} if by_clock else {"save_every": save_every})
    for name, every in numbers.items():
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"{name}={every!r}: expected a whole number of rounds, 1 or more")
    path = None if checkpoint is None else Path(checkpoint)
    with _own_randomness(run), _given_back(recipe):
        state = State(recipe, run)
        game = _Play(state, path, save_every, observe, observe_every)
        with _claimed(path, run):
            game.begin()
            game.rounds(show)
    seconds = state.seconds + game.seconds()
    losses = {name: series.cpu().numpy() for name, series in state.losses.items()}
    observed = observed_series(state.observations)
    return Outcome(losses, state.averages.networks, seconds, recipe.rounds, observed)


def rehearse(recipe: Recipe, run: Run) -> None:
    """Play the turns of one round on torch's `meta` device, whose tensors have no values.

    run: with `torch.device("meta")`. What would fail or wait on a GPU fails here: a tensor of
    another device, or a value read back inside a turn.
    """
    recipe.check()
    with _own_randomness(run), _given_back(recipe):
        state = State(recipe, run)
        batch = None
        for turn in recipe.game.turns:
            batch = next(recipe.stream) if turn.fresh else batch
            _descend(turn, batch, state)
            _step(turn, recipe)
        state.averages.update(1)


class _Play:
    """One call of `play`: the rounds, and what happens between them."""

    def __init__(
        self,
        state: State,
        path: Path | None,
        save_every: int | timedelta,
        observe: Observer | None,
        observe_every: int,
    ):
        self.state, self.path, self.save_every = state, path, save_every
        self.observe, self.observe_every = observe, observe_every
        self.began = self.saved = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def begin(self) -> None:
        """Resume, or see that what will be trained can be saved."""
        state = self.state
        if self.path is not None:
            if processes.first_says(state.run, self.path.exists()):
                state.load(self.path)
            if state.round < state.recipe.rounds:
                self._save()
        if state.round == 0:
            self._look()

    def rounds(self, show: bool) -> None:
        state, recipe, run = self.state, self.state.recipe, self.state.run
        look_at_once = run.device.type == "cpu"
        title = f"{recipe.name}: {recipe.rounds:,} rounds of {_listed(recipe.game.turns)}"
        batch = None
        with Progress(title, recipe.rounds, state.round, shown=show and run.rank == 0) as bar:
            while state.round < recipe.rounds:
                state.set_rates()
                for turn in recipe.game.turns:
                    if turn.fresh:
                        batch = _next(recipe, state.round)
                    _descend(turn, batch, state)
                    if look_at_once:
                        state.check_losses(turn.name, self.path)
                    _step(turn, recipe)
                state.round += 1
                state.averages.update(state.round)
                self._between_rounds(look_at_once)
                bar.update()

    def _between_rounds(self, looked_already: bool) -> None:
        state = self.state
        ended = state.round == state.recipe.rounds
        due = self.path is not None and (ended or self._time_to_save())
        if not looked_already and (due or ended or state.round % GPU_LOOK_EVERY == 0):
            for turn in state.per_round:
                state.check_losses(turn, self.path)
        if ended:
            state.check_weights(self.path)
        if ended or state.round % self.observe_every == 0:
            self._look()
        if due:
            self._save()

    def _time_to_save(self) -> bool:
        if isinstance(self.save_every, timedelta):
            return time.perf_counter() - self.saved >= self.save_every.total_seconds()
        return self.state.round % self.save_every == 0

    def _save(self) -> None:
        self.state.save(self.path, self.seconds())
        self.saved = time.perf_counter()

    def _look(self) -> None:
        if self.observe is None:
            return
        state = self.state
        networks = {**state.recipe.game.players, **state.averages.networks}
        with _own_randomness(state.run, seeded=False), _at_rest(state):
            numbers = self.observe(state.round, networks)
        if numbers is not None:
            state.observations.append({"round": state.round, **_as_numbers(numbers)})


def _as_numbers(numbers: Any) -> dict[str, float]:
    try:
        named = {name: float(value) for name, value in numbers.items()}
    except (AttributeError, TypeError, ValueError):
        named = None
    if named is None or "round" in named or not all(isinstance(name, str) for name in named):
        raise TypeError(
            f"observe returned {numbers!r}: expected None, or numbers by names other than 'round'"
        )
    return named


def _next(recipe: Recipe, done: int) -> Any:
    try:
        return next(recipe.stream)
    except StopIteration:
        raise ValueError(
            f"{recipe.name}: the stream ended in round {done + 1} of {recipe.rounds}: expected one "
            "without an end"
        ) from None


def _listed(turns: Sequence[Turn]) -> str:
    """The turns of a round in words: 5 × critic, generator."""
    runs = [(name, len(list(same))) for name, same in groupby(turn.name for turn in turns)]
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in runs)


def _descend(turn: Turn, batch: Any, state: State) -> None:
    """One turn's loss, recorded, and its gradients on the movers alone.

    Neither this nor `_step` reads a value back from the device or branches on one: together
    they are what a CUDA graph or torch.compile may later wrap.
    """
    moving = [parameter for player in turn.movers for parameter in state.trainable[player]]
    for parameters in state.trainable.values():
        for parameter in parameters:
            parameter.requires_grad_(False)
    for parameter in moving:
        parameter.requires_grad_(True)
        parameter.grad = None
    with state.run.autocast(state.recipe.precision):
        loss, parts = _summed(turn, turn.loss(batch))
    loss.backward()
    if state.paid[turn.name] < state.per_round[turn.name]:
        _check_all_move(turn, state)
    if state.run.world > 1:
        _average_gradients(moving, state.run.world)
    state.record(turn.name, loss.detach(), {name: part.detach() for name, part in parts.items()})


def _summed(turn: Turn, loss: Loss) -> tuple[Tensor, Mapping[str, Tensor]]:
    """What a turn pays, and the named parts of it if there are any."""
    parts = loss if isinstance(loss, Mapping) else {}
    for name, part in parts.items() if parts else [("loss", loss)]:
        if not isinstance(part, Tensor) or part.numel() != 1:
            found = f"of shape {tuple(part.shape)}" if isinstance(part, Tensor) else repr(part)
            raise ValueError(
                f"turn {turn.name!r}: its {name} is {found}, expected a scalar tensor, or "
                "scalar tensors by name"
            )
        if parts and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"turn {turn.name!r}: a part called {name!r}: expected no slash")
    total = torch.stack([part.reshape(()) for part in parts.values()]).sum() if parts else loss
    if not total.requires_grad:
        raise ValueError(f"turn {turn.name!r}: its loss depends on no weight of {turn.movers}")
    return total, parts


def _check_all_move(turn: Turn, state: State) -> None:
    """In the first round, every mover's weights must have a gradient."""
    for player in turn.movers:
        if all(parameter.grad is None for parameter in state.trainable[player]):
            raise ValueError(
                f"{state.recipe.name}: turn {turn.name!r} moves {player!r}, on whose weights its "
                "loss does not depend"
            )


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


@contextmanager
def _claimed(path: Path | None, run: Run) -> Iterator[None]:
    """Keep the checkpoint's file to this run; the first process does so for all."""
    claim = nullcontext() if path is None or run.rank else checkpoints.claimed(path)
    error = None
    try:
        claim.__enter__()
    except checkpoints.CheckpointError as caught:
        error = caught
    processes.agree(run, error)
    try:
        yield
    finally:
        claim.__exit__(None, None, None)


@contextmanager
def _own_randomness(run: Run, seeded: bool = True) -> Iterator[None]:
    """Draw from torch's global generators for a while, seeded from the run, then give them back."""
    with torch.random.fork_rng([run.device.index] if run.device.type == "cuda" else []):
        if seeded:
            torch.manual_seed(mixed_seed(run.seed, run.rank))
        yield


@contextmanager
def _given_back(recipe: Recipe) -> Iterator[None]:
    """Put the movers in training mode; at the end in eval mode, and give back all else.

    That is learning rates, every parameter's `requires_grad`, and that there is no gradient.
    """
    game = recipe.game
    wanted = [(parameter, parameter.requires_grad) for parameter in game.parameters()]
    optimisers = list(recipe.optimisers.values())
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    for player in recipe.movers:
        game.players[player].train()
    for parameter, _ in wanted:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
            parameter.grad = None
        # Resuming gives an optimiser new groups.
        for optimiser, given in zip(optimisers, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, given, strict=True):
                group["lr"] = rate
        for player in recipe.movers:
            game.players[player].eval()


@contextmanager
def _at_rest(state: State) -> Iterator[None]:
    """All players in eval mode and with the owner's `requires_grad`, then as they were."""
    networks = (state.recipe.game, *state.averages.networks.values())
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for parameters in state.trainable.values():
        for parameter in parameters:
            parameter.requires_grad_(True)
    state.recipe.game.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
