"""Streams that must be independent are, and sizes mean the same for all of them."""

import copy

import pytest
import torch
from games import GAMES

from ganlib.datasets import gaussian_ring
from ganlib.runtime import mixed_seed
from ganlib.streams import Draws, Minibatches, Together


def rows(seed: int, count: int = 60) -> Minibatches:
    return Minibatches(torch.arange(count), size=20, seed=seed)


def test_streams_of_one_seed_are_not_put_together():
    """Their batches would be pairs by accident: unpaired data would train as paired."""
    assert torch.equal(next(rows(3)), next(rows(3)))
    for together in (
        lambda: Together(rows(3), rows(3)),
        lambda: Together(rows(3), rows(3, count=80)),
        lambda: Together(rows(1), Together(rows(3), rows(1))),
    ):
        with pytest.raises(ValueError, match="draw the same rows together: expected a seed for"):
            together()
    Together(rows(3), rows(mixed_seed(3, 1)), Draws(gaussian_ring(), 20))


def test_streams_of_mixed_seeds_are_not_in_pairs():
    # Of 6,000 pairs of rows out of 60 about 100 agree by chance, with a deviation of 10.
    stream, agreements = Together(rows(3), rows(mixed_seed(3, 1))), 0
    for _ in range(300):
        one, other = next(stream)
        agreements += int((one == other).sum())
    assert 40 < agreements < 160


def test_a_size_is_that_of_all_processes_together():
    for world in (1, 2, 4):
        assert len(next(Draws(gaussian_ring(), 20, world=world))) == 20 // world
        shares = [
            next(Minibatches(torch.arange(60), size=20, seed=1, rank=rank, world=world))
            for rank in range(world)
        ]
        assert all(len(share) == 20 // world for share in shares)
        assert len(torch.cat(shares).unique()) == 20
    with pytest.raises(ValueError, match="size=20 cannot be split evenly over 3 processes"):
        Draws(gaussian_ring(), 20, world=3)


@pytest.mark.parametrize("state", [None, {}, {"drawn": -1}, {"drawn": 1.5}, {"drawn": True}, []])
def test_a_state_that_is_none_is_refused_and_moves_nothing(state):
    stream = Together(rows(1), rows(2))
    next(stream)
    before = copy.deepcopy(stream.state_dict())
    with pytest.raises(ValueError, match="a stream's state is"):
        stream.streams[0].load_state_dict(state)
    with pytest.raises(ValueError, match="the state of other streams"):
        stream.load_state_dict({"streams": [{"drawn": 7}, state]})
    assert stream.state_dict() == before


def test_an_identity_is_what_decides_the_batches():
    data = torch.arange(60)
    same = Minibatches(data.clone(), size=20, seed=1).identity()
    assert Minibatches(data, size=20, seed=1).identity() == same
    other = data.clone()
    other[7] += 1
    for stream in (
        Minibatches(data, size=10, seed=1),
        Minibatches(data, size=20, seed=2),
        Minibatches(other, size=20, seed=1),
        Minibatches(data, size=20, seed=1, prepare=torch.neg),
        Minibatches(data, data, size=20, seed=1),
    ):
        assert stream.identity() != same
    ring = Draws(gaussian_ring(), 20).identity()
    assert ring == Draws(gaussian_ring(), 20).identity()
    assert ring != Draws(gaussian_ring(scale=0.03), 20).identity()
    assert ring != Draws(gaussian_ring(), 40).identity()
    state = torch.get_rng_state()
    Draws(gaussian_ring(), 20).identity()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", GAMES)
def test_the_streams_of_every_game_say_what_they_are(name):
    assert GAMES[name][1]().identity()
