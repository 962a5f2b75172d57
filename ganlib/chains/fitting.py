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
from ganlib.sizes import whole

# No pixel has this value. By default cross_entropy passes over -100, as over a label to ignore.
NO_LEVEL = -(2**31)


class MaximumLikelihood(Game):
    """One player, `chain`, whose loss is -E_x E_π log p(x; π), in nats per image.

    orders: generation orders π, of which `at_once` different ones are drawn for each minibatch,
    with equal chances, each for an equal share of its images; None for the chain's own order. A
    minibatch is images, or, at one order, a pair of images and labels. Raises ValueError for no
    orders, more at once than there are, or a minibatch that does not fit the chain. On a GPU,
    which is not made to wait for them, pixels that are no levels fail in the kernel of
    `cross_entropy`.
    """

    def __init__(self, chain: Chain, orders: Sequence[Tensor] | None = None, at_once: int = 1):
        super().__init__()
        count = 1 if orders is None else len(generation_orders.check_several(orders))
        if whole("at_once", at_once) > count:
            raise ValueError(f"at_once={at_once}: expected no more than the orders, {count}")
        self.chain, self.orders, self.at_once = chain, orders, at_once
        self.turns = (Turn("chain", self.loss),)

    def loss(self, batch: Any) -> Tensor:
        """-E log p(x; π): the mean over a minibatch, at random orders."""
        images, labels = self.parts(batch)
        drawn = self.drawn_orders()
        total = 0.0
        for order, share in zip(drawn, images.chunk(len(drawn)), strict=False):
            logits = self.chain(share, order, labels)
            total = total + summed_cross_entropy(logits, share.long())
        return total / len(images)

    def parts(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        """The images and the labels of a minibatch; ValueError for one without images."""
        images, labels = batch if isinstance(batch, tuple) else (batch, None)
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise ValueError(
                f"images are {generation_orders.described(images)}: expected whole numbers of "
                "shape (batch, channels, height, width)"
            )
        if not len(images):
            raise ValueError("a minibatch of no images: expected one or more")
        return images, labels

    def drawn_orders(self) -> list[Tensor | None]:
        """Some of the orders, each with the same chance."""
        if self.orders is None:
            return [None]
        chosen = torch.randperm(len(self.orders))[: self.at_once]
        return [self.orders[index] for index in chosen.tolist()]


def summed_cross_entropy(logits: Tensor, images: Tensor) -> Tensor:
    """-log p of every pixel, summed over all images; a pixel that is no level is never ignored."""
    return cross_entropy(logits, images, reduction="sum", ignore_index=NO_LEVEL)
