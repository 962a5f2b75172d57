"""The game of pairs and what learns an inverse beside it: losses by hand, and who feels what."""

import pytest
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from ganlib.games.autoencoding import Autoencoding
from ganlib.games.bigan import BiGAN, LatentRegressor
from ganlib.nets import DenseEncoder, DenseGenerator, Joined, Logit, Perceptron

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Perceptron(2, 3, (4,)), Perceptron(3, 2, (4,))


def fixed(monkeypatch, game, count=5):
    """Give a game the same noise always."""
    z = game.noise(count)
    monkeypatch.setattr(type(game), "noise", lambda self, wanted: z[:wanted])
    return z


def test_bigan_pays_the_formula(pair, monkeypatch):
    game = BiGAN(*pair, Joined(Logit(5, (6,))), 2)
    z, x = fixed(monkeypatch, game), torch.randn(5, 3)
    encoded = game.discriminator(x, game.encoder(x))
    generated = game.discriminator(game.generator(z), z)
    encoded, generated = encoded.detach(), generated.detach()
    right = -(logsigmoid(encoded).mean() + logsigmoid(-generated).mean())
    wrong = -(logsigmoid(-encoded).mean() + logsigmoid(generated).mean())
    assert float(game.discriminator_loss(x).detach()) == pytest.approx(float(right), rel=1e-6)
    assert float(game.generator_loss(x).detach()) == pytest.approx(float(wrong), rel=1e-6)
    first, second = game.turns
    assert first.movers == ("discriminator",) and second.movers == ("generator", "encoder")


def test_its_noise_is_uniform(pair):
    torch.manual_seed(0)
    z = BiGAN(*pair, Joined(Logit(5, ())), 2).noise(5000)
    assert z.shape == (5000, 2)
    assert float(z.min()) >= -1 and float(z.max()) <= 1
    assert float(z.std()) == pytest.approx(3**-0.5, rel=0.03)


def test_a_joined_network_hears_both():
    seen = []
    network = Joined(nn.Identity(), factor=4.0)
    network.network.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    network(torch.ones(2, 1, 2, 2), torch.tensor([[0.5], [1.0]]))
    assert torch.equal(seen[0], torch.tensor([[1.0, 1, 1, 1, 2], [1, 1, 1, 1, 4]]))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_of_the_codes_error_the_generator_feels_its_share(pair, weight, monkeypatch):
    game = LatentRegressor(*pair, Logit(3, (4,)), 2, weight)
    z, x = fixed(monkeypatch, game), torch.randn(5, 3)
    fake = game.generator(z)
    paid = game.generator_loss(x)
    error = (game.encoder(fake) - z).square().mean()
    assert float(paid["code"]) == pytest.approx(float(error), rel=1e-6)
    fooling = -logsigmoid(game.discriminator(fake)).mean()
    assert float(paid["fooling"]) == pytest.approx(float(fooling), rel=1e-6)
    whole = torch.autograd.grad(error, list(game.generator.parameters()), retain_graph=True)
    felt = torch.autograd.grad(paid["code"], list(game.generator.parameters()), retain_graph=True)
    for found, full in zip(felt, whole, strict=True):
        torch.testing.assert_close(found, weight * full)
    for found, full in zip(
        torch.autograd.grad(paid["code"], list(game.encoder.parameters())),
        torch.autograd.grad(error, list(game.encoder.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(found, full)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(pair, weight):
    with pytest.raises(ValueError, match="expected 0 or more"):
        LatentRegressor(*pair, Logit(3, ()), 2, weight)


@pytest.mark.parametrize(("power", "expected"), [(1, 1.5), (2, 2.5)])
def test_an_autoencoder_pays_its_error(power, expected):
    class Zero(nn.Linear):
        def forward(self, x):
            return 0 * super().forward(x)

    game = Autoencoding(Zero(2, 1), Zero(1, 2), power)
    assert float(game.loss(torch.tensor([[1.0, -2.0]]))) == expected
    (turn,) = game.turns
    assert set(turn.movers) == {"encoder", "generator"}
    with pytest.raises(ValueError, match="expected 1 or 2"):
        Autoencoding(Zero(2, 1), Zero(1, 2), 3)


def test_the_dense_pair_fits_together():
    generator, encoder = (
        kind(noise_size=5, side=6, channels=2, widths=(7,))
        for kind in (DenseGenerator, DenseEncoder)
    )
    images = generator(torch.zeros(3, 5))
    assert images.shape == (3, 2, 6, 6) and encoder(images).shape == (3, 5)
    assert encoder(images).dtype == torch.float32
    with pytest.raises(ValueError, match="expected"):
        encoder(torch.zeros(3, 1, 6, 6))
