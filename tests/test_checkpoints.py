"""A checkpoint that is damaged, foreign or cannot be written is refused, and changes nothing."""

import copy
import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from games import WIDTHS, bits
from torch import nn

from ganlib import checkpoints, runtime
from ganlib.checkpoints import CheckpointError
from ganlib.games.rules import Game, Turn
from ganlib.nets import Perceptron
from ganlib.optimisers import adam
from ganlib.play import NotFiniteError, Recipe, play

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run():
    return runtime.start("smoke", "cpu", 0)


class Plain(Game):
    """One small player that fits bits, and counts what it pays."""

    def __init__(self):
        super().__init__()
        self.model = Perceptron(2, 1, WIDTHS)
        self.turns = (Turn("model", self.loss),)
        self.paid = 0

    def loss(self, x):
        self.paid += 1
        error = self.model(x.float()).square().mean()
        return {"fit": error, "half": error / 2}


def plain(rounds=4):
    game = Plain()
    return Recipe("plain", game, bits(0), {"model": adam(game.model, 1e-2)}, rounds)


def everything(of):
    """All that a load could change, as text that compares."""
    state = {
        "game": of.game.state_dict(),
        "optimisers": {name: one.state_dict() for name, one in of.optimisers.items()},
        "stream": of.stream.state_dict(),
    }
    return repr(copy.deepcopy(state))


def saved(run, path, rounds=4):
    play(plain(rounds), run, checkpoint=path, show=False)
    return path.read_bytes()


