"""Codes and labels in games: losses by hand, who moves for what, bounds as torch has them."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.nn.functional import logsigmoid, one_hot

from ganlib import runtime
from ganlib.games.codes import NARROWEST, WIDEST, Codes
from ganlib.games.conditional import Conditional
from ganlib.games.infogan import InfoGAN, Unpaid, at_rest
from ganlib.nets import DCGANTrunk, Logit, Perceptron, WithPlanes
from ganlib.play import play
from ganlib.recipes import build

pytestmark = pytest.mark.usefixtures("one_thread")


class Heard(nn.Module):
    """A network that keeps what it was given, and answers with one weight."""

    def __init__(self, answer=None):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.given, self.answer = [], answer

    def forward(self, *given):
        self.given.append(given)
        value = given[0].flatten(1).sum(1) if self.answer is None else self.answer
        return self.weight * value


def test_codes_are_a_one_hot_vector_and_numbers_between_minus_one_and_one():
    torch.manual_seed(0)
    codes = Codes(categories=4, continuous=3)
    drawn = codes.draw(4000)
    assert drawn.shape == (4000, codes.size) == (4000, 7)
    assert torch.equal(drawn[:, :4].sort(1).values, one_hot(torch.full((4000,), 3), 4).float())
    assert drawn[:, :4].mean(0) == pytest.approx(0.25, abs=0.03)
    assert -1 <= float(drawn[:, 4:].min()) < -0.99 and 0.99 < float(drawn[:, 4:].max()) <= 1
    assert drawn[:, 4:].mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.05)
    # Independent: no correlation of any two columns that are not of one vector.
    table = torch.corrcoef(drawn.T)[4:]
    assert float(table.fill_diagonal_(0)[:, :4].abs().max()) < 0.06


def test_entropies_are_of_torchs_distributions():
    codes = Codes(6, 2)
    assert codes.entropy["categorical"] == pytest.approx(
        float(Categorical(torch.full((6,), 1 / 6)).entropy())
    )
    uniform = torch.distributions.Uniform(-1.0, 1.0)
    assert codes.entropy["continuous"] == pytest.approx(2 * float(uniform.entropy()))


def test_the_bound_is_that_of_torchs_distributions():
    torch.manual_seed(0)
    codes = Codes(5, 2)
    drawn, answers = codes.draw(9), torch.randn(9, codes.answers)
    found = codes.information(drawn, answers)
    said = Categorical(logits=answers[:, :5]).log_prob(drawn[:, :5].argmax(1))
    means, scales = answers[:, 5:7], answers[:, 7:].clamp(NARROWEST, WIDEST).exp()
    density = Normal(means, scales).log_prob(drawn[:, 5:]).sum(1)
    assert float(found["categorical"]) == pytest.approx(math.log(5) + float(said.mean()), rel=1e-5)
    expected = 2 * math.log(2) + float(density.mean())
    assert float(found["continuous"]) == pytest.approx(expected, rel=1e-5)


def test_a_sure_posterior_reaches_the_entropy_and_no_more():
    codes = Codes(3, 0)
    drawn = codes.draw(8)
    bound = codes.information(drawn, 1000 * drawn)["categorical"]
    assert float(bound) == pytest.approx(math.log(3))
    wrong = codes.information(drawn, 1000 * drawn.roll(1, 1))["categorical"]
    assert float(wrong) < -900


@pytest.mark.parametrize(("categories", "continuous"), [(1, 2), (2.5, 1), (3, -1), (3, True)])
def test_codes_that_are_none_are_refused(categories, continuous):
    with pytest.raises(ValueError, match="expected a whole number"):
        Codes(categories, continuous)


def tiny(kind=InfoGAN, **settings):
    """A game on points of the plane, small enough to differentiate by hand."""
    torch.manual_seed(0)
    codes = Codes(3, 1)
    networks = Perceptron(2 + codes.size, 2, (5,)), Perceptron(2, 4, (5,)), Logit(4, ())
    return kind(*networks, Perceptron(4, codes.answers, ()), 2, codes, **settings)


def test_its_input_is_scaled_noise_and_a_code():
    game = tiny(noise_scale=0.1)
    torch.manual_seed(1)
    drawn = game.noise(2000)
    assert drawn.shape == (2000, 6)
    assert float(drawn[:, :2].std()) == pytest.approx(0.1, rel=0.1)
    assert torch.equal(drawn[:, 2:5].sum(1), torch.ones(2000))


def test_infogan_pays_the_formula(monkeypatch):
    game = tiny(categorical_weight=2.0, continuous_weight=0.5)
    fixed = game.noise(6)
    monkeypatch.setattr(type(game), "noise", lambda self, count: fixed[:count])
    x = torch.randn(6, 2)
    fake = game.generator(fixed)
    real_logit, fake_logit = (game.discriminator(game.trunk(data)) for data in (x, fake))
    cost = -(logsigmoid(real_logit).mean() + logsigmoid(-fake_logit).mean())
    assert float(game.discriminator_loss(x).detach()) == pytest.approx(float(cost), rel=1e-6)
    paid = game.generator_loss(x)
    bound = game.codes.information(fixed[:, 2:], game.posterior(game.trunk(fake)))
    assert float(paid["fooling"]) == pytest.approx(-float(logsigmoid(fake_logit).mean()), rel=1e-6)
    assert float(paid["categorical"]) == pytest.approx(-2 * float(bound["categorical"]), rel=1e-6)
    assert float(paid["continuous"]) == pytest.approx(-0.5 * float(bound["continuous"]), rel=1e-6)
    (first, second) = game.turns
    assert first.movers == ("trunk", "discriminator") and first.fresh
    assert second.movers == ("generator", "posterior", "trunk") and not second.fresh


def gradients(loss, network):
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return [None if g is None else g.clone() for g in found]


@pytest.mark.parametrize("kind", [InfoGAN, Unpaid])
def test_the_trunk_moves_for_information_alone_and_unpaid_for_nothing(kind, monkeypatch):
    game = tiny(kind)
    fixed = game.noise(6)
    monkeypatch.setattr(type(game), "noise", lambda self, count: fixed[:count])
    x = torch.zeros(6, 2)
    # What G pays to fool D moves G, and not the trunk through which it goes.
    assert all(g is None for g in gradients(game.generator_loss(x)["fooling"], game.trunk))
    assert all(g is not None for g in gradients(game.generator_loss(x)["fooling"], game.generator))
    informed = gradients(game.generator_loss(x)["categorical"], game.trunk)
    through = gradients(game.generator_loss(x)["categorical"], game.generator)
    if kind is Unpaid:
        assert all(g is None for g in (*informed, *through))
    else:
        features = game.trunk(game.generator(fixed))
        nats = game.codes.information(fixed[:, 2:], game.posterior(features))["categorical"]
        expected = torch.autograd.grad(-nats, list(game.trunk.parameters()))
        for found, wanted in zip(informed, expected, strict=True):
            torch.testing.assert_close(found, wanted)
        assert all(g is not None for g in through)
    assert all(
        g is not None for g in gradients(game.generator_loss(x)["categorical"], game.posterior)
    )


def test_a_network_at_rest_answers_as_ever():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), torch.randn(5, 3)
    torch.testing.assert_close(at_rest(network, x), network(x))
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(at_rest(network, x).square().sum(), [x])
    assert float(slope.abs().max()) > 0


@pytest.mark.parametrize(
    "settings",
    [{"categorical_weight": -1.0}, {"continuous_weight": math.inf}, {"noise_scale": 0.0}],
)
def test_weights_and_scales_that_are_none_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        tiny(**settings)


def test_conditional_pays_the_formula_and_both_hear_the_label(monkeypatch):
    torch.manual_seed(0)
    generator, discriminator = Heard(), Heard()
    game = Conditional(generator, discriminator, noise_size=2, classes=3)
    z = torch.randn(4, 2)
    monkeypatch.setattr(type(game), "noise", lambda self, count: z[:count])
    x, y = torch.randn(4, 5), torch.tensor([0, 2, 1, 2])
    told = one_hot(y, 3).float()
    real, fake = 0.5 * x.sum(1), 0.5 * 0.5 * torch.cat([z, told], 1).sum(1)
    generator.forward = lambda row: generator.weight * row.sum(1, keepdim=True)
    expected = -(logsigmoid(real).mean() + logsigmoid(-fake).mean())
    assert float(game.discriminator_loss((x, y))) == pytest.approx(float(expected), rel=1e-6)
    for given in discriminator.given:
        assert torch.equal(given[1], told)
    lost = -logsigmoid(fake).mean()
    assert float(game.generator_loss((x, y))) == pytest.approx(float(lost), rel=1e-6)
    assert [turn.name for turn in game.turns] == ["discriminator", "generator"]


def test_planes_are_channels_of_ones_and_zeros():
    seen = Heard()
    images, told = torch.randn(2, 1, 4, 4), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    WithPlanes(seen)(images, told)
    ((given,),) = seen.given
    assert given.shape == (2, 3, 4, 4)
    assert torch.equal(given[:, :1], images)
    assert torch.equal(given[0, 1:], torch.stack([torch.zeros(4, 4), torch.ones(4, 4)]))


def test_a_trunk_gives_features_and_refuses_other_images():
    trunk = DCGANTrunk(side=16, channels=2, width=3, features=7)
    assert trunk(torch.zeros(4, 2, 16, 16)).shape == (4, 7)
    with pytest.raises(ValueError, match="expected"):
        trunk(torch.zeros(4, 1, 16, 16))


@pytest.mark.parametrize("name", ["infogan-mnist", "infogan-unpaid", "conditional-mnist"])
def test_a_run_that_was_stopped_goes_on_as_if_not(tmp_path, name):
    def ended(stop):
        run = runtime.start("smoke", "cpu", 3)
        recipe = build(name, run)
        path = tmp_path / f"{stop}.safetensors"
        if stop:

            def interrupt(done, networks):
                if done == 2:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                play(recipe, run, checkpoint=path, save_every=1, observe=interrupt, show=False)
            run = runtime.start("smoke", "cpu", 3)
            recipe = build(name, run)
        return play(recipe, run, checkpoint=path, save_every=1, show=False).averages["generator"]

    whole, resumed = ended(False), ended(True)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
