"""Fitting a chain is a game of one player, who pays the negative log-likelihood.

`play` fits it as it plays every game. What is paid is the same quantity that `likelihood`
measures afterwards, on a minibatch and at one order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganlib.chains.models import Chain
from ganlib.games.rules import Game, Turn


class MaximumLikelihood(Game):
    """One player, `chain`, whose loss is -E_x E_π log p(x; π), in nats per image.

    orders: generation orders π, one of which is drawn for each minibatch with equal chances;
    None for the chain's own order. A minibatch is images, or a pair of images and labels.
    """

    def __init__(self, chain: Chain, orders: Sequence[Tensor] | None = None):
        super().__init__()
        if orders is not None and not len(orders):
            raise ValueError("no orders to draw from: expected one or more, or None")
        self.chain, self.orders = chain, orders
        self.turns = (Turn("chain", self.loss),)

    def loss(self, batch: Any) -> Tensor:
        """The mean negative log-likelihood of a minibatch at a random order."""
        images, labels = batch if isinstance(batch, tuple) else (batch, None)
        order = None
        if self.orders is not None:
            order = self.orders[int(torch.randint(len(self.orders), ()))]
        logits = self.chain(images, order, labels)
        return cross_entropy(logits, images.long(), reduction="sum") / len(images)
