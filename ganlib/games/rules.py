"""What a game is: players, the turns of one round, and what the movers of each turn pay.

`play` knows nothing else of a game, so a new variant is a new file here and never a new loop.

What a game's author must know. *Weights.* A module belongs to one player: a trunk that two players
use is a player of its own, named among the movers of each turn that moves it. Differentiating
through another player's updates (an unrolled generator) is done on detached copies of its weights
with `torch.func.functional_call`, since the player's own weights are frozen in that turn.
*Other players.* The forward pass of a player that does not move builds no graph for its weights,
yet gradients flow through it; in training mode it moves its batch statistics all the same. A
network that is penalized for its gradient at each example must not normalize over the batch.
*Memory.* What must survive a checkpoint (a pool of old images, say) is a registered buffer. Plain
attributes may carry something from one turn to the next of the same round, no further, and they
must be detached. *Simultaneous steps.* Turns alternate: each sees the step of the one before.
Players that should step at the same time are movers of one turn, whose loss is the sum of what
each pays, computed so that it has no gradient on the other's weights. *Values.* A loss never reads
a number back from the device.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganlib.identity import described
from ganlib.sizes import whole

Loss = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True)
class Turn:
    """One move of a round: the movers take one optimiser step down their common loss.

    name: what histories and error messages call the turn; without a slash.
    loss: a minibatch to the scalar that the movers pay, or to named parts whose sum they pay.
    movers: the players that move; default the one that the turn is named after. Every other
    player's weights are frozen during the turn.
    fresh: whether the turn draws a new minibatch; if not, it sees the last one drawn.
    then: called after the step, say to clip weights.
    Raises ValueError for a name or movers that are none.
    """

    name: str
    loss: Callable[[Any], Loss]
    movers: tuple[str, ...] = ()
    fresh: bool = True
    then: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise ValueError(f"a turn called {self.name!r}: expected a name without a slash")
        if not callable(self.loss):
            raise ValueError(f"turn {self.name!r}: its loss is {self.loss!r}, expected a function")
        movers = self.movers
        if isinstance(movers, str) or not all(isinstance(mover, str) for mover in movers):
            raise ValueError(
                f"turn {self.name!r}: movers={movers!r}, expected a tuple of players' names, "
                f"say ({self.name!r},)"
            )
        if len(set(movers)) != len(movers):
            raise ValueError(f"turn {self.name!r}: movers={movers!r} names a player twice")
        object.__setattr__(self, "movers", tuple(movers) or (self.name,))


class Game(nn.Module):
    """Players are the modules that a subclass sets as attributes; `turns` is one round.

    A game with one player is the fit of a model by its loss. settings: what the game was called
    with beside its players, which a run that resumes must share.
    """

    turns: Sequence[Turn] = ()
    settings: dict[str, Any]

    def __new__(cls, *arguments: Any, **named: Any) -> "Game":
        """Keep what the game is called with."""
        game = super().__new__(cls)
        called = inspect.signature(cls.__init__).bind_partial(game, *arguments, **named)
        called.apply_defaults()
        settings = {name: described(value) for name, value in list(called.arguments.items())[1:]}
        object.__setattr__(game, "settings", settings)
        return game

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a player needs a name of its own."""
        if isinstance(value, nn.Module) and name in ("players", "turns", "settings"):
            raise ValueError(f"a player cannot be called {name!r}: a game's own {name} are")
        super().__setattr__(name, value)

    @property
    def players(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {name: module for name, module in self._modules.items() if module is not None}


class Sampling(Game):
    """A game of a generator that turns noise, (batch, noise_size), into examples."""

    noise_size: int
    generator_loss: Callable[[Any], Loss]

    def alternating(
        self,
        other: str,
        loss: Callable[[Any], Loss],
        times: int = 1,
        then: Callable[[], None] | None = None,
    ) -> tuple[Turn, ...]:
        """A round: `times` turns of the other player, each on its own minibatch, one of G's.

        G's pays the method `generator_loss` on the last minibatch drawn. Raises ValueError for
        times that are no whole number of 1 or more.
        """
        turn = Turn(other, loss, then=then)
        last = Turn("generator", self.generator_loss, fresh=False)
        return (*whole(f"{other}_turns", times) * (turn,), last)

    def noise(self, count: int) -> Tensor:
        """Draw z from the standard normal: (count, noise_size)."""
        return torch.randn(count, self.noise_size, device=next(self.parameters()).device)
