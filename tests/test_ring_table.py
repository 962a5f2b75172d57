"""The table of the ring: its counts by hand, and a run that is stopped and goes on."""

import json
import sys

import pytest
import torch

from ganlib import runtime
from ganlib.datasets import gaussian_ring
from ganlib.tables import ring

pytestmark = pytest.mark.usefixtures("one_thread")


def test_counts_of_samples_whose_modes_are_known():
    means = gaussian_ring().component_distribution.mean
    # Three samples of one mode, one of another, and one between modes that counts for the nearest.
    samples = torch.stack([means[0], means[0], means[0], means[3], 1.2 * means[3]])
    found = ring.counted(samples)
    assert found["covered"] == 2 and found["good"] == pytest.approx(4 / 5)
    shares = torch.tensor([3 / 5, 2 / 5], dtype=torch.float64)
    assert found["divergence"] == pytest.approx(float((shares * (8 * shares).log()).sum()))
    truth = ring.counted(gaussian_ring().sample((4000,)))
    assert truth["covered"] == 8 and truth["good"] > 0.97 and truth["divergence"] < 0.01


def test_a_run_that_was_stopped_gives_the_row_of_one_that_was_not(tmp_path, monkeypatch):
    run, build = runtime.start("smoke", "cpu", 0), ring.build

    def path_in(folder):
        monkeypatch.setattr(ring, "checkpoint_path", lambda *_: tmp_path / folder / "run.st")

    path_in("whole")
    (tmp_path / "whole").mkdir()
    whole = ring.measured(1, run)
    assert [done for done, _ in whole["covered"]] == list(range(0, 21, 2))
    assert list(whole["samples"]) == ["0", "4", "8", "12", "16", "20"]
    assert not list((tmp_path / "whole").glob("*.safetensors"))

    path_in("stopped")
    (tmp_path / "stopped").mkdir()

    def interrupting(name, run):
        recipe = build(name, run)
        loss, paid = recipe.game.generator_loss, []

        def counts(x):
            paid.append(1)
            if len(paid) == 12:
                raise KeyboardInterrupt
            return loss(x)

        turns = recipe.game.turns
        recipe.game.turns = (turns[0], type(turns[1])("generator", counts, fresh=False))
        return recipe

    monkeypatch.setattr(ring, "EVERY_MINUTE", 5)
    monkeypatch.setattr(ring, "build", interrupting)
    with pytest.raises(KeyboardInterrupt):
        ring.measured(1, run)
    monkeypatch.setattr(ring, "build", build)
    resumed = ring.measured(1, run)
    for name in ("covered", "good", "divergence", "samples", "rounds"):
        assert resumed[name] == whole[name], name


def test_the_command_plays_what_the_table_lacks(tmp_path, monkeypatch, capsys):
    played = []

    def measured(steps, run):
        played.append((steps, run.seed))
        return {"steps": steps, "seed": run.seed, "covered": [[0, 8.0]], "good": [[0, 0.5]]}

    monkeypatch.setattr(ring, "measured", measured)
    monkeypatch.setattr(ring, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(ring, "step_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["ring", "--steps", "0", "10", "--seeds", "1", "0"])
    ring.main()
    assert played == [(0, 1), (10, 1), (0, 0), (10, 0)]
    ring.main()
    assert len(played) == 4
    rows = json.loads((tmp_path / "ring.json").read_text())
    assert [(row["steps"], row["seed"]) for row in rows] == [(0, 0), (0, 1), (10, 0), (10, 1)]
    assert "10 steps, seed 0: 8 of 8 modes, 50%" in capsys.readouterr().out
