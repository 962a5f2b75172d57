"""The penalty on the discriminator's slope against closed forms."""

import pytest
import torch
from torch import nn

from ganlib import runtime
from ganlib.games.minimax import NonSaturating
from ganlib.games.r1 import SHARE, PenalizedSlope
from ganlib.games.slopes import squared_slopes
from ganlib.nets import DCGANDiscriminator, DCGANGenerator
from ganlib.optimisers import adam
from ganlib.play import Recipe, play
from ganlib.streams import Minibatches


class Quadratic(nn.Module):
    """The logit a · ‖x‖² + b · x: its slope at x is 2 a x + b."""

    def __init__(self, size):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.75, dtype=torch.float64))
        self.b = nn.Parameter(torch.linspace(-1, 1, size, dtype=torch.float64))

    def forward(self, x):
        x = x.flatten(1)
        return self.a * x.square().sum(1) + x @ self.b


def test_the_slope_is_that_of_a_quadratic_and_so_is_its_gradient():
    torch.manual_seed(0)
    x, logit = torch.randn(5, 2, 3, dtype=torch.float64), Quadratic(6)
    slope = 2 * logit.a * x.flatten(1) + logit.b
    expected = slope.square().sum(1).mean()
    found = squared_slopes(logit, x).mean()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for one, other in zip(
        torch.autograd.grad(found, logit.parameters()),
        torch.autograd.grad(expected, logit.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_it_does_not_reach_the_data():
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    squared_slopes(Quadratic(2), x).mean().backward()
    assert x.grad is None


def test_the_discriminator_pays_the_games_loss_and_the_penalty():
    torch.manual_seed(0)
    generator, logit = nn.Linear(3, 4).double(), Quadratic(4)
    game = PenalizedSlope(generator, logit, 3, weight=4.0, real_label=0.9)
    plain = NonSaturating(generator, logit, 3, real_label=0.9)
    for each in (game, plain):
        each.noise = lambda count: torch.ones(count, 3, dtype=torch.float64)
    x = torch.randn(2 * SHARE, 4, dtype=torch.float64)
    paid = game.discriminator_loss(x)
    assert paid.keys() == {"game", "slope"}
    assert torch.equal(paid["game"], plain.discriminator_loss(x))
    assert torch.equal(paid["slope"], 2.0 * squared_slopes(logit, x[:2]).mean())
    assert torch.equal(game.generator_loss(x), plain.generator_loss(x))


@pytest.mark.parametrize("weight", [0, -1.0, float("nan")])
def test_a_weight_that_penalizes_nothing_is_refused(weight):
    with pytest.raises(ValueError, match="weight=.*: expected more than 0"):
        PenalizedSlope(nn.Linear(1, 1), nn.Linear(1, 1), 1, weight)


def test_a_heavy_penalty_keeps_the_discriminator_flat():
    slopes = []
    for weight in (1e-9, 1000.0):
        run = runtime.start("smoke", "cpu", 0)
        generator = DCGANGenerator(4, 16, 1, 4)
        discriminator = DCGANDiscriminator(16, 1, 4, normalized=False)
        game = run.place(PenalizedSlope(generator, discriminator, 4, weight))
        images = torch.rand(64, 1, 16, 16) * 2 - 1
        optimisers = {n: adam(p, 2e-3) for n, p in game.players.items()}
        stream = Minibatches(images, size=16)
        outcome = play(Recipe("r1", game, stream, optimisers, 60), run, show=False)
        assert {"discriminator/game", "discriminator/slope"} <= outcome.losses.keys()
        slopes.append(float(squared_slopes(discriminator, images).mean().detach()))
    assert slopes[1] < slopes[0] / 10
