"""What a training run is made of, and all that must be kept for it to go on.

`Recipe` says what to train; `State` is how far it has come, and saves and loads that. The loop
itself is in `play`, the files in `checkpoints`.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ganlib import checkpoints
from ganlib.checkpoints import CheckpointError
from ganlib.games.rules import Game, Turn
from ganlib.runtime import Run


class Stream(Protocol):
    """What `play` asks of data: the next minibatch, and a state that JSON can hold."""

    def __next__(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class Recipe:
    """All that decides a training run, apart from the machine.

    name: what bars, checkpoints and results call it.
    game: the players, on the run's device. stream: their minibatches.
    optimisers: one for every player that moves, by the player's name.
    rounds: how many rounds make the whole run.
    averages: decay of the exponential moving average of a player's weights, by player.
    schedule: the factor on every learning rate, as a function of the finished share in [0, 1].
    precision: the dtype that its products are autocast to: float32, or `run.precision` for images.
    """

    name: str
    game: Game
    stream: Stream
    optimisers: Mapping[str, torch.optim.Optimizer]
    rounds: int
    averages: Mapping[str, float] = field(default_factory=dict)
    schedule: Callable[[float], float] | None = None
    precision: torch.dtype = torch.float32


class NotFiniteError(FloatingPointError):
    """A loss or a weight became infinite or NaN."""


class Average:
    """An exponential moving average of a player's weights and buffers.

    The decay rises with the number of updates towards the one asked for, so that a short run's
    average is not its starting point.
    """

    def __init__(self, player: nn.Module, decay: float):
        self.player, self.decay = player, decay
        self.network = copy.deepcopy(player).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Move towards the player's weights and buffers of now; `updates` counts this one too."""
        decay = min(self.decay, updates / (updates + 9))
        live = self.player.state_dict(keep_vars=True)
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(live[name], 1 - decay)
            else:
                mean.copy_(live[name])


