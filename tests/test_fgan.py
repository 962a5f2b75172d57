"""The f-GAN's losses against its divergences on tables, and against the games that it contains."""

import pytest
import torch
from test_f_divergences import alpha
from test_minimax import Dealer, Table

from ganlib import runtime
from ganlib.datasets import mixture_1d
from ganlib.divergences import F_DIVERGENCES, f_divergence
from ganlib.games.fgan import FGAN
from ganlib.games.minimax import Minimax, NonSaturating
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import adam
from ganlib.play import Recipe, play
from ganlib.streams import Draws

pytestmark = pytest.mark.usefixtures("one_thread")

REAL, FAKE = [0, 0, 0, 1, 2, 2, 3, 3], [0, 1, 1, 1, 2, 2, 3, 3]


@pytest.fixture(params=[*F_DIVERGENCES, "alpha"])
def name(request, monkeypatch):
    """Every row, and one that was not there before: it is a game without further ado."""
    if request.param == "alpha":
        monkeypatch.setitem(F_DIVERGENCES, "alpha", alpha(0.3))
    return request.param


def frequencies(outcomes):
    return torch.tensor(outcomes).bincount(minlength=4).double() / len(outcomes)


def game_of(name, values, **options):
    return FGAN(Dealer(torch.tensor(FAKE)), Table(values), 1, name, **options)


def best_values(name):
    """The critic's answers at which T is best, by bisection of the activation."""
    row = F_DIVERGENCES[name]
    wanted = row.optimal(frequencies(REAL) / frequencies(FAKE))
    low, high = torch.full((4,), -50.0).double(), torch.full((4,), 50.0).double()
    for _ in range(200):
        middle = (low + high) / 2
        above = row.activation(middle) > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return low


def test_at_the_best_critic_it_pays_the_divergence(name):
    p, q, x = frequencies(REAL), frequencies(FAKE), torch.tensor(REAL)
    paid = -game_of(name, best_values(name)).critic_loss(x).item()
    assert paid == pytest.approx(float(f_divergence(name, p, q)), abs=1e-9)


def test_at_any_other_critic_it_pays_less(name):
    draws = torch.Generator().manual_seed(0)
    most = float(f_divergence(name, frequencies(REAL), frequencies(FAKE)))
    for _ in range(20):
        values = torch.randn(4, generator=draws, dtype=torch.float64)
        assert -game_of(name, values).critic_loss(torch.tensor(REAL)).item() <= most + 1e-12


def test_the_generators_two_losses(name):
    values, x = torch.linspace(-1, 1, 4).double(), torch.tensor(REAL)
    row, q = F_DIVERGENCES[name], frequencies(FAKE)
    t = row.activation(values)
    paid = game_of(name, values).generator_loss(x).item()
    assert paid == pytest.approx(-float((q * row.conjugate(t)).sum()))
    paid = game_of(name, values, non_saturating=True).generator_loss(x).item()
    assert paid == pytest.approx(-float((q * t).sum()))


def test_the_row_called_gan_is_the_original_game():
    values, x = torch.linspace(-2, 1, 4).double(), torch.tensor(REAL)
    for option, other in ((False, Minimax), (True, NonSaturating)):
        ours = game_of("gan", values, non_saturating=option)
        theirs = other(Dealer(torch.tensor(FAKE)), Table(values), 1)
        torch.testing.assert_close(ours.critic_loss(x), theirs.discriminator_loss(x))
        torch.testing.assert_close(ours.generator_loss(x), theirs.generator_loss(x))


def test_turns_are_as_many_as_asked_for():
    game = game_of("kl", torch.zeros(4), critic_turns=3)
    assert [turn.name for turn in game.turns] == ["critic"] * 3 + ["generator"]
    assert game.settings["divergence"] == "kl"
    with pytest.raises(ValueError, match="'ks' is not known: choose one of kl"):
        game_of("ks", torch.zeros(4))


def test_the_critic_finds_the_divergence_and_the_generator_the_data(name):
    """On the line, from far off: the fitted mean comes near, whatever the row."""
    if name == "total-variation":
        pytest.skip("far off its critic is saturated, which the chapter shows")
    run, target = runtime.start("smoke", "cpu", 0), mixture_1d([0.5], [1.0], [1.0])
    generator, critic = Perceptron(1, 1, ()), Logit(1, (32,), "Tanh")
    with torch.no_grad():
        generator[0].weight.fill_(1.0)
        generator[0].bias.fill_(-0.5)
    optimisers = {"critic": adam(critic, 1e-2), "generator": adam(generator, 1e-2)}
    game = FGAN(generator, critic, 1, name)
    play(Recipe(name, game, Draws(target, 256), optimisers, 400), run, show=False)
    assert float(generator[0].bias.detach()) == pytest.approx(0.5, abs=0.35)
