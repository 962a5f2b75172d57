"""Optimisers beside their definitions, schedules, and a rehearsal of every recipe on no device."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from ganlib import runtime
from ganlib.games.minimax import NonSaturating
from ganlib.games.rules import Game, Turn
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import Muon, adam, cosine, warmed_up
from ganlib.play import Recipe, play, rehearse
from ganlib.recipes import RECIPES, build
from ganlib.runtime import Run
from ganlib.streams import Minibatches


def small_network(channels_last: bool = False) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4))
    return network.to(memory_format=torch.channels_last) if channels_last else network


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        network(images).square().mean().backward()
        optimiser.step()


def newton_schulz(matrix: torch.Tensor) -> torch.Tensor:
    """Jordan's polynomial, five times, in the precision that torch's own takes."""
    wide = matrix.bfloat16()
    tall = len(wide) > wide.shape[1]
    wide = wide.T if tall else wide
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(5):
        square = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return wide.T if tall else wide


@pytest.mark.parametrize("channels_last", [False, True])
def test_muon_is_what_it_says(channels_last):
    """The kernel by hand: Nesterov momentum, Newton-Schulz, a step; the rest by torch's Adam."""
    network, by_hand = small_network(channels_last), small_network()
    descend(network, Muon(network, 0.02, 1e-3, beside=["3"]))
    rest = [by_hand[0].bias, *by_hand[3].parameters()]
    other = torch.optim.Adam(rest, 1e-3, (0.9, 0.999))
    kernel, momentum = by_hand[0].weight, torch.zeros(6, 27)
    for step in range(3):
        images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        by_hand.zero_grad()
        by_hand(images).square().mean().backward()
        other.step()
        slope = kernel.grad.flatten(1)
        momentum = 0.95 * momentum + 0.05 * slope
        update = newton_schulz(0.05 * slope + 0.95 * momentum).float()
        with torch.no_grad():
            kernel -= 0.02 * max(1, 6 / 27) ** 0.5 * update.reshape(kernel.shape)
    for ours, theirs in zip(network.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3 if ours.ndim == 4 else 3e-4)


def test_muon_resumes_exactly_from_its_state():
    whole, first = small_network(), small_network()
    descend(whole, Muon(whole, 0.02, 1e-3), 5)
    optimiser = Muon(first, 0.02, 1e-3)
    descend(first, optimiser, 5 - 3)
    state = copy.deepcopy(optimiser.state_dict())
    again = small_network()
    again.load_state_dict(first.state_dict())
    resumed = Muon(again, 0.02, 1e-3)
    resumed.load_state_dict(state)
    for step in range(2, 5):
        images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        resumed.zero_grad()
        again(images).square().mean().backward()
        resumed.step()
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_muon_plays_under_a_schedule_and_resumes_a_run_exactly(tmp_path):
    def recipe() -> Recipe:
        torch.manual_seed(0)
        game = NonSaturating(Perceptron(2, 2, (8, 8)), Logit(2, (8, 8)), 2)
        stream = Minibatches(torch.randn(40, 2), size=8, seed=1)
        optimisers = {name: Muon(player, 0.02, 1e-3) for name, player in game.players.items()}
        return Recipe("muon", game, stream, optimisers, 9, schedule=warmed_up(0.2))

    def interrupt(done, networks):
        if done == 7:
            raise KeyboardInterrupt

    run, path = runtime.start("smoke", "cpu", 0), tmp_path / "run.safetensors"
    whole, resumed = recipe(), recipe()
    play(whole, run)
    with pytest.raises(KeyboardInterrupt):
        play(recipe(), run, checkpoint=path, save_every=4, observe=interrupt)
    play(resumed, run, checkpoint=path)
    for name, tensor in whole.game.state_dict().items():
        assert torch.equal(tensor, resumed.game.state_dict()[name]), name


def test_muon_without_matrices_or_of_unknown_layers_is_refused():
    with pytest.raises(ValueError, match="expected some matrices for Muon"):
        Muon(small_network(), 0.02, 1e-3, beside=["0", "3"])
    with pytest.raises(ValueError, match=r"beside=\['9'\]: expected layers"):
        Muon(small_network(), 0.02, 1e-3, beside=["9"])
    with pytest.raises(ValueError, match="ReLU has no weights to fit"):
        adam(nn.ReLU(), 1e-3)


def test_fused_adam_is_adam():
    fused, plain = small_network(), small_network()
    descend(fused, adam(fused, 1e-2))
    assert adam(fused, 1e-2).defaults["fused"]
    descend(plain, torch.optim.Adam(plain.parameters(), 1e-2, (0.5, 0.999), foreach=False))
    for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_schedules_warm_up_and_fall():
    warm = warmed_up(0.25)
    assert [warm(0), warm(0.125), warm(0.25)] == pytest.approx([0, 0.5, 1])
    assert warm(0.625) == pytest.approx(cosine(0.5)) and warm(1) == pytest.approx(0)
    assert warmed_up(0, cosine)(0.3) == cosine(0.3)
    for share in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to below 1"):
            warmed_up(share)


META = Run("smoke", torch.device("meta"), 0, torch.bfloat16)


@pytest.mark.parametrize("preset", runtime.PRESETS)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_plays_a_round_where_tensors_have_no_values(name, preset):
    """What would wait for a GPU, or mix its tensors with the CPU's, fails here."""
    recipe = build(name, dataclasses.replace(META, preset=preset))
    assert {parameter.device.type for parameter in recipe.game.parameters()} == {"meta"}
    rehearse(recipe, dataclasses.replace(META, preset=preset))


class Peeking(Game):
    """Reads a value back from the device, or multiplies by a tensor of the CPU."""

    def __init__(self, how: str):
        super().__init__()
        self.player = nn.Linear(2, 1, device="meta")
        self.turns = (Turn("player", getattr(self, how)),)

    def reads(self, x: torch.Tensor) -> torch.Tensor:
        loss = self.player(x).mean()
        return loss if float(loss.detach()) > 0 else -loss

    def mixes(self, x: torch.Tensor) -> torch.Tensor:
        return (self.player(x) * torch.ones(4, 1)).mean()

    def branches(self, x: torch.Tensor) -> torch.Tensor:
        return self.player(x).mean() if x.sum() > 0 else self.player(-x).mean()


@pytest.mark.parametrize("how", ["reads", "mixes", "branches"])
def test_a_rehearsal_finds_what_a_gpu_would_not_forgive(how):
    game = Peeking(how)
    stream = Minibatches(torch.zeros(8, 2), size=4, device="meta")
    recipe = Recipe("peeking", game, stream, {"player": adam(game.player, 1e-3)}, 2)
    with pytest.raises((RuntimeError, NotImplementedError), match="(?i)meta"):
        rehearse(recipe, META)
