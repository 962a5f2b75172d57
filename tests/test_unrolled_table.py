"""The tables of unrolled games: counts by hand, and a run that is stopped and goes on."""

import json
import sys

import pytest
import torch

from ganlib import runtime
from ganlib.datasets import gaussian_ring, mnist, stacked_mnist, to_signed_unit
from ganlib.recipes import RECIPES
from ganlib.tables import unrolled

pytestmark = pytest.mark.usefixtures("one_thread")
RING = unrolled.EXPERIMENTS["ring"]


def test_counts_of_samples_whose_modes_are_known():
    means = gaussian_ring().component_distribution.mean
    # Three samples of one mode, one of another, and one between modes that counts for the nearest.
    samples = torch.stack([means[0], means[0], means[0], means[3], 1.2 * means[3]])
    found = unrolled.counted(RING, samples)
    assert found.covered == 2 and found.high_quality == pytest.approx(4 / 5)
    shares = torch.tensor([3 / 5, 2 / 5], dtype=torch.float64)
    assert found.divergence == pytest.approx(float((shares * (8 * shares).log()).sum()))
    truth = unrolled.counted(RING, gaussian_ring().sample((4000,)))
    assert truth.covered == 8 and truth.high_quality > 0.97 and truth.divergence < 0.01


def test_counts_of_real_digits_and_stacks():
    images, modes = stacked_mnist("test", 1500)
    pictures = to_signed_unit(images)
    found = unrolled.counted(unrolled.EXPERIMENTS["stacked-half"], pictures)
    assert abs(found.covered - len(modes.unique())) < 20
    read, _, weights = unrolled.EXPERIMENTS["stacked-quarter"].modes(pictures)
    assert float((read == modes).double().mean()) > 0.97 and float(weights.sum()) == pytest.approx(
        1
    )
    digits = to_signed_unit(mnist("test")[0][:1500])
    found = unrolled.counted(unrolled.EXPERIMENTS["recurrent"], digits)
    assert found.covered == 10 and found.high_quality > 0.95 and found.divergence < 0.02
    ones = digits[mnist("test")[1][:1500] == 1]
    found = unrolled.counted(unrolled.EXPERIMENTS["recurrent"], ones)
    assert found.counts.argmax() == 1 and found.divergence > 1.5


def test_every_experiment_has_its_recipes():
    for name, experiment in unrolled.EXPERIMENTS.items():
        assert {f"{name}-{steps}" for steps in experiment.steps} <= RECIPES.keys()
        assert 0 in experiment.seeds


@pytest.mark.parametrize("name", ["ring", "stacked-half", "recurrent"])
def test_a_run_that_was_stopped_gives_the_row_of_one_that_was_not(tmp_path, monkeypatch, name):
    run, build = runtime.start("smoke", "cpu", 0), unrolled.build
    steps = 20 if name == "recurrent" else 1
    rounds = build(f"{name}-{steps}", run).rounds
    few = {**vars(unrolled.EXPERIMENTS[name]), "counted": 600, "shown": 3}
    monkeypatch.setitem(unrolled.EXPERIMENTS, name, unrolled.Experiment(**few))

    def path_in(folder):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(unrolled, "checkpoint_path", lambda *_: tmp_path / folder / "run.st")

    path_in("whole")
    whole, pictures = unrolled.measured(name, steps, run)
    looked = [done for done, _ in whole["covered"]]
    assert looked[0] == 0 and looked[-1] == rounds
    if name == "ring":
        assert looked == list(range(0, 21, 2))
        assert list(pictures) == [f"1-{done}" for done in range(0, 21, 4)]
    assert all(len(picture) == 3 for picture in pictures.values())
    assert not list((tmp_path / "whole").glob("*.safetensors"))

    path_in("stopped")

    def interrupting(name, run):
        recipe = build(name, run)
        loss, paid = recipe.game.generator_loss, []

        def counts(x):
            paid.append(1)
            if len(paid) == rounds // 2 + 2:
                raise KeyboardInterrupt
            return loss(x)

        turns = recipe.game.turns
        recipe.game.turns = (turns[0], type(turns[1])("generator", counts, fresh=False))
        return recipe

    monkeypatch.setattr(unrolled, "EVERY_MINUTE", 1)
    monkeypatch.setattr(unrolled, "build", interrupting)
    with pytest.raises(KeyboardInterrupt):
        unrolled.measured(name, steps, run)
    monkeypatch.setattr(unrolled, "build", build)
    resumed, again = unrolled.measured(name, steps, run)
    for series in ("covered", "good", "divergence", "rounds"):
        assert resumed[series] == whole[series], series
    assert again.keys() == pictures.keys()
    assert all(torch.equal(again[moment], pictures[moment]) for moment in again)


def test_the_command_plays_what_the_table_lacks(tmp_path, monkeypatch, capsys):
    played = []

    def measured(name, steps, run):
        played.append((name, steps, run.seed))
        row = {"steps": steps, "seed": run.seed, "covered": [[0, 8.0]], "good": [[0, 0.5]]}
        return row, {f"{steps}-0": torch.ones(1)} if run.seed == 0 else {}

    monkeypatch.setattr(unrolled, "measured", measured)
    monkeypatch.setattr(unrolled, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(unrolled, "step_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["unrolled", "ring", "--steps", "0", "10"])
    unrolled.main()
    assert played == [("ring", steps, seed) for seed in range(5) for steps in (0, 10)]
    unrolled.main()
    assert len(played) == 10
    rows = json.loads((tmp_path / "ring.json").read_text())
    assert [(row["steps"], row["seed"]) for row in rows] == [
        (k, s) for k in (0, 10) for s in range(5)
    ]
    assert unrolled.drawn("ring").keys() == {"0-0", "10-0"} and not unrolled.drawn("recurrent")
    assert "ring, 10 steps, seed 0: 8 modes, 50% good" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["unrolled", "rings"])
    with pytest.raises(SystemExit):
        unrolled.main()
    assert "rings: choose from ring, stacked-quarter" in capsys.readouterr().err
