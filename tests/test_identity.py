"""A run is what it was made of: what differs in it must not continue it."""

import copy

import pytest
import torch
from torch import nn

from ganlib import runtime
from ganlib.checkpoints import CheckpointError
from ganlib.games.minimax import Minimax, NonSaturating
from ganlib.identity import described, digest
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe, play
from ganlib.streams import Minibatches

pytestmark = pytest.mark.usefixtures("one_thread")


def halved(x):
    return x / 2


def doubled(x):
    return x * 2


def made(
    data=0.0,
    size=4,
    seed=0,
    prepare=halved,
    label=0.9,
    schedule=cosine,
    optimiser=lambda network: adam(network, 1e-2),
    activation=None,
    turns=None,
    averages=0.9,
):
    """A small recipe, of which each argument is part of what it is."""
    points = torch.linspace(-1, 1, 40).reshape(20, 2).clone()
    points[7, 1] += data
    generator = Perceptron(2, 2, (4,))
    if activation is not None:
        generator[1] = activation
    game = NonSaturating(generator, Logit(2, (4,)), 2, real_label=label)
    if turns is not None:
        game.turns = turns(game.turns)
    stream = Minibatches(points, size=size, seed=seed, prepare=prepare)
    optimisers = {name: optimiser(player) for name, player in game.players.items()}
    return Recipe("made", game, stream, optimisers, 4, {"generator": averages}, schedule=schedule)


def decayed(network):
    return torch.optim.Adam(network.parameters(), 1e-2, (0.5, 0.999), weight_decay=0.1, fused=True)


def split(network):
    weights = list(network.parameters())
    groups = [{"params": weights[:1]}, {"params": weights[1:]}]
    return torch.optim.Adam(groups, 1e-2, (0.5, 0.999), fused=True)


def reordered(turns):
    from dataclasses import replace

    return replace(turns[1], fresh=True), replace(turns[0], fresh=False)


CHANGES = {
    "batch size": ({"size": 5}, "stream"),
    "pixel": ({"data": 1e-3}, "stream"),
    "stream's seed": ({"seed": 1}, "stream"),
    "preparation": ({"prepare": doubled}, "stream"),
    "no preparation": ({"prepare": None}, "stream"),
    "label": ({"label": 1.0}, "settings"),
    "schedule": ({"schedule": lambda progress: 1 - progress}, "schedule"),
    "no schedule": ({"schedule": None}, "schedule"),
    "rate": ({"optimiser": lambda n: adam(n, 2e-2)}, "optimisers"),
    "momentum": ({"optimiser": lambda n: adam(n, 1e-2, (0.6, 0.999))}, "optimisers"),
    "weight decay": ({"optimiser": decayed}, "optimisers"),
    "groups": ({"optimiser": split}, "optimisers"),
    "kind of optimiser": (
        {"optimiser": lambda n: torch.optim.SGD(n.parameters(), 1e-2)},
        "optimisers",
    ),
    "activation": ({"activation": nn.Tanh()}, "networks"),
    "order of turns": ({"turns": reordered}, "turns"),
    "one turn more": ({"turns": lambda turns: (turns[0], *turns)}, "turns"),
    "average": ({"averages": 0.8}, "averages"),
}


@pytest.fixture
def run():
    return runtime.start("smoke", "cpu", 0)


@pytest.fixture
def path(run, tmp_path):
    path = tmp_path / "run.safetensors"
    play(made(), run, checkpoint=path, show=False)
    return path


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_with_something_else_does_not_resume(name, run, path):
    change, key = CHANGES[name]
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"belongs to another run: its {key} is "):
        play(made(**change), run, checkpoint=path, show=False)
    assert path.read_bytes() == content


def test_a_run_with_all_the_same_resumes(run, path):
    again = made(schedule=lambda progress: cosine(progress))  # a schedule is what it does
    assert len(play(again, run, checkpoint=path, show=False).losses["generator"]) == 4


def test_another_game_or_precision_does_not_resume(run, path):
    other = made()
    game = Minimax(other.game.generator, other.game.discriminator, 2, 0.9)
    other.game = game
    with pytest.raises(CheckpointError, match="its game is 'NonSaturating', 'Minimax' was"):
        play(other, run, checkpoint=path, show=False)
    other = made()
    other.precision = torch.bfloat16
    with pytest.raises(CheckpointError, match="its precision is 'torch.float32'"):
        play(other, run, checkpoint=path, show=False)


def test_a_game_is_what_it_was_called_with():
    game = made().game
    expected = {
        "generator": None,
        "discriminator": None,
        "noise_size": 2,
        "real_label": 0.9,
        "fake_label": 0.0,
        "discriminator_turns": 1,
    }
    assert game.settings == expected
    assert copy.deepcopy(game).settings == expected
    positional = NonSaturating(game.generator, game.discriminator, 2, 0.9)
    assert positional.settings == expected
    assert positional.state_dict().keys() == game.state_dict().keys()


def test_settings_are_described_as_json_holds_them():
    tensor = torch.arange(3)
    value = {"a": [1, (2.5, None)], 3: {"t": tensor, "n": nn.Linear(1, 1), "f": halved}}
    assert described(value) == {
        "a": [1, [2.5, None]],
        "3": {"t": digest({"": tensor}), "n": None, "f": "halved"},
    }
    assert described([torch.float32, torch.device("cpu"), True, "x"]) == [
        "torch.float32",
        "cpu",
        True,
        "x",
    ]
    assert described(object()) == "object" and described(nn.Linear) == "Linear"


def test_a_digest_changes_with_name_kind_shape_and_value():
    tensor = torch.arange(6.0)
    variants = [
        digest({"a": tensor}),
        digest({"b": tensor}),
        digest({"a": tensor.double()}),
        digest({"a": tensor.view(torch.int32)}),
        digest({"a": tensor.reshape(2, 3)}),
        digest({"a": tensor.flip(0)}),
        digest({"a": tensor, "b": tensor[:0]}),
        digest({"a": tensor}, {"fact": "1"}),
        digest({"a": tensor}, {"fact": "2"}),
        digest({}),
    ]
    assert len(set(variants)) == len(variants)
    assert digest({"a": tensor, "b": tensor[:2]}) == digest({"b": tensor[:2], "a": tensor.clone()})
    turned = torch.arange(6.0).reshape(2, 3)
    assert digest({"a": turned.T}) == digest({"a": turned.T.contiguous()})
    assert digest({"a": torch.tensor(True)}) != digest({"a": torch.tensor(False)})
    assert digest({"a": torch.zeros(2, dtype=torch.bfloat16)}) != digest({"a": torch.zeros(2)})
