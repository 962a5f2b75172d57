"""Foreseen steps against torch's own optimisers, and the unrolled gradient against differences."""

import copy

import pytest
import torch
from torch import nn

from ganlib import runtime
from ganlib.datasets import gaussian_ring
from ganlib.games.minimax import Minimax
from ganlib.games.unrolled import Unrolled
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import Muon, adam, foreseen
from ganlib.play import Recipe, play
from ganlib.streams import Draws

pytestmark = pytest.mark.usefixtures("one_thread")


def networks(normalized: bool = False) -> tuple[nn.Module, nn.Module]:
    """Small and smooth, in float64."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    layers = [nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)]
    if normalized:
        layers.insert(1, nn.BatchNorm1d(8))
    return generator.double(), nn.Sequential(*layers).double()


def optimiser(kind: str, network: nn.Module, warm: int = 0) -> torch.optim.Optimizer:
    if kind == "fused":
        found = adam(network, 0.02)
    elif kind == "adam":
        found = torch.optim.Adam(network.parameters(), 0.02, (0.5, 0.9), eps=1e-6)
    else:
        found = torch.optim.SGD(network.parameters(), 0.3)
    for step in range(warm):
        x = torch.randn(6, 2, generator=torch.Generator().manual_seed(step)).double()
        found.zero_grad()
        network(x).square().mean().backward()
        found.step()
    found.zero_grad()
    return found


def game_of(kind: str, steps: int, warm: int = 0, normalized: bool = False) -> Unrolled:
    generator, discriminator = networks(normalized)
    game = Unrolled(generator, discriminator, 3, steps, optimiser(kind, discriminator, warm))
    z = torch.randn(12, 3, generator=torch.Generator().manual_seed(7)).double()
    game.noise = lambda count: z[:count]
    return game


X = torch.randn(12, 2, generator=torch.Generator().manual_seed(8)).double()


@pytest.mark.parametrize("warm", [0, 5])
@pytest.mark.parametrize("kind", ["sgd", "adam", "fused"])
def test_the_foreseen_steps_are_those_that_the_optimiser_then_takes(kind, warm):
    game = game_of(kind, 4, warm)
    fake = game.generator(game.noise(12)).detach()
    foretold = game.reaction(X, fake)
    for _ in range(4):
        game.optimiser.zero_grad()
        (-game.value(dict(game.discriminator.named_parameters()), X, fake)).backward()
        game.optimiser.step()
    for name, weight in game.discriminator.named_parameters():
        torch.testing.assert_close(foretold[name], weight, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("warm", [0, 5])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("steps", [0, 1, 6])
def test_the_unrolled_gradient_is_that_of_finite_differences(kind, steps, warm):
    game = game_of(kind, steps, warm)
    weights = list(game.generator.parameters())
    slopes = torch.autograd.grad(game.generator_loss(X), weights)
    draws, step = torch.Generator().manual_seed(9), 1e-5
    for weight, slope in zip(weights, slopes, strict=True):
        direction = torch.randn(weight.shape, generator=draws, dtype=torch.float64)
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * step * direction
            found.append(game.generator_loss(X).item())
            with torch.no_grad():
                weight -= sign * step * direction
        difference = (found[0] - found[1]) / (2 * step)
        assert float((slope * direction).sum()) == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_without_steps_it_is_the_original_game():
    game = game_of("adam", 0)
    plain = Minimax(game.generator, game.discriminator, 3)
    plain.noise = game.noise
    slopes = [
        torch.autograd.grad(each.generator_loss(X), list(game.generator.parameters()))
        for each in (game, plain)
    ]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)


def test_adam_is_differentiable_where_a_weight_has_had_no_slope():
    """A dead unit's slope is 0 and so are its moments: the root of 0 must not give a NaN."""
    generator, discriminator = networks()
    discriminator[1] = nn.ReLU()
    with torch.no_grad():
        discriminator[0].bias[:3] = -100
    game = Unrolled(generator, discriminator, 3, 5, torch.optim.Adam(discriminator.parameters()))
    game.noise = lambda count: torch.ones(count, 3).double()
    slopes = torch.autograd.grad(game.generator_loss(X), list(generator.parameters()))
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert any(slope.abs().max() > 0 for slope in slopes)
    weights = game.reaction(X, X)
    assert torch.equal(weights["0.bias"][:3], discriminator[0].bias[:3])


