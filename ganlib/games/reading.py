"""Fitting a reader of pictures, of which each comes in several hands: by whom, and of what."""

from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganlib.games.rules import Game, Turn


class Reading(Game):
    """One player, `reader`, who pays for both of its answers, in nats.

    For each pair of hands, the probability that a picture's partner is the right one of the
    batch's, by a softmax over the products of unit vectors, divided by `temperature`, in both
    directions (van den Oord et al., 2018; Chen et al., 2020); and half of the cross-entropy of the
    hand. reader: pictures to logits (batch, hands) and unit vectors. A minibatch is (batch, hands,
    channels, height, width), a row each thing.
    """

    def __init__(self, reader: nn.Module, temperature: float = 0.1):
        super().__init__()
        self.reader, self.temperature = reader, temperature
        self.turns = (Turn("reader", self.loss),)

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """The two parts."""
        count, hands = x.shape[:2]
        logits, vectors = self.reader(x.flatten(0, 1))
        by = torch.arange(hands, device=x.device).repeat(count)
        of = torch.arange(count, device=x.device)
        content = []
        for one, other in combinations(vectors.view(count, hands, -1).unbind(1), 2):
            alike = one @ other.T / self.temperature
            content += [cross_entropy(alike, of), cross_entropy(alike.T, of)]
        return {"content": torch.stack(content).mean(), "hand": cross_entropy(logits, by) / 2}