class State:
    """All that a run must keep to go on: rounds, losses, averages, and how to save and load."""

    def __init__(self, recipe: Recipe, run: Run):
        self.recipe, self.run = recipe, run
        self.round = 0
        turns = [turn.name for turn in recipe.game.turns]
        self.losses = {
            name: torch.empty(recipe.rounds * turns.count(name), device=run.device)
            for name in dict.fromkeys(turns)
        }
        self.paid = dict.fromkeys(self.losses, 0)
        self.seen = dict.fromkeys(self.losses, 0)
        self.trainable = {
            name: [p for p in player.parameters() if p.requires_grad]
            for name, player in recipe.game.players.items()
        }
        self.base_rates = {
            player: [group["lr"] for group in optimiser.param_groups]
            for player, optimiser in recipe.optimisers.items()
        }
        if run.world > 1:
            for tensor in recipe.game.state_dict().values():
                distributed.broadcast(tensor, 0)
        self.averages = {
            player: Average(recipe.game.players[player], decay)
            for player, decay in recipe.averages.items()
        }

    def set_rates(self) -> None:
        """Scale every learning rate by the schedule at this round."""
        if self.recipe.schedule is None:
            return
        factor = self.recipe.schedule(self.round / self.recipe.rounds)
        for player, optimiser in self.recipe.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.base_rates[player], strict=True):
                group["lr"] = rate * factor

    def record(self, turn: Turn, loss: Tensor) -> None:
        """Keep a turn's loss."""
        self.losses[turn.name][self.paid[turn.name]] = loss
        self.paid[turn.name] += 1

    def check_losses(self, checkpoint: Path | str | None) -> None:
        """Raise NotFiniteError for the first loss since the last look that is not finite."""
        for turn, losses in self.losses.items():
            fresh = losses[self.seen[turn] : self.paid[turn]]
            bad = (~torch.isfinite(fresh)).nonzero()
            if len(bad):
                step = self.seen[turn] + int(bad[0])
                per_round = len(losses) // self.recipe.rounds
                raise NotFiniteError(
                    f"{self.recipe.name}: the loss of {turn} is {float(losses[step])} in round "
                    f"{step // per_round + 1} of {self.recipe.rounds} (step {step + 1} of this "
                    f"player). {_last_good(checkpoint)}"
                )
            self.seen[turn] = self.paid[turn]

    def check_weights(self, checkpoint: Path) -> None:
        """Raise NotFiniteError rather than save a game with a weight that is not finite."""
        for name, tensor in self.recipe.game.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise NotFiniteError(
                    f"{self.recipe.name}: {name} is not finite after round {self.round} of "
                    f"{self.recipe.rounds}. {_last_good(checkpoint)}"
                )

    def identity(self) -> dict[str, Any]:
        """What two runs must share for one to continue the other."""
        recipe, run = self.recipe, self.run
        return {
            "recipe": recipe.name,
            "game": type(recipe.game).__name__,
            "turns": [turn.name for turn in recipe.game.turns],
            "rounds": recipe.rounds,
            "seed": run.seed,
            "preset": run.preset,
            "device": run.device.type,
            "precision": str(recipe.precision),
            "processes": run.world,
            "averages": dict(recipe.averages),
            "optimisers": {
                player: [
                    type(optimiser).__name__,
                    {
                        key: value
                        for key, value in optimiser.defaults.items()
                        if isinstance(value, (int, float, tuple, list))
                    },
                    self.base_rates[player],
                ]
                for player, optimiser in recipe.optimisers.items()
            },
        }

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the run under a flat name."""
        tensors = {f"game/{name}": t for name, t in self.recipe.game.state_dict().items()}
        for player, average in self.averages.items():
            for name, tensor in average.network.state_dict().items():
                tensors[f"average/{player}/{name}"] = tensor
        for player, optimiser in self.recipe.optimisers.items():
            for index, slots in optimiser.state_dict()["state"].items():
                for slot, tensor in slots.items():
                    tensors[f"optimiser/{player}/{index}/{slot}"] = torch.as_tensor(tensor)
        for turn, losses in self.losses.items():
            tensors[f"losses/{turn}"] = losses[: self.paid[turn]]
        for generator, random_state in _random_states(self.run).items():
            tensors[f"random/{generator}"] = random_state
        return tensors

    def save(self, path: Path) -> None:
        """Write everything to `path`, atomically; every process calls it, the first one writes."""
        self.check_weights(path)
        tensors = self.tensors()
        if self.run.rank == 0:
            facts = {
                "identity": self.identity(),
                "round": self.round,
                "stream": self.recipe.stream.state_dict(),
            }
            checkpoints.write(path, tensors, facts)
        if self.run.world > 1:
            distributed.barrier()

    def load(self, path: Path) -> None:
        """Take up the run that `path` holds, or raise CheckpointError and change nothing."""
        tensors, facts = checkpoints.read(path)
        found, expected = facts.get("identity", {}), json.loads(json.dumps(self.identity()))
        for key, value in expected.items():
            if found.get(key) != value:
                raise CheckpointError(
                    f"{path} belongs to another run: its {key} is {found.get(key)!r}, "
                    f"{value!r} was expected. Give another path, or delete the file to start over."
                )
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, rest = name.split("/", 1)
            parts.setdefault(part, {})[rest] = tensor
        checkpoints.fit(path, parts["game"], self.recipe.game.state_dict(), "model")

        self.recipe.game.load_state_dict(parts["game"])
        for name, tensor in parts.get("average", {}).items():
            player, key = name.split("/", 1)
            self.averages[player].network.state_dict()[key].copy_(tensor)
        for player, optimiser in self.recipe.optimisers.items():
            _load_optimiser(optimiser, parts.get("optimiser", {}), player)
        for turn, losses in parts["losses"].items():
            self.losses[turn][: len(losses)] = losses
            self.paid[turn] = self.seen[turn] = len(losses)
        _set_random_states(self.run, parts["random"])
        self.round = facts["round"]
        self.recipe.stream.load_state_dict(facts["stream"])


def _load_optimiser(
    optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor], player: str
) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        owner, index, slot = name.rsplit("/", 2)
        if owner == player:
            slots.setdefault(int(index), {})[slot] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
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
    if run.world == 1:
        return {name: state[None] for name, state in states.items()}
    rows: list[dict[str, Tensor]] = [{} for _ in range(run.world)]
    distributed.all_gather_object(rows, states)
    return {name: torch.stack([row[name] for row in rows]) for name in states}


def _set_random_states(run: Run, states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"][run.rank])
    if run.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"][run.rank], run.device)


def _last_good(checkpoint: Path | str | None) -> str:
    if checkpoint is None:
        return "No checkpoint was being kept."
    if not Path(checkpoint).exists():
        return f"No checkpoint had been saved yet to {checkpoint}."
    _, facts = checkpoints.read(checkpoint)
    return f"The last good checkpoint is {checkpoint}, of round {facts['round']}; it is kept."
