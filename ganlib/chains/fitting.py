"""Fitting a chain is a game of one player, who pays the negative log-likelihood.

`play` fits it as it plays every game. What is paid is the same quantity that `likelihood`
measures afterwards, on a minibatch and at one order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganlib.chains import orders as generation_orders
from ganlib.chains.models import Chain
from ganlib.games.rules import Game, Turn

# No pixel has this value. By default cross_entropy passes over -100, as over a label to ignore.
NO_LEVEL = -(2**31)


class MaximumLikelihood(Game):
    """One player, `chain`, whose loss is -E_x E_π log p(x; π), in nats per image.

    orders: generation orders π, one of which is drawn for each minibatch with equal chances;
    None for the chain's own order. A minibatch is images, or a pair of images and labels. Raises
    ValueError for no orders, or a minibatch that does not fit the chain. On a GPU, which is not
    made to wait for them, pixels that are no levels fail in the kernel of `cross_entropy`.
    """

    def __init__(self, chain: Chain, orders: Sequence[Tensor] | None = None):
        super().__init__()
        if orders is not None:
            generation_orders.check_several(orders)
        self.chain, self.orders = chain, orders
        self.turns = (Turn("chain", self.loss),)

    def loss(self, batch: Any) -> Tensor:
        """-E log p(x; π): the mean over a minibatch, at a random order."""
        images, labels = self.parts(batch)
        logits = self.chain(images, self.drawn_order(), labels)
        return summed_cross_entropy(logits, images.long()) / len(images)

    def parts(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        """The images and the labels of a minibatch; ValueError for one without images."""
        images, labels = batch if isinstance(batch, tuple) else (batch, None)
        if isinstance(images, Tensor) and not images.shape[:1].numel():
            raise ValueError("a minibatch of no images: expected one or more")
        return images, labels

    def drawn_order(self) -> Tensor | None:
        """One of the orders, each with the same chance."""
        if self.orders is None:
            return None
        return self.orders[int(torch.randint(len(self.orders), ()))]


def summed_cross_entropy(logits: Tensor, images: Tensor) -> Tensor:
    """-log p of every pixel, summed over all images; a pixel that is no level is never ignored."""
    return cross_entropy(logits, images, reduction="sum", ignore_index=NO_LEVEL)
