"""The minimax game against torch's cross-entropy and the theory on tables that are enumerated."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ganlib.games.minimax import Minimax, NonSaturating, cross_entropy

# torch splits logsigmoid over threads however small it is.
pytestmark = pytest.mark.usefixtures("one_thread")

# Right to rounding: torch's cross-entropy subtracts logits of up to 50, or 20, in float64.
EXACTLY = {"rtol": 1e-12, "atol": 1e-13}

logit_lists = st.lists(st.floats(-50, 50), min_size=1, max_size=10)
# Two batches of one size over five outcomes; their frequencies are the tables p and q, exactly.
batches = st.integers(1, 12).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 4), min_size=size, max_size=size)] * 2)
)


class Table(nn.Module):
    """A discriminator of outcomes: one logit each."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits, dtype=torch.float64))

    def forward(self, outcomes):
        return self.logits[outcomes]


class Dealer(nn.Module):
    """A generator that deals out what it was given, whatever the noise."""

    def __init__(self, examples):
        super().__init__()
        self.examples = examples

    def forward(self, noise):
        assert len(noise) == len(self.examples)
        return self.examples


def table_game(fake, logits, game=Minimax, **labels):
    return game(Dealer(torch.tensor(fake)), Table(logits), 1, **labels)


def best_logits(real, fake):
    p, q = numpy.bincount(real, minlength=5), numpy.bincount(fake, minlength=5)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        # At 700, D rounds to certainty and log D is still a number.
        return numpy.nan_to_num(numpy.log(p) - numpy.log(q), nan=0.0, posinf=700, neginf=-700)


@settings(deadline=None)
@given(logit_lists, st.floats(0, 1))
def test_cross_entropy_is_torchs(logits, label):
    logits = torch.tensor(logits, dtype=torch.float64)
    expected = binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
    torch.testing.assert_close(cross_entropy(logits, label), expected, **EXACTLY)


def test_cross_entropy_is_exact_where_probabilities_would_round():
    assert cross_entropy(torch.tensor([1000.0]), 0.0) == 1000
    assert cross_entropy(torch.tensor([-1000.0]), 1.0) == 1000
    tiny = cross_entropy(torch.tensor([50.0], dtype=torch.float64), 1.0).item()
    assert tiny == pytest.approx(math.exp(-50), rel=1e-12)


@settings(deadline=None)
@given(
    batches,
    st.lists(st.floats(-20, 20), min_size=5, max_size=5),
    st.sampled_from([(1.0, 0.0), (0.9, 0.0), (0.9, 0.1)]),
)
def test_the_losses_are_torchs(batch, logits, labels):
    real, fake = batch
    real_label, fake_label = labels
    names = {"real_label": real_label, "fake_label": fake_label}
    minimax = table_game(fake, logits, **names)
    non_saturating = table_game(fake, logits, NonSaturating, **names)
    x = torch.tensor(real)
    answers = torch.tensor(logits, dtype=torch.float64)
    on_real, on_fake = answers[real], answers[fake]

    def torchs(on, label):
        return binary_cross_entropy_with_logits(on, torch.full_like(on, label))

    expected = torchs(on_real, real_label) + torchs(on_fake, fake_label)
    torch.testing.assert_close(minimax.discriminator_loss(x), expected, **EXACTLY)
    torch.testing.assert_close(non_saturating.discriminator_loss(x), expected, **EXACTLY)
    torch.testing.assert_close(minimax.generator_loss(x), -torchs(on_fake, 0.0), **EXACTLY)
    torch.testing.assert_close(non_saturating.generator_loss(x), torchs(on_fake, 1.0), **EXACTLY)


@settings(deadline=None)
@given(batches)
def test_the_best_discriminator_pays_log_4_less_two_jensen_shannon(batch):
    real, fake = batch
    loss = table_game(fake, best_logits(real, fake)).discriminator_loss(torch.tensor(real))
    p, q = (numpy.bincount(outcomes, minlength=5) for outcomes in (real, fake))
    divergence = 0.0 if (p == q).all() else jensenshannon(p, q) ** 2
    assert loss.item() == pytest.approx(math.log(4) - 2 * divergence, abs=1e-12)


@settings(deadline=None)
@given(batches, st.lists(st.floats(-20, 20), min_size=5, max_size=5))
def test_no_discriminator_pays_less_than_the_best(batch, logits):
    real, fake = batch
    x = torch.tensor(real)
    best = table_game(fake, best_logits(real, fake)).discriminator_loss(x)
    assert table_game(fake, logits).discriminator_loss(x) >= best - 1e-12


