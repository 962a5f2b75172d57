"""What a game is: players, the turns of one round, and what the movers of each turn pay.

`play` knows nothing else of a game, so a new variant is a new file here and never a new loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Turn:
    """One move of a round: the movers take one optimiser step down their common loss.

    name: what histories and error messages call the turn.
    loss: a minibatch to the scalar that the movers pay.
    movers: the players that move; default the one that the turn is named after. Every other
    player's weights are frozen during the turn.
    fresh: whether the turn draws a new minibatch; if not, it sees the last one drawn.
    then: called after the step, say to clip weights.
    """

    name: str
    loss: Callable[[Any], Tensor]
    movers: tuple[str, ...] = ()
    fresh: bool = True
    then: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if not self.movers:
            object.__setattr__(self, "movers", (self.name,))


class Game(nn.Module):
    """Players are the modules that a subclass sets as attributes; `turns` is one round.

    What else must survive a checkpoint (an image buffer, say) is a registered buffer. A game
    with one player is the fit of a model by its loss. A loss may differentiate through anything,
    the other players' parameters included (an unrolled generator updates its own copies of the
    discriminator's).
    """

    turns: Sequence[Turn]

    @property
    def players(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return dict(self.named_children())
