"""Observing a run: what the observer sees, what is kept of it, and that it disturbs nothing."""

import copy

import numpy
import pytest
import torch
from games import ring
from torch import nn

from ganlib import runtime
from ganlib.games.minimax import NonSaturating
from ganlib.nets import Logit
from ganlib.optimisers import adam
from ganlib.play import Recipe, play

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run():
    return runtime.start("smoke", "cpu", 0)


def normalized(rounds=7, averages=None):
    """A game whose generator normalizes over the batch; one of its weights is frozen."""
    torch.manual_seed(4)
    generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    generator[0].bias.requires_grad_(False)
    game = NonSaturating(generator, Logit(2, (8,)), 2)
    optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
    return Recipe("normalized", game, ring(16), optimisers, rounds, averages or {})


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_observer_gets_averages_where_there_are_and_live_players_elsewhere(run):
    made, seen, rounds = normalized(averages={"generator": 0.9}), [], []

    def observe(done, networks):
        rounds.append(done)
        seen.append(networks)
        assert list(networks) == ["generator", "discriminator"]
        assert networks["discriminator"] is made.game.discriminator
        assert networks["generator"] is not made.game.generator
        assert same(networks["generator"], made.game.generator) == (done == 0)

    outcome = play(made, run, observe=observe, observe_every=3, show=False)
    assert rounds == [0, 3, 6, 7] and outcome.observed == {}
    assert all(networks["generator"] is outcome.averages["generator"] for networks in seen)


@pytest.mark.parametrize(
    ("every", "expected"), [(1, list(range(8))), (7, [0, 7]), (5, [0, 5, 7]), (100, [0, 7])]
)
def test_the_observer_is_called_before_between_and_at_the_end(every, expected, run):
    rounds = []

    def observe(done, networks):
        rounds.append(done)

    play(normalized(), run, observe=observe, observe_every=every, show=False)
    assert rounds == expected


def test_the_observer_finds_eval_mode_and_the_owners_gradients(run):
    made = normalized()
    wanted = {name: weight.requires_grad for name, weight in made.game.named_parameters()}
    assert not wanted["generator.0.bias"]
    looks = []

    def observe(done, networks):
        modules = [module for network in networks.values() for module in network.modules()]
        flags = {name: weight.requires_grad for name, weight in made.game.named_parameters()}
        looks.append((any(module.training for module in modules), flags == wanted))
        slope = torch.autograd.grad(
            networks["generator"](torch.ones(3, 2)).sum(), networks["generator"][3].weight
        )
        assert slope[0].abs().sum() > 0

    play(made, run, observe=observe, show=False)
    assert looks == [(False, True)] * 8


def call(done, networks):
    networks["generator"](torch.randn(5, 2))


def switch(done, networks):
    networks["generator"].train()
    networks["discriminator"].train(done % 2 == 0)


def freeze(done, networks):
    for network in networks.values():
        network.requires_grad_(False)


def slope(done, networks):
    networks["discriminator"](networks["generator"](torch.randn(5, 2))).sum().backward()


@pytest.mark.parametrize("observe", [call, switch, freeze, slope])
@pytest.mark.parametrize("average", [False, True])
def test_observing_changes_no_weight_and_no_statistic(observe, average, run):
    averages = {"generator": 0.9} if average else {}
    quiet, watched = normalized(averages=averages), normalized(averages=averages)
    first = play(quiet, run, show=False)
    statistics = []

    def watch(done, networks):
        assert not any(network.training for network in networks.values())
        before = copy.deepcopy(networks["generator"][1].state_dict())
        observe(done, networks)
        after = networks["generator"][1].state_dict()
        statistics.append(all(torch.equal(before[name], after[name]) for name in before))

    second = play(watched, run, observe=watch, show=False)
    assert all(statistics) and len(statistics) == 8
    assert same(quiet.game, watched.game)
    assert (first.losses["generator"] == second.losses["generator"]).all()
    for name in averages:
        assert same(first.averages[name], second.averages[name])
        assert not any(module.training for module in second.averages[name].modules())
    assert not watched.game.generator.training and not watched.game.discriminator.training


def count(done, networks):
    numbers = {"twice": 2 * done, "tensor": torch.tensor(done / 2)}
    return numbers if done % 2 else {**numbers, "even": numpy.float32(1)}


def test_numbers_are_kept_by_name_with_their_rounds(run):
    observed = play(normalized(), run, observe=count, observe_every=3, show=False).observed
    assert list(observed) == ["twice", "tensor", "even"]
    assert observed["twice"].tolist() == [[0, 0], [3, 6], [6, 12], [7, 14]]
    assert observed["tensor"].tolist() == [[0, 0], [3, 1.5], [6, 3], [7, 3.5]]
    assert observed["even"].tolist() == [[0, 1], [6, 1]]


@pytest.mark.parametrize("stop", [1, 4, 7])
@pytest.mark.parametrize("save_every", [1, 2, 3])
def test_numbers_survive_an_interrupt_and_none_is_doubled(stop, save_every, run, tmp_path):
    path = tmp_path / "run"

    def interrupt(done, networks):
        if done == stop:
            raise KeyboardInterrupt
        return count(done, networks)

    kept = {"checkpoint": path, "save_every": save_every, "show": False}
    with pytest.raises(KeyboardInterrupt):
        play(normalized(), run, observe=interrupt, **kept)
    resumed = play(normalized(), run, observe=count, **kept).observed
    again = play(normalized(), run, observe=count, **kept).observed
    assert resumed["twice"].tolist() == [[done, 2 * done] for done in range(8)]
    assert {name: rows.tolist() for name, rows in again.items()} == {
        name: rows.tolist() for name, rows in resumed.items()
    }


@pytest.mark.parametrize(
    "returned",
    [3.0, [1.0], "text", {"a": "text"}, {"a": None}, {"a": torch.ones(2)}, {1: 2.0}, {"round": 1}],
)
def test_what_is_no_number_is_refused(returned, run):
    with pytest.raises(TypeError, match="observe returned .*expected None, or numbers by names"):
        play(normalized(), run, observe=lambda done, networks: returned, show=False)