@pytest.mark.parametrize("alpha, beta", [(1.0, 0.0), (0.9, 0.0), (0.9, 0.1)])
def test_the_best_discriminator_under_smoothing(alpha, beta):
    real, fake = [0, 0, 0, 0, 1, 2, 2, 3, 3, 4], [0, 1, 1, 1, 1, 2, 3, 3, 4, 4]
    p, q = numpy.bincount(real) / 10, numpy.bincount(fake) / 10
    best = (alpha * p + beta * q) / (p + q)
    game = table_game(fake, numpy.log(best / (1 - best)), real_label=alpha, fake_label=beta)
    game.discriminator_loss(torch.tensor(real)).backward()
    # The loss is convex in the logits, so its minimum is where the slope is zero.
    assert game.discriminator.logits.grad.tolist() == pytest.approx([0.0] * 5, abs=1e-15)


def test_the_two_generator_gradients_differ_by_the_odds_of_each_sample():
    torch.manual_seed(0)
    examples = nn.Parameter(torch.linspace(-3, 3, 20, dtype=torch.float64)[:, None])
    discriminator = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    discriminator.double()
    x = torch.zeros(20, 1)
    slopes = [
        torch.autograd.grad(game(Dealer(examples), discriminator, 1).generator_loss(x), examples)[0]
        for game in (Minimax, NonSaturating)
    ]
    chance = torch.sigmoid(discriminator(examples)).detach()
    assert slopes[0].abs().min() > 0
    torch.testing.assert_close((slopes[1] / slopes[0])[:, 0], (1 - chance) / chance)


def test_the_non_saturating_gradient_stays_where_the_minimax_one_vanishes():
    # D answers exp(-30): the minimax slope is D and the non-saturating one is 1 - D.
    slopes = {}
    for game in (Minimax, NonSaturating):
        logit = torch.tensor([-30.0], dtype=torch.float64, requires_grad=True)
        loss = game(Dealer(logit), nn.Sequential(nn.Identity()), 1)
        loss.noise = lambda count: torch.zeros(count, 1)
        (slopes[game],) = torch.autograd.grad(loss.generator_loss(torch.zeros(1)), logit)
    assert slopes[Minimax].item() == pytest.approx(-math.exp(-30), rel=1e-12)
    assert slopes[NonSaturating].item() == pytest.approx(-1, rel=1e-12)


@pytest.mark.parametrize("game", [Minimax, NonSaturating])
@pytest.mark.parametrize(
    "real, fake",
    [(0.0, 1.0), (0.5, 0.5), (1.1, 0.0), (1.0, -0.1), (math.nan, 0.0), (1.0, math.nan)],
)
def test_wrong_labels_are_named(game, real, fake):
    with pytest.raises(
        ValueError, match=f"labels {real} .*{fake} .*expected 0 <= fake < real <= 1"
    ):
        game(nn.Linear(2, 2), nn.Linear(2, 1), 2, real, fake)


def test_a_round_is_a_turn_of_each_player_on_one_minibatch():
    game = Minimax(nn.Linear(3, 2), nn.Linear(2, 1), 3)
    assert [turn.name for turn in game.turns] == ["discriminator", "generator"]
    assert [turn.movers for turn in game.turns] == [("discriminator",), ("generator",)]
    assert [turn.fresh for turn in game.turns] == [True, False]
    assert game.players == {"generator": game.generator, "discriminator": game.discriminator}


def test_the_discriminator_can_move_several_times_on_fresh_minibatches():
    game = NonSaturating(nn.Linear(3, 2), nn.Linear(2, 1), 3, discriminator_turns=3)
    assert [turn.name for turn in game.turns] == ["discriminator"] * 3 + ["generator"]
    assert [turn.fresh for turn in game.turns] == [True] * 3 + [False]


@pytest.mark.parametrize("game", [Minimax, NonSaturating])
def test_the_turns_pay_the_losses_of_their_own_game(game):
    dealt = table_game([0, 1], [1.0, 2.0, 0.0, 0.0, 0.0], game)
    x = torch.tensor([0, 0])
    discriminator, generator = dealt.turns
    assert discriminator.loss(x) == dealt.discriminator_loss(x)
    assert generator.loss(x) == dealt.generator_loss(x)


def test_the_noise_is_standard_normal():
    torch.manual_seed(0)
    noise = Minimax(nn.Linear(5, 2), nn.Linear(2, 1), 5).noise(4000)
    assert noise.shape == (4000, 5)
    # Six standard errors of the mean and the variance of 20,000 numbers.
    assert noise.mean().item() == pytest.approx(0, abs=6 / math.sqrt(20_000))
    assert noise.var().item() == pytest.approx(1, abs=6 * math.sqrt(2 / 20_000))