def flips(content, count, seed=0):
    """Places of bits: half of them within the header, half in the tensors."""
    header = 8 + int.from_bytes(content[:8], "little")
    draw = random.Random(seed)
    places = [draw.randrange(header) for _ in range(count // 2)]
    places += [draw.randrange(header, len(content)) for _ in range(count - count // 2)]
    return [(place, 1 << draw.randrange(8)) for place in places]


def flipped(content, place, bit):
    damaged = bytearray(content)
    damaged[place] ^= bit
    return bytes(damaged)


def test_every_flipped_bit_of_a_run_is_found_and_nothing_is_overwritten(run, tmp_path):
    path = tmp_path / "run.safetensors"
    content = saved(run, path)
    other = plain()
    before = everything(other)
    for place, bit in flips(content, 60):
        damaged = flipped(content, place, bit)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            play(other, run, checkpoint=path, show=False)
        assert path.read_bytes() == damaged
    assert everything(other) == before and other.game.paid == 0


def test_every_flipped_bit_of_an_exported_network_is_found(tmp_path):
    path = tmp_path / "weights.safetensors"
    network = Perceptron(2, 1, WIDTHS)
    checkpoints.export(path, network, {"recipe": "x", "rounds": 3})
    content, before = path.read_bytes(), repr(network.state_dict())
    for place, bit in flips(content, 60, seed=1):
        path.write_bytes(flipped(content, place, bit))
        with pytest.raises(CheckpointError):
            checkpoints.restore(path, network)
    assert repr(network.state_dict()) == before
    path.write_bytes(content)
    assert checkpoints.restore(path, network) == {"recipe": "x", "rounds": 3}


def test_a_file_cut_short_anywhere_is_refused(run, tmp_path):
    path = tmp_path / "run.safetensors"
    content = saved(run, path)
    header = 8 + int.from_bytes(content[:8], "little")
    for length in (0, 3, 8, 100, header - 1, header, header + 50, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="cannot be read|damaged"):
            play(plain(), run, checkpoint=path, show=False)
        assert path.stat().st_size == length
    path.write_bytes(content + b"\0")
    with pytest.raises(CheckpointError):
        play(plain(), run, checkpoint=path, show=False)


def with_tensor(name, change):
    def edit(tensors, facts):
        tensors[name] = change(tensors[name])

    return edit


def without(name):
    return lambda tensors, facts: tensors.pop(name)


def with_fact(name, value):
    return lambda tensors, facts: facts.update({name: value})


def holed(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[0] = float("nan")
    return tensor


def foreign_slot(tensors, facts):
    slot = "optimiser/model/0/exp_avg_sq"
    tensors[slot.replace("exp_avg_sq", "momentum_buffer")] = tensors.pop(slot)


def a_weight_too_many(tensors, facts):
    for slot in ("step", "exp_avg", "exp_avg_sq"):
        tensors[f"optimiser/model/99/{slot}"] = torch.zeros(())


WEIGHT = "game/model.0.weight"
EDITS = {
    "dtype": (with_tensor(WEIGHT, torch.Tensor.double), "float64"),
    "shape": (with_tensor(WEIGHT, lambda t: t[:3]), "shape"),
    "NaN weight": (with_tensor(WEIGHT, holed), "not finite"),
    "no weight": (without(WEIGHT), "absent"),
    "short history": (with_tensor("losses/model", lambda t: t[:-1]), "losses of model have shape"),
    "long history": (with_tensor("losses/model/fit", lambda t: t.repeat(2)), "model/fit"),
    "NaN history": (with_tensor("losses/model", holed), "not all finite"),
    "no history": (without("losses/model"), "it has losses of"),
    "foreign history": (
        lambda t, f: t.update({"losses/judge": torch.zeros(4)}),
        "losses of judge",
    ),
    "round beyond the end": (with_fact("round", 5), "its round is 5, expected 0 to 4"),
    "negative round": (with_fact("round", -1), "its round is -1"),
    "round of another kind": (with_fact("round", True), "its round is True"),
    "earlier round": (with_fact("round", 3), "after 3 rounds"),
    "seconds": (with_fact("seconds", -1), "seconds"),
    "observations": (with_fact("observations", {"a": 1}), "observations"),
    "no round": (lambda t, f: f.pop("round"), "round"),
    "no identity": (lambda t, f: f.pop("identity"), "holds no run"),
    "no stream": (lambda t, f: f.pop("stream"), "stream"),
    "another stream": (with_fact("stream", {"drawn": -4}), "a stream's state"),
    "no random state": (without("random/cpu"), "cpu"),
    "short random state": (with_tensor("random/cpu", lambda t: t[:, :9]), "another length"),
    "NaN moment": (with_tensor("optimiser/model/0/exp_avg", holed), "not finite"),
    "moment's shape": (with_tensor("optimiser/model/0/exp_avg", lambda t: t[:3]), "exp_avg"),
    "one moment missing": (without("optimiser/model/0/exp_avg"), "optimiser of 'model'"),
    "foreign slot": (foreign_slot, "momentum_buffer"),
    "weight too many": (a_weight_too_many, "too many"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(name, run, tmp_path):
    edit, says = EDITS[name]
    path = tmp_path / "run.safetensors"
    saved(run, path)
    tensors, facts = checkpoints.read(path)
    edit(tensors, facts)
    checkpoints.write(path, tensors, facts)
    content = path.read_bytes()
    other = plain()
    before = everything(other)
    with pytest.raises(CheckpointError, match=says):
        play(other, run, checkpoint=path, show=False)
    assert everything(other) == before and other.game.paid == 0
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == [path.name]


def failing(monkeypatch, where, code):
    def fail(*arguments, **named):
        raise OSError(code, os.strerror(code))

    if where == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        honest = open

        def fails_to_write(file, mode="r", *arguments, **named):
            if str(file).endswith(".partial"):
                fail()
            return honest(file, mode, *arguments, **named)

        monkeypatch.setattr("builtins.open", fails_to_write)


@pytest.mark.parametrize("where", ["open", "replace"])
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "can only be read"),
    ],
)
def test_why_nothing_can_be_written_is_said_before_the_first_round(
    where, code, says, run, tmp_path, monkeypatch
):
    path = tmp_path / "run.safetensors"
    failing(monkeypatch, where, code)
    played = plain()
    with pytest.raises(CheckpointError, match=says) as caught:
        play(played, run, checkpoint=path, show=False)
    assert str(path) in str(caught.value)
    assert played.game.paid == 0 and os.listdir(tmp_path) == []
    monkeypatch.undo()
    checkpoints.write(path, {"a": torch.ones(3)}, {})
    content = path.read_bytes()
    failing(monkeypatch, where, code)
    with pytest.raises(CheckpointError, match=says):
        checkpoints.write(path, {"a": torch.zeros(3)}, {})
    assert path.read_bytes() == content and os.listdir(tmp_path) == [path.name]


def test_a_folder_on_the_way_that_is_a_file_is_found_before_the_first_round(run, tmp_path):
    (tmp_path / "file").write_text("here")
    for path in (tmp_path / "file" / "run", tmp_path / "file" / "deeper" / "run"):
        played = plain()
        with pytest.raises(CheckpointError, match="a folder on its way is a file"):
            play(played, run, checkpoint=path, show=False)
        assert played.game.paid == 0
    played = plain()
    with pytest.raises(CheckpointError):
        play(played, run, checkpoint=tmp_path, show=False)
    assert played.game.paid == 0


CLAIM = """
import sys
from ganlib import checkpoints
try:
    with checkpoints.claimed(sys.argv[1]):
        print("claimed")
except checkpoints.CheckpointError as error:
    print(error)
"""


def test_a_second_process_with_one_path_is_refused(run, tmp_path):
    path = tmp_path / "run.safetensors"
    with checkpoints.claimed(path):
        command = [sys.executable, "-c", CLAIM, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.startswith(f"{path} is in use: another process trains with it")
        played = plain()
        with pytest.raises(CheckpointError, match="in use"):
            play(played, run, checkpoint=path, show=False)
        assert played.game.paid == 0
    play(plain(), run, checkpoint=path, show=False)
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_process_left_does_not_matter_and_is_cleared(run, tmp_path):
    path = tmp_path / "run.safetensors"
    (tmp_path / "run.safetensors.lock").write_text("")
    (tmp_path / "run.safetensors.123.partial").write_bytes(b"half")
    (tmp_path / "other.safetensors.123.partial").write_bytes(b"another's")
    play(plain(), run, checkpoint=path, show=False)
    assert sorted(os.listdir(tmp_path)) == ["other.safetensors.123.partial", path.name]


class Cornered(Game):
    """A loss of 0 all along, whose gradient in the last round is not finite."""

    def __init__(self, last):
        super().__init__()
        self.point = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.point.weight)
        self.turns = (Turn("point", self.loss),)
        self.last, self.paid = last, 0

    def loss(self, x):
        self.paid += 1
        weight = self.point.weight.sum()
        return weight.square().sqrt() if self.paid == self.last else weight.square()


@pytest.mark.parametrize("kept", [False, True])
def test_a_gradient_that_is_not_finite_in_the_last_round_is_found(kept, run, tmp_path):
    path = tmp_path / "run.safetensors" if kept else None
    game = Cornered(3)
    played = Recipe("cornered", game, bits(0), {"point": adam(game.point, 1e-2)}, 3)
    says = r"point\.weight is not finite after round 3 of 3"
    with pytest.raises(NotFiniteError, match=says):
        play(played, run, checkpoint=path, save_every=2, show=False)
    if kept:
        assert checkpoints.read(path)[1]["round"] == 2


def test_time_is_summed_over_a_resume(run, tmp_path):
    path = tmp_path / "run.safetensors"
    first = play(plain(), run, checkpoint=path, show=False)
    tensors, facts = checkpoints.read(path)
    assert 0 < facts["seconds"] <= first.seconds
    facts["seconds"] = 1000.0
    checkpoints.write(path, tensors, json.loads(json.dumps(facts)))
    again = plain()
    outcome = play(again, run, checkpoint=path, show=False)
    assert 1000 <= outcome.seconds < 1100 and again.game.paid == 0


def test_the_lock_is_closed_before_windows_removes_it(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    monkeypatch.setattr(checkpoints, "fcntl", None)
    remove = Path.unlink

    def removed_if_closed(self, missing_ok=False):
        assert str(self) not in {file.path for file in psutil.Process().open_files()}
        remove(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", removed_if_closed)
    with checkpoints.claimed(path):
        assert path.with_name(f"{path.name}.lock").exists()
    assert not list(tmp_path.iterdir())
