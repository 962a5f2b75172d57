"""One small game of every kind that the book will hold: the one loop must play them all."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss, relu

from ganlib.datasets import gaussian_ring
from ganlib.games.bigan import BiGAN
from ganlib.games.codes import Codes
from ganlib.games.cycle import CycleGAN
from ganlib.games.ebgan import EBGAN
from ganlib.games.infogan import InfoGAN
from ganlib.games.minimax import NonSaturating
from ganlib.games.rules import Game, Turn
from ganlib.games.wgan import Clipping, GradientPenalty
from ganlib.nets import Joined, Logit, Perceptron
from ganlib.optimisers import adam
from ganlib.play import Recipe
from ganlib.streams import Draws, Minibatches, Together

WIDTHS = (16,)


def information() -> InfoGAN:
    """Five networks of points in the plane, of which a trunk moves in both turns."""
    codes = Codes(3, 1)
    trunk, heads = Perceptron(2, 8, WIDTHS), (Logit(8, ()), Perceptron(8, codes.answers, ()))
    return InfoGAN(Perceptron(2 + codes.size, 2, WIDTHS), trunk, *heads, 2, codes)


def pairs() -> BiGAN:
    """Encoder and generator in one turn."""
    inverse = Perceptron(2, 2, WIDTHS), Perceptron(2, 2, WIDTHS)
    return BiGAN(*inverse, Joined(Logit(4, WIDTHS)), 2)


def cycle() -> CycleGAN:
    """Two batches, four networks, both translators in one turn, and two pools of old points."""
    maps = Perceptron(2, 2, WIDTHS), Perceptron(2, 2, WIDTHS)
    return CycleGAN(*maps, Logit(2, WIDTHS), Logit(2, WIDTHS), pool=40, shape=(2,))


class Unrolled(NonSaturating):
    """The generator differentiates through the discriminator's own updates."""

    def __init__(self, unrolled: int = 2, rate: float = 0.1):
        super().__init__(Perceptron(2, 2, WIDTHS), Logit(2, WIDTHS), 2)
        self.unrolled, self.rate = unrolled, rate

    def generator_loss(self, x: Tensor) -> Tensor:
        fake = self.generator(self.noise(len(x)))
        weights = {
            name: weight.detach().requires_grad_()
            for name, weight in self.discriminator.named_parameters()
        }
        for _ in range(self.unrolled):
            real_logit = functional_call(self.discriminator, weights, (x,))
            fake_logit = functional_call(self.discriminator, weights, (fake,))
            loss = relu(1 - real_logit).mean() + relu(1 + fake_logit).mean()
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: weight - self.rate * slope
                for (name, weight), slope in zip(weights.items(), slopes, strict=True)
            }
        return -functional_call(self.discriminator, weights, (fake,)).mean()


class SemiSupervised(Game):
    """Labels in the batch: (labelled examples with their labels, unlabelled examples)."""

    def __init__(self):
        super().__init__()
        self.discriminator, self.generator = Perceptron(2, 3, WIDTHS), Perceptron(2, 2, WIDTHS)
        self.turns = (
            Turn("discriminator", self.discriminator_loss),
            Turn("generator", self.generator_loss, fresh=False),
        )

    def discriminator_loss(self, batch: tuple) -> Tensor:
        (labelled, labels), unlabelled = batch
        fake = self.generator(torch.randn(len(unlabelled), 2))
        fake_class = torch.full((len(fake),), 2)
        real = -torch.log1p(-self.discriminator(unlabelled).softmax(1)[:, 2]).mean()
        supervised = cross_entropy(self.discriminator(labelled), labels)
        return supervised + real + cross_entropy(self.discriminator(fake), fake_class)

    def generator_loss(self, batch: tuple) -> Tensor:
        unlabelled = batch[1]
        fake = self.generator(torch.randn(len(unlabelled), 2))
        return mse_loss(self.discriminator(fake).mean(0), self.discriminator(unlabelled).mean(0))


class Chain(Game):
    """A game of one player: a model of two binary variables, fitted by its likelihood.

    The weights hold the logit of the first, then of the second given that the first is 0 or 1.
    """

    def __init__(self):
        super().__init__()
        self.model = nn.Embedding(3, 1)
        self.turns = (Turn("model", self.negative_log_likelihood),)

    def negative_log_likelihood(self, x: Tensor) -> Tensor:
        logits = torch.cat([self.model.weight[0].expand(len(x), 1), self.model(1 + x[:, 0])], 1)
        return nn.functional.binary_cross_entropy_with_logits(logits, x.float()) * 2


def ring(size: int = 32) -> Draws:
    """Minibatches of the ring of Gaussians."""
    return Draws(gaussian_ring(), size)


def labelled_ring(seed: int) -> Together:
    """A few labelled points beside many unlabelled ones."""
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))
    labels = (points[:, 0] > 0).long()
    return Together(Minibatches(points, labels, size=8, seed=seed), ring())


def bits(seed: int) -> Minibatches:
    """Two binary variables with P(x1 = 1) = 0.7, P(x2 = 1 | x1) = 0.2 or 0.9, 1,000 in all."""
    table = [([0, 0], 240), ([0, 1], 60), ([1, 0], 70), ([1, 1], 630)]
    rows = [row for row, count in table for _ in range(count)]
    return Minibatches(torch.tensor(rows), size=100, seed=seed)


def pair() -> tuple[Perceptron, Logit]:
    """A generator of points and a critic of them."""
    return Perceptron(2, 2, WIDTHS), Logit(2, WIDTHS)


GAMES = {
    "non-saturating": (lambda: NonSaturating(*pair(), 2), ring),
    "clipped": (lambda: Clipping(*pair(), 2, 0.1), ring),
    "penalized": (lambda: GradientPenalty(*pair(), 2), ring),
    "margin": (lambda: EBGAN(*pair(), 2, 1.0), ring),
    "information": (information, ring),
    "pairs": (pairs, ring),
    "unrolled": (Unrolled, ring),
    "semi-supervised": (SemiSupervised, lambda: labelled_ring(0)),
    "cycle": (cycle, lambda: Together(ring(), ring())),
    "chain": (Chain, lambda: bits(0)),
}


def recipe(name: str, rounds: int = 12) -> Recipe:
    """A recipe for one of `GAMES`, with an average of every player."""
    make_game, make_stream = GAMES[name]
    game = make_game()
    movers = dict.fromkeys(mover for turn in game.turns for mover in turn.movers)
    return Recipe(
        name=name,
        game=game,
        stream=make_stream(),
        optimisers={name: adam(game.players[name], 1e-2) for name in movers},
        rounds=rounds,
        averages=dict.fromkeys(movers, 0.9),
        schedule=lambda progress: 1 - progress / 2,
    )
