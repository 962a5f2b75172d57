"""Long runs: the best training is shipped, by held-out data, and nothing is lost on the way."""

import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest
import torch

from ganlib import checkpoints, paper, runtime
from ganlib.chains import PixelCNN, log_likelihood
from ganlib.checkpoints import CheckpointError
from ganlib.play import Measure, play
from ganlib.recipes import RECIPES, build, checkpoint_path, measures
from ganlib.recipes.shared import likelihood
from ganlib.shipped import export, trained_chain, training
from ganlib.state import State


@pytest.fixture
def run():
    return runtime.start("paper", "cpu", 0)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A recipe that fits a small chain to pictures that it can learn, in a book of its own."""
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(measures, "HELD_OUT", 16)
    pictures = (torch.arange(160)[:, None, None, None] // 8 + torch.arange(16).view(1, 1, 4, 4)) % 2

    def made(name, run, rounds=40):
        chain = PixelCNN(width=4, depth=2, kernel=3, first_kernel=3)
        return likelihood(name, run, chain, pictures.to(torch.uint8), rounds)

    monkeypatch.setitem(RECIPES, "tiny", made)
    return made


def stop_at(monkeypatch, last):
    """Stop the run after so many rounds, as a signal would, once its state was saved."""
    save = State.save

    def stopping(state, path, seconds):
        save(state, path, seconds)
        if state.round == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(State, "save", stopping)
    monkeypatch.setattr(paper, "EVERY_MINUTE", timedelta(microseconds=1))


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_a_first_training_is_shipped_with_what_it_reached(tiny, run, capsys):
    assert paper.train("tiny", run)
    chain, made = trained_chain("tiny")
    pictures = next(iter(build("tiny", run).stream.tensors))
    assert len(pictures) == 144, "the last 16 of 160 are held out"
    assert made["rounds"] == 40 and made["preset"] == "paper" and "went on from" not in made
    assert made["held out"]["quantity"] == "nats an image, 16 held-out training images"
    numbers, places = torch.arange(144, 160)[:, None, None, None], torch.arange(16).view(1, 1, 4, 4)
    rest = (numbers // 8 + places) % 2
    expected = -float(log_likelihood(chain, rest).mean())
    assert made["held out"]["value"] == pytest.approx(expected, rel=1e-6)
    assert not checkpoint_path(build("tiny", run), run).exists(), "the next call is the next cycle"
    assert "shipped" in capsys.readouterr().out


def test_a_further_cycle_goes_on_from_what_is_shipped(tiny, run):
    assert paper.train("tiny", run)
    first, made = trained_chain("tiny")
    assert paper.train("tiny", run)
    second, again = trained_chain("tiny")
    assert again["held out"]["value"] < made["held out"]["value"]
    expected = {name: made[name] for name in ("commit", "rounds", "seconds", "held out")}
    assert again["went on from"] == expected
    # From fresh weights the same rounds with the same batches come to the first end again.
    recipe = build("tiny", runtime.start("paper", "cpu", 0))
    fresh = play(recipe, run, show=False).averages["chain"]
    assert torch.equal(weights(fresh), weights(first))
    assert not torch.equal(weights(fresh), weights(second))


def test_the_training_behind_a_chain_is_that_of_all_its_cycles(tiny, run):
    seconds, values = 0, iter([3, 2, 3, 1, 2])
    better = Measure("made up", lambda networks: next(values))
    for cycles, rounds in enumerate((40, 30, 20), start=1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(RECIPES, "tiny", with_measure(partial(tiny, rounds=rounds), better))
            assert paper.train("tiny", run)
        _, made = trained_chain("tiny")
        seconds += made["seconds"]
        assert training(made) == (cycles, sum((40, 30, 20)[:cycles]), seconds)
    assert made["went on from"]["went on from"]["rounds"] == 40
    timed = {"rounds": 3, "seconds": 60, "went on from": {"rounds": 2, "seconds": 30}}
    assert training(timed) == (2, 5, 90)


def test_a_chain_of_other_sizes_is_not_gone_on_from(tiny, run):
    other = PixelCNN(width=6, depth=2, kernel=3, first_kernel=3)
    export("tiny", {"chain": other}, run, 1, 1.0)
    assert paper.train("tiny", run)
    _, made = trained_chain("tiny")
    assert "went on from" not in made and made["network"]["settings"]["width"] == 4


def test_what_is_not_better_changes_nothing(tiny, run, monkeypatch, capsys):
    assert paper.train("tiny", run)
    path = next(checkpoints_of(run))
    before = path.read_bytes()
    values = iter([0.5, 0.5])
    worse = Measure("made up", lambda networks: next(values))
    monkeypatch.setitem(RECIPES, "tiny", with_measure(tiny, worse))
    assert not paper.train("tiny", run)
    assert path.read_bytes() == before
    assert "0.500 (made up), shipped 0.500: not better" in capsys.readouterr().out


def checkpoints_of(run):
    return (checkpoint_path(build("tiny", run), run).parents[1] / "data").rglob("*.safetensors")


def with_measure(made, measure):
    def changed(name, run):
        recipe = made(name, run)
        recipe.measure = measure
        return recipe

    return changed


@pytest.mark.parametrize("last", [1, 17])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tiny, run, last, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, last)
        with pytest.raises(KeyboardInterrupt):
            paper.train("tiny", run)
    assert paper.train("tiny", runtime.start("paper", "cpu", 0))
    whole = play(build("tiny", runtime.start("paper", "cpu", 0)), run, show=False)
    assert torch.equal(weights(trained_chain("tiny")[0]), weights(whole.averages["chain"]))


def test_a_run_can_be_shipped_before_it_ends_and_goes_on(tiny, run):
    with pytest.raises(CheckpointError, match="is missing"):
        paper.export_now("tiny", run)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 20)
        with pytest.raises(KeyboardInterrupt):
            paper.train("tiny", run)
    path = checkpoint_path(build("tiny", run), run)
    before = path.read_bytes()
    assert paper.export_now("tiny", run)
    assert trained_chain("tiny")[1]["rounds"] == 20 and path.read_bytes() == before
    assert not paper.export_now("tiny", run), "it is not better than itself"
    assert paper.train("tiny", run)
    _, made = trained_chain("tiny")
    assert training(made)[:2] == (1, 40), "what was shipped halfway is no cycle of its own"


def test_a_later_cycle_that_is_shipped_halfway_counts_once(tiny, run):
    assert paper.train("tiny", run)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 20)
        with pytest.raises(KeyboardInterrupt):
            paper.train("tiny", run)
    paper.export_now("tiny", run)
    assert training(trained_chain("tiny")[1])[:2] == (2, 60)
    assert paper.train("tiny", run)
    assert training(trained_chain("tiny")[1])[:2] == (2, 80)
    assert not list(checkpoint_path(build("tiny", run), run).parent.glob("tiny*"))


def test_a_recipe_without_a_measure_is_refused(run):
    with pytest.raises(ValueError, match="digits has no measure of what is better"):
        paper.train("digits", run)


def test_an_unknown_recipe_names_the_choices():
    command = [sys.executable, "-m", "ganlib.paper", "minmax"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2 and "minmax: choose from" in result.stderr


@pytest.mark.parametrize(
    "name", ["pixelcnn-binary", "pixelcnn-fresh", "lmconv-binary", "pixelcnn-256"]
)
def test_what_is_measured_is_not_trained_on(name, run):
    recipe = build(name, run)
    (trained,) = recipe.stream.tensors
    assert len(trained) == 60_000 - measures.HELD_OUT
    small = build(name, runtime.start("book", "cpu", 0))
    assert len(small.stream.tensors[0]) == 60_000


def test_the_distance_of_digits_is_the_same_each_time(run):
    recipe = build("residual-mnist", run)
    recipe.game.eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "DRAWS", 500)
        distances = [recipe.measure.of(recipe.game.players) for _ in range(2)]
        state = torch.get_rng_state()
        recipe.measure.of(recipe.game.players)
    assert distances[0] == distances[1] > 100
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_saves_by_the_clock(tiny, run, tmp_path, monkeypatch):
    saved = []
    save = State.save
    monkeypatch.setattr(
        State, "save", lambda state, *rest: (saved.append(state.round), save(state, *rest))
    )
    path = tmp_path / "state"
    play(tiny("a", run, 5), run, checkpoint=path, save_every=timedelta(hours=1), show=False)
    assert saved == [0, 5]
    path.unlink()
    saved.clear()
    play(tiny("b", run, 5), run, checkpoint=path, save_every=timedelta(microseconds=1), show=False)
    assert saved == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="save_every=0:00:00 in a run of 1: expected more than no"):
        play(tiny("c", run, 5), run, checkpoint=path, save_every=timedelta(), show=False)


def test_the_lowest_priority_is_taken():
    told = "import os; from ganlib import paper; paper.step_back(); print(os.nice(0))"
    told += "; print(open('/proc/self/autogroup').read() if os.path.exists('/proc/self/autogroup')"
    told += " else 'nice 19')"
    command = [sys.executable, "-c", told]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, start_new_session=True
    )
    own, session = found.stdout.split(maxsplit=1)
    assert own == "19" and session.strip().endswith("nice 19")


def test_the_command_trains_what_it_is_told(tiny, run, monkeypatch):
    monkeypatch.setattr(paper, "step_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["paper", "tiny"])
    paper.main()
    assert checkpoints.read(next(checkpoints_of(run)))
