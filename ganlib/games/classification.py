"""Fitting a classifier is a game of one player, who pays the cross-entropy of its answers."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganlib.games.rules import Game, Turn


class Classification(Game):
    """One player, `classifier`, whose loss is -E log p(y | x), in nats.

    classifier: examples (batch, ...) to logits (batch, classes). A minibatch is a pair: the
    examples and their labels, int64 of shape (batch,).
    """

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = classifier
        self.turns = (Turn("classifier", self.loss),)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The mean cross-entropy of a minibatch."""
        examples, labels = batch
        return cross_entropy(self.classifier(examples), labels)
