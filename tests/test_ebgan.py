"""The energy game: losses by hand, its autoencoders, the pulling-away term by brute force."""

import math
from itertools import combinations

import pytest
import torch
from torch import nn

from ganlib.games.ebgan import EBGAN, pulling_away
from ganlib.nets import ConvolutionalAutoencoder, DenseAutoencoder, Logit, Perceptron

pytestmark = pytest.mark.usefixtures("one_thread")


class Bowl(nn.Module):
    """D(x) = ‖x‖², whose code is x; one weight, so that there is something to move."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def coded(self, x):
        return self.scale * x.square().sum(1), x

    def forward(self, x):
        return self.coded(x)[0]


class Given(nn.Module):
    """A generator of the same points always."""

    def __init__(self, points):
        super().__init__()
        self.points = nn.Parameter(points)

    def forward(self, z):
        return self.points


DATA = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
DRAWS = torch.tensor([[0.0, 1.0], [3.0, 0.0]])


def test_the_losses_are_the_formula():
    game = EBGAN(Given(DRAWS), Bowl(), 1, margin=4.0)
    paid = game.discriminator_loss(DATA)
    # Energies of data 1 and 4; of draws 1 and 9, of which the first lacks 3 and the second nothing.
    assert float(paid["data"].detach()) == 2.5
    assert float(paid["draws"].detach()) == 1.5
    assert float(game.generator_loss(DATA).detach()) == 5.0
    assert [turn.name for turn in game.turns] == ["discriminator", "generator"]


@pytest.mark.parametrize("weight", [0.5, -0.5])
def test_the_weight_of_the_term_is_added(weight):
    game = EBGAN(Given(torch.tensor([[1.0, 0.0], [1.0, 1.0]])), Bowl(), 1, 4.0, weight)
    paid = game.generator_loss(DATA)
    # A cosine of 1/√2.
    assert float(paid["pulling_away"].detach()) == pytest.approx(weight / 2)
    assert float(paid["energy"].detach()) == 1.5


def test_beyond_the_margin_draws_do_not_move_the_discriminator():
    far = EBGAN(Given(torch.full((2, 2), 10.0)), Bowl(), 1, margin=4.0)
    near = EBGAN(Given(torch.full((2, 2), 0.1)), Bowl(), 1, margin=4.0)
    for game, moves in ((far, False), (near, True)):
        lacking = game.discriminator_loss(DATA)["draws"]
        (slope,) = torch.autograd.grad(lacking, [game.discriminator.scale])
        assert bool(slope != 0) == moves


def test_pulling_away_against_every_pair():
    torch.manual_seed(0)
    codes = torch.randn(7, 5, dtype=torch.float64)
    cosines = [
        float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)) for a, b in combinations(codes, 2)
    ]
    expected = sum(c * c for c in cosines) / len(cosines)
    assert float(pulling_away(codes)) == pytest.approx(expected, abs=1e-12)
    # The length of a code does not matter, nor its sign.
    stretched = codes * torch.linspace(-3, 2, 7, dtype=torch.float64)[:, None]
    assert float(pulling_away(stretched)) == pytest.approx(expected, abs=1e-12)


def test_pulling_away_at_its_ends():
    assert float(pulling_away(3 * torch.eye(4))) == 0
    assert float(pulling_away(torch.outer(torch.tensor([1.0, -2.0]), torch.ones(3)))) == (
        pytest.approx(1)
    )
    codes = torch.zeros(3, 2, requires_grad=True)
    pulling_away(codes).backward()
    assert torch.isfinite(codes.grad).all()
    for wrong in (torch.zeros(1, 3), torch.zeros(3), torch.zeros(2, 3, 4)):
        with pytest.raises(ValueError, match="expected two or more"):
            pulling_away(wrong)


def test_what_makes_no_game_is_refused():
    pair = Perceptron(2, 2), Logit(2)
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="margin=.*: expected more than 0"):
            EBGAN(*pair, 2, wrong)
    for wrong in (math.inf, math.nan):
        with pytest.raises(ValueError, match="pulling_away=.*: expected a finite number"):
            EBGAN(*pair, 2, 1.0, wrong)
    with pytest.raises(ValueError, match="Logit has no `coded`"):
        EBGAN(*pair, 2, 1.0, 0.1)


@pytest.mark.parametrize(
    "network",
    [ConvolutionalAutoencoder(16, 3, 4, 5), DenseAutoencoder(16, 3, (12, 5))],
    ids=["convolutional", "dense"],
)
def test_an_energy_is_the_distance_to_what_comes_back(network):
    torch.manual_seed(0)
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    back = network.reconstructed(images)
    assert back.shape == images.shape and back.abs().max() <= 1
    energies, codes = network.coded(images)
    assert codes.shape == (6, 5)
    torch.testing.assert_close(energies, (back - images).flatten(1).norm(dim=1))
    assert torch.equal(network(images), energies)
    # Each image has an energy of its own.
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(energies, alone, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"expected \(batch, 3, 16, 16\)"):
        network(images[:, :1])


def test_widths_of_no_code_are_refused():
    for wrong in ((), 5, None):
        with pytest.raises(ValueError, match="widths=.*: expected a list of one or more"):
            DenseAutoencoder(widths=wrong)


def test_a_perfect_copy_has_energy_0_and_a_gradient():
    network = ConvolutionalAutoencoder(8, 1, 2, 3)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    blank = torch.zeros(2, 1, 8, 8, requires_grad=True)
    energy = network(blank)
    energy.sum().backward()
    assert torch.equal(energy, torch.zeros(2)) and torch.isfinite(blank.grad).all()
