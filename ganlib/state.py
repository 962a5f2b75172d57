"""What a training run is made of, and all that must be kept for it to go on.

`Recipe` says what to train; `State` is how far it has come, and saves and loads that. The loop
itself is in `play`, the files in `checkpoints`.
"""

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor, nn

from ganlib import checkpoints, processes
from ganlib.checkpoints import CheckpointError
from ganlib.games.rules import Game, Turn
from ganlib.identity import described
from ganlib.runtime import Run, mixed_seed


class Stream(Protocol):
    """What `play` asks of data: the next minibatch, a state that JSON can hold, and what it is."""

    def __next__(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
    def identity(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Measure:
    """What tells whether one training of a recipe came out better than another: less is better.

    quantity: what is measured, on which data, in which unit. of: takes the trained networks by
    player's name. The data are held out of the training, and are never a test set.
    """

    quantity: str
    of: Callable[[Mapping[str, nn.Module]], float]


@dataclass
class Recipe:
    """All that decides a training run, apart from the machine.

    name: what bars, checkpoints and results call it.
    game: the players, on the run's device. stream: their minibatches, without an end.
    optimisers: one for every player that moves, by the player's name, of its own weights.
    rounds: how many rounds make the whole run.
    averages: decay of the exponential moving average of a player's weights, by player.
    schedule: the factor on every learning rate, as a function of the finished share in [0, 1].
    precision: the dtype that products are autocast to; image recipes give the run's own.
    measure: how good what was trained is, for recipes of which the book ships the best training.
    Raises ValueError where these do not fit together.
    """

    name: str
    game: Game
    stream: Stream
    optimisers: Mapping[str, torch.optim.Optimizer]
    rounds: int
    averages: Mapping[str, float] = field(default_factory=dict)
    schedule: Callable[[float], float] | None = None
    precision: torch.dtype = torch.float32
    measure: Measure | None = None

    def __post_init__(self) -> None:
        self.check()

    @property
    def movers(self) -> list[str]:
        """The players that some turn moves."""
        return list(dict.fromkeys(mover for turn in self.game.turns for mover in turn.movers))

    def check(self) -> None:
        """Raise ValueError where the recipe does not fit its game, before anything is trained."""
        try:
            _check_scalars(self)
            _check_turns(self)
            _check_weights_have_one_owner(self.game)
            for player in self.optimisers:
                _check_optimiser(self, player)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None


def _check_scalars(recipe: Recipe) -> None:
    if not isinstance(recipe.rounds, int) or isinstance(recipe.rounds, bool) or recipe.rounds < 1:
        raise ValueError(f"rounds={recipe.rounds}: expected 1 or more, a whole number")
    unknown = sorted(set(recipe.averages) - set(recipe.game.players))
    if unknown:
        raise ValueError(f"averages of {unknown}: expected players ({sorted(recipe.game.players)})")
    for player, decay in recipe.averages.items():
        if not 0 <= decay < 1:
            raise ValueError(f"the average of {player!r} decays by {decay}: expected 0 to below 1")
    if not isinstance(recipe.precision, torch.dtype) or not recipe.precision.is_floating_point:
        raise ValueError(f"precision={recipe.precision!r}: expected a floating-point torch.dtype")
    for needed in ("__next__", "state_dict", "load_state_dict", "identity"):
        if not hasattr(recipe.stream, needed):
            raise ValueError(f"the stream has no {needed}: expected a `Stream`")


def _check_turns(recipe: Recipe) -> None:
    turns, players = recipe.game.turns, recipe.game.players
    if not turns or not all(isinstance(turn, Turn) for turn in turns):
        raise ValueError("the game has no turns: expected one or more `Turn`s in `game.turns`")
    if not turns[0].fresh:
        raise ValueError("the first turn of a round must draw a fresh minibatch")
    for turn in turns:
        for mover in turn.movers:
            if mover not in players or mover not in recipe.optimisers:
                raise ValueError(
                    f"turn {turn.name!r} moves {mover!r}, which needs to be a player (there are "
                    f"{sorted(players)}) and to have an optimiser (there are "
                    f"{sorted(recipe.optimisers)})"
                )


def _check_weights_have_one_owner(game: Game) -> None:
    owners: dict[int, str] = {}
    for player, network in game.players.items():
        for name, tensor in network.state_dict(keep_vars=True).items():
            owner = owners.setdefault(id(tensor), player)
            if owner != player:
                raise ValueError(
                    f"players {owner!r} and {player!r} share {name}: make the part that both use "
                    "a player of its own"
                )
    stray = [name for name, parameter in game.named_parameters() if id(parameter) not in owners]
    if stray:
        raise ValueError(f"{stray} belong to no player, so nobody moves them: expected buffers")


def _check_optimiser(recipe: Recipe, player: str) -> None:
    """An optimiser holds its player's weights, all that are not frozen, and no other's."""
    weights = dict(recipe.game.players[player].named_parameters())
    held = {id(p) for group in recipe.optimisers[player].param_groups for p in group["params"]}
    if held - {id(weight) for weight in weights.values()}:
        raise ValueError(f"the optimiser of {player!r} holds weights that are not {player!r}'s")
    trainable = {name: weight for name, weight in weights.items() if weight.requires_grad}
    if not trainable:
        raise ValueError(f"{player!r} has to move, and all of its weights are frozen")
    missing = sorted(name for name, weight in trainable.items() if id(weight) not in held)
    if missing:
        raise ValueError(f"the optimiser of {player!r} lacks {missing}: expected all its weights")


class NotFiniteError(FloatingPointError):
    """A loss or a weight became infinite or NaN."""


class Averages:
    """Exponential moving averages of players' weights and buffers.

    The decay rises with the number of updates towards the one asked for, so that a short run's
    average is not its starting point.
    """

    def __init__(self, game: Game, decays: Mapping[str, float]):
        self.networks = {
            player: copy.deepcopy(game.players[player]).requires_grad_(False).eval()
            for player in decays
        }
        # Weights stay the same tensors for a whole run; buffers may be set anew, so are looked up.
        self._weights: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
        self._buffers: list[tuple[float, Tensor, nn.Module, str]] = []
        for player, decay in decays.items():
            live, mean = game.players[player], self.networks[player]
            weights, means = self._weights.setdefault(decay, ([], []))
            weights += live.parameters()
            means += mean.parameters()
            kept = mean.state_dict(keep_vars=True)
            for name, buffer in mean.named_buffers():
                if name in kept:
                    owner, _, short = name.rpartition(".")
                    self._buffers.append((decay, buffer, live.get_submodule(owner), short))

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Move towards the players' weights and buffers of now; `updates` counts this one too."""
        ceiling = updates / (updates + 9)
        for decay, (weights, means) in self._weights.items():
            torch._foreach_lerp_(means, weights, 1 - min(decay, ceiling))
        for decay, mean, owner, name in self._buffers:
            buffer = getattr(owner, name)
            if mean.is_floating_point():
                mean.lerp_(buffer, 1 - min(decay, ceiling))
            else:
                mean.copy_(buffer)

    def tensors(self) -> dict[str, Tensor]:
        """Every averaged tensor as `player/name`."""
        return {
            f"{player}/{name}": tensor
            for player, network in self.networks.items()
            for name, tensor in network.state_dict().items()
        }


class State:
    """All that a run must keep to go on: rounds, losses, averages, and how to save and load."""

    def __init__(self, recipe: Recipe, run: Run):
        self.recipe, self.run = recipe, run
        self.round = 0
        self.seconds = 0.0
        turns = [turn.name for turn in recipe.game.turns]
        self.per_round = {name: turns.count(name) for name in dict.fromkeys(turns)}
        # By turn, and `turn/part` where a loss has named parts.
        self.losses = {name: self._series(name) for name in self.per_round}
        self.parts: dict[str, list[str]] = {}
        self.paid = dict.fromkeys(self.per_round, 0)
        self.seen = dict.fromkeys(self.per_round, 0)
        self.observations: list[dict[str, float]] = []
        self.trainable = {
            name: [p for p in player.parameters() if p.requires_grad]
            for name, player in recipe.game.players.items()
        }
        self.base_rates = {
            player: [group["lr"] for group in optimiser.param_groups]
            for player, optimiser in recipe.optimisers.items()
        }
        processes.share_weights(run, list(recipe.game.state_dict().values()))
        self.averages = Averages(recipe.game, recipe.averages)
        # Described at the start: training may change what a game keeps.
        self._identity: dict[str, Any] | None = None

    def _series(self, turn: str) -> Tensor:
        return torch.empty(self.recipe.rounds * self.per_round[turn], device=self.run.device)

    def set_rates(self) -> None:
        """Scale every learning rate by the schedule at this round."""
        if self.recipe.schedule is None:
            return
        factor = self.recipe.schedule(self.round / self.recipe.rounds)
        for player, optimiser in self.recipe.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.base_rates[player], strict=True):
                group["lr"] = rate * factor

    def record(self, turn: str, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Keep what a turn paid, and the parts of it; ValueError where these change their names."""
        step = self.paid[turn]
        known = self.parts.setdefault(turn, list(parts))
        if set(known) != parts.keys():
            raise ValueError(
                f"{self.recipe.name}: the loss of {turn} has the parts {list(parts)}, and had "
                f"{known} before: expected the same at every step"
            )
        self.losses[turn][step] = loss
        for name, part in parts.items():
            name = f"{turn}/{name}"
            if name not in self.losses:
                self.losses[name] = self._series(turn)
            self.losses[name][step] = part
        self.paid[turn] = step + 1

    def check_losses(self, turn: str, checkpoint: Path | None) -> None:
        """Raise NotFiniteError for a turn's first loss since the last look that is not finite."""
        first, last = self.seen[turn], self.paid[turn]
        self.seen[turn] = last
        if last - first == 1:
            if math.isfinite(self.losses[turn][first]):
                return
            step = first
        else:
            bad = (~torch.isfinite(self.losses[turn][first:last])).nonzero()
            if not len(bad):
                return
            step = first + int(bad[0])
        named = {part: float(self.losses[f"{turn}/{part}"][step]) for part in self.parts[turn]}
        wrong = ", ".join(f"{p} is {v}" for p, v in named.items() if not math.isfinite(v))
        raise NotFiniteError(
            f"{self.recipe.name}: the loss of {turn} is {float(self.losses[turn][step])}"
            + (f" (its part {wrong})" if wrong else "")
            + f" in round {step // self.per_round[turn] + 1} of {self.recipe.rounds} (step "
            f"{step + 1} of this turn). {_last_good(checkpoint)}"
        )

    def check_weights(self, checkpoint: Path | None) -> None:
        """Raise NotFiniteError where a weight, a buffer or an average is not finite."""
        averages = {f"the average of {name}": t for name, t in self.averages.tensors().items()}
        for name, tensor in {**self.recipe.game.state_dict(), **averages}.items():
            if not torch.isfinite(tensor).all():
                raise NotFiniteError(
                    f"{self.recipe.name}: {name} is not finite after round {self.round} of "
                    f"{self.recipe.rounds}. {_last_good(checkpoint)}"
                )

    def identity(self) -> dict[str, Any]:
        """What two runs must share for one to continue the other, as JSON gives it back."""
        if self._identity is None:
            self._identity = json.loads(json.dumps(_identity(self)))
        return self._identity

    def tensors(self, random_states: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every tensor of the run under a flat name."""
        tensors = {f"game/{name}": t for name, t in self.recipe.game.state_dict().items()}
        tensors |= {f"average/{name}": t for name, t in self.averages.tensors().items()}
        for player, optimiser in self.recipe.optimisers.items():
            for index, slots in optimiser.state_dict()["state"].items():
                for slot, tensor in slots.items():
                    tensors[f"optimiser/{player}/{index}/{slot}"] = torch.as_tensor(tensor)
        for name, losses in self.losses.items():
            tensors[f"losses/{name}"] = losses[: self.paid[name.partition("/")[0]]]
        return tensors | {f"random/{name}": rows for name, rows in random_states.items()}

    def save(self, path: Path, seconds: float) -> None:
        """Write everything to `path`, atomically; every process calls it, the first one writes.

        seconds: what this call of `play` has taken so far.
        """
        self.check_weights(path)
        random_states = _random_states(self.run)
        error = None
        if self.run.rank == 0:
            facts = {
                "identity": self.identity(),
                "round": self.round,
                "seconds": self.seconds + seconds,
                "observations": self.observations,
                "stream": self.recipe.stream.state_dict(),
            }
            try:
                checkpoints.write(path, self.tensors(random_states), facts)
            except CheckpointError as caught:
                error = caught
        processes.agree(self.run, error)

    def load(self, path: Path) -> None:
        """Take up the run that `path` holds, or raise CheckpointError and change nothing."""
        error = None
        try:
            parts, facts = self._fitted(path)
        except CheckpointError as caught:
            error = caught
        processes.agree(self.run, error)
        self.recipe.game.load_state_dict(parts["game"])
        for name, tensor in self.averages.tensors().items():
            tensor.copy_(parts["average"][name])
        for player, optimiser in self.recipe.optimisers.items():
            _load_optimiser(optimiser, parts["optimiser"], player)
        for name, losses in parts["losses"].items():
            turn = name.partition("/")[0]
            if name not in self.losses:
                self.losses[name] = self._series(turn)
            self.losses[name][: len(losses)] = losses
            self.paid[turn] = self.seen[turn] = len(losses)
        self.parts = facts["parts"]
        self.round, self.seconds = facts["round"], facts["seconds"]
        self.observations = facts["observations"]
        _set_random_states(self.run, parts["random"], self.round)

    def _fitted(self, path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """A checkpoint's tensors by part, and its facts; CheckpointError where one does not fit.

        The stream, which alone can tell whether a state is its own, is set last.
        """
        tensors, facts = checkpoints.read(path)
        found, expected = facts.get("identity"), self.identity()
        if not isinstance(found, dict):
            raise CheckpointError(f"{path} holds no run: expected what `play` saves")
        _same_run(path, found, expected, but="networks")
        parts: dict[str, dict[str, Tensor]] = {
            part: {} for part in ("game", "average", "optimiser", "losses", "random")
        }
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if part not in parts:
                raise CheckpointError(f"{path} cannot be resumed: what {name} is, is not known")
            parts[part][rest] = tensor
        checkpoints.fit(path, parts["game"], self.recipe.game.state_dict(), "model")
        checkpoints.fit(path, parts["average"], self.averages.tensors(), "model")
        _same_run(path, found, expected)
        try:
            _check_facts(facts, self.recipe.rounds)
            facts["parts"] = _check_histories(parts["losses"], self.per_round, facts["round"])
            for player, optimiser in self.recipe.optimisers.items():
                _check_slots(optimiser, parts["optimiser"], player)
            _check_random(self.run, parts["random"])
            self.recipe.stream.load_state_dict(facts["stream"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be resumed: {error}") from None
        return parts, facts


def _identity(state: State) -> dict[str, Any]:
    recipe, run = state.recipe, state.run
    schedule = recipe.schedule
    return {
        "recipe": recipe.name,
        "game": type(recipe.game).__qualname__,
        "settings": recipe.game.settings,
        "turns": [[turn.name, list(turn.movers), turn.fresh] for turn in recipe.game.turns],
        "rounds": recipe.rounds,
        "seed": run.seed,
        "preset": run.preset,
        "device": run.device.type,
        "precision": str(recipe.precision),
        "averages": dict(recipe.averages),
        # A schedule is what it does.
        "schedule": schedule and [round(schedule(part / 16), 12) for part in range(17)],
        "optimisers": {
            player: [type(optimiser).__qualname__, _groups(recipe.game, optimiser, rates)]
            for (player, optimiser), rates in zip(
                recipe.optimisers.items(), state.base_rates.values(), strict=True
            )
        },
        "stream": recipe.stream.identity(),
        "networks": {player: repr(network) for player, network in recipe.game.players.items()},
    }


def _groups(game: Game, optimiser: torch.optim.Optimizer, rates: list[float]) -> list[dict]:
    """An optimiser's groups: the names of what they hold, and their settings at the full rate."""
    names = {id(parameter): name for name, parameter in game.named_parameters()}
    return [
        {
            **{key: described(value) for key, value in group.items() if key != "params"},
            "lr": rate,
            "params": [names[id(parameter)] for parameter in group["params"]],
        }
        for group, rate in zip(optimiser.param_groups, rates, strict=True)
    ]


def _same_run(path: Path, found: dict, expected: dict, but: str | None = None) -> None:
    for key, value in expected.items():
        if key != but and found.get(key) != value:
            ours, theirs = _first_difference(value, found.get(key))
            raise CheckpointError(
                f"{path} belongs to another run: its {key} is {theirs!r}, "
                f"{ours!r} was expected. Give another path, or delete the file to start over."
            )


def _first_difference(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Where two descriptions differ: of two dictionaries, just the entries that do."""
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ours, theirs
    differing = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    return {k: ours.get(k) for k in differing}, {k: theirs.get(k) for k in differing}


def _check_facts(facts: Mapping[str, Any], rounds: int) -> None:
    done, seconds = facts["round"], facts["seconds"]
    if isinstance(done, bool) or not isinstance(done, int) or not 0 <= done <= rounds:
        raise ValueError(f"its round is {done!r}, expected 0 to {rounds}")
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
        raise ValueError(f"its seconds are {seconds!r}, expected 0 or more")
    observations = facts["observations"]
    if not isinstance(observations, list) or not all(
        isinstance(row, dict) and "round" in row for row in observations
    ):
        raise ValueError(f"its observations are {observations!r}, expected rows with a round")


def _check_histories(
    losses: Mapping[str, Tensor], per_round: Mapping[str, int], rounds: int
) -> dict[str, list[str]]:
    """The parts of each turn's loss, from histories that must be as long as the rounds say."""
    parts: dict[str, list[str]] = {turn: [] for turn in per_round} if rounds else {}
    if not per_round.keys() <= losses.keys():
        raise ValueError(f"it has losses of {sorted(losses)}, expected {sorted(per_round)}")
    for name, series in losses.items():
        turn, _, part = name.partition("/")
        if turn not in per_round or series.shape != (rounds * per_round[turn],):
            raise ValueError(
                f"its losses of {name} have shape {tuple(series.shape)}, expected "
                f"({rounds * per_round.get(turn, 0)},) after {rounds} rounds"
            )
        if not series.is_floating_point() or not torch.isfinite(series).all():
            raise ValueError(f"its losses of {name} are not all finite")
        if part and rounds:
            parts[turn].append(part)
    return parts


def _slots(saved: Mapping[str, Tensor], player: str) -> dict[int, dict[str, Tensor]]:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        owner, index, slot = name.rsplit("/", 2)
        if owner == player:
            slots.setdefault(int(index), {})[slot] = tensor
    return slots


def _check_slots(
    optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor], player: str
) -> None:
    """What an optimiser remembers of each weight is one number, or as many as the weight has."""
    weights = [p for group in optimiser.param_groups for p in group["params"]]
    groups = [number for number, g in enumerate(optimiser.param_groups) for _ in g["params"]]
    slots = _slots(saved, player)
    for index, memory in slots.items():
        if not 0 <= index < len(weights):
            raise ValueError(f"the optimiser of {player!r} has a weight {index} too many")
        first = next(other for other in range(len(groups)) if groups[other] == groups[index])
        alike = slots.get(first, memory)
        if memory.keys() != alike.keys():
            raise ValueError(f"the optimiser of {player!r} has {[*alike]} and {[*memory]}")
        for slot, tensor in memory.items():
            if tensor.numel() not in (1, weights[index].numel()):
                raise ValueError(
                    f"the {slot} of weight {index} of {player!r} has shape {tuple(tensor.shape)}, "
                    f"expected () or {tuple(weights[index].shape)}"
                )
            if not torch.isfinite(tensor).all():
                raise ValueError(f"the {slot} of weight {index} of {player!r} is not finite")


def _load_optimiser(
    optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor], player: str
) -> None:
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": _slots(saved, player), "param_groups": groups})
    # The file keeps values, not memory layouts: give each moment its parameter's own.
    for parameter, state in optimiser.state.items():
        for slot, tensor in state.items():
            if tensor.shape == parameter.shape:
                state[slot] = torch.empty_like(parameter).copy_(tensor).detach()


def _random_states(run: Run) -> dict[str, Tensor]:
    """The state of every generator, one row for each process."""
    states = {"cpu": torch.get_rng_state()}
    if run.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(run.device)
    return {name: processes.gathered(run, state) for name, state in states.items()}


def _check_random(run: Run, states: Mapping[str, Tensor]) -> None:
    for name in ("cpu", *(["cuda"] if run.device.type == "cuda" else [])):
        rows = states[name]
        if rows.dtype != torch.uint8 or rows.ndim != 2 or not len(rows):
            raise ValueError(f"its random state {name} is no state of a generator")
    if states["cpu"].shape[1] != torch.get_rng_state().numel():
        raise ValueError("its random state cpu is of another length than torch's own")


def _set_random_states(run: Run, states: Mapping[str, Tensor], done: int) -> None:
    """Take up the generators' states; a process that was not there before begins one of its own."""
    if run.rank >= len(states["cpu"]):
        torch.manual_seed(mixed_seed(run.seed, run.rank, done))
        return
    # A row of a stacked tensor must be copied: torch reads a generator's state from its storage.
    torch.set_rng_state(states["cpu"][run.rank].clone())
    if run.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"][run.rank].clone(), run.device)


def _last_good(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "No checkpoint was being kept."
    try:
        _, facts = checkpoints.read(checkpoint)
    except CheckpointError as error:
        return f"The last checkpoint cannot be used: {error}"
    return f"The last good checkpoint is {checkpoint}, of round {facts['round']}; it is kept."


def observed_series(observations: list[dict[str, float]]) -> dict[str, numpy.ndarray]:
    """Rows of named numbers as one array for each name: (observations, 2), round and value."""
    names = dict.fromkeys(name for row in observations for name in row if name != "round")
    return {
        name: numpy.array([(row["round"], row[name]) for row in observations if name in row])
        for name in names
    }
