"""The game with labels (Mirza and Osindero, 2014): both players are told the class."""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot

from ganlib.games.minimax import cross_entropy
from ganlib.games.rules import Sampling
from ganlib.sizes import whole


class Conditional(Sampling):
    """E log D(x, y) + E log(1 - D(G(z, y), y)), where G maximises E log D(G(z, y), y) instead.

    Mirza and Osindero (2014), equation 2, with the loss that does not saturate. generator: noise
    and label in one row, (batch, noise_size + classes), to data. discriminator: data and labels,
    (batch, classes), to logits (batch,). Labels are one-hot vectors. classes: how many there are.
    A minibatch is a pair: data, and labels as int64, (batch,). Raises ValueError for sizes that
    are no whole numbers of 1 or more.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, noise_size: int, classes: int
    ):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.noise_size = whole("noise_size", noise_size)
        self.classes = whole("classes", classes)
        self.turns = self.alternating("discriminator", self.discriminator_loss)

    def draw(self, told: Tensor) -> Tensor:
        """G(z, y) for labels y, (batch, classes)."""
        return self.generator(torch.cat([self.noise(len(told)), told], 1))

    def discriminator_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The cross-entropy of D's answers on data and on draws alike."""
        x, y = batch
        told = one_hot(y, self.classes).float()
        fake = self.draw(told)
        on_data = cross_entropy(self.discriminator(x, told), 1.0)
        return on_data + cross_entropy(self.discriminator(fake, told), 0.0)

    def generator_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """-E log D(G(z, y), y); of the batch only the labels matter."""
        told = one_hot(batch[1], self.classes).float()
        fake = self.draw(told)
        return -logsigmoid(self.discriminator(fake, told)).mean()