def test_nothing_of_the_discriminator_is_changed():
    game = game_of("adam", 3, warm=2, normalized=True)
    before = copy.deepcopy(game.discriminator.state_dict())
    moments = copy.deepcopy(game.optimiser.state_dict())
    game.generator_loss(X).backward()
    for name, value in game.discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    for index, state in game.optimiser.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, moments["state"][index][name]), name


def test_a_run_resumes_exactly(tmp_path):
    def recipe() -> Recipe:
        torch.manual_seed(1)
        generator, discriminator = Perceptron(2, 2, (8,)), Logit(2, (8,))
        moving = adam(discriminator, 1e-2)
        optimisers = {"discriminator": moving, "generator": adam(generator, 1e-2)}
        game = Unrolled(generator, discriminator, 2, 3, moving)
        return Recipe("unrolled", game, Draws(gaussian_ring(), 16), optimisers, 9)

    def interrupt(done, networks):
        if done == 7:
            raise KeyboardInterrupt

    run, path = runtime.start("smoke", "cpu", 0), tmp_path / "run.safetensors"
    whole, resumed = recipe(), recipe()
    play(whole, run, show=False)
    with pytest.raises(KeyboardInterrupt):
        play(recipe(), run, checkpoint=path, save_every=4, observe=interrupt, show=False)
    play(resumed, run, checkpoint=path, show=False)
    for name, tensor in whole.game.state_dict().items():
        assert torch.equal(tensor, resumed.game.state_dict()[name]), name


def test_what_cannot_be_foreseen_is_refused():
    generator, discriminator = networks()
    weights = list(discriminator.parameters())

    def refused(message, found, steps=1):
        with pytest.raises(ValueError, match=message):
            Unrolled(generator, discriminator, 3, steps, found)

    refused("steps=-1", torch.optim.SGD(weights, 0.1), steps=-1)
    refused("expected torch's Adam or SGD", torch.optim.AdamW(weights))
    refused("expected torch's Adam or SGD", Muon(discriminator, 0.02, 1e-3))
    refused("momentum=0.9: expected none", torch.optim.SGD(weights, 0.1, momentum=0.9))
    refused("weight_decay=0.1: expected none", torch.optim.Adam(weights, weight_decay=0.1))
    refused("amsgrad=True: expected none", torch.optim.Adam(weights, amsgrad=True))
    refused("expected those, and all of them", torch.optim.Adam(weights[:2]))
    refused("expected those, and all of them", torch.optim.Adam(generator.parameters()))


def test_a_quadratic_game_is_unrolled_as_by_hand():
    """V = a θ φ - b φ² / 2: every step of ascent multiplies the distance to a θ / b by 1 - η b."""
    a, b, rate, steps = 1.5, 0.8, 0.3, 4
    player = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        player.weight.fill_(0.7)
    theta = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)

    def value(phi):
        return a * theta * phi - b * phi**2 / 2

    weights = foreseen(
        torch.optim.SGD(player.parameters(), rate),
        player,
        lambda weights: -value(weights["weight"].squeeze()),
        steps,
    )
    kept = (1 - rate * b) ** steps
    phi = a * theta / b + kept * (0.7 - a * theta / b)
    torch.testing.assert_close(weights["weight"].squeeze(), phi)
    (found,) = torch.autograd.grad(value(weights["weight"].squeeze()), theta)
    (by_hand,) = torch.autograd.grad(value(phi), theta)
    torch.testing.assert_close(found, by_hand)
