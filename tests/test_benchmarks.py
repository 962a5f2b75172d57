"""The benchmarks measure what they say, and write rows that a program can read."""

import json
import sys

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import training
from ganlib import runtime


def test_the_command_writes_one_row_for_each_baseline_and_precision(monkeypatch, tmp_path, capsys):
    for name in ("BLOCKS", "ROUNDS", "WARM_UP"):
        monkeypatch.setattr(training, name, 1)
    path = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--device", "cpu", "--json", str(path)])
    command.main()
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert len(rows) == 4
    shown = capsys.readouterr().out
    for row in rows:
        assert row.keys() == {"name", "ours", "baseline", "ratio", "unit", "device"}
        assert row["ratio"] == pytest.approx(row["baseline"] / row["ours"])
        assert row["ours"] > 0 and row["baseline"] > 0
        assert row["name"] in shown


def test_baselines_train_the_pair_that_ours_trains():
    run = runtime.start("smoke", "cpu", 0)
    loop = training._Loop(run)
    generator, discriminator = training._pair()
    for network, other in ((loop.generator, generator), (loop.discriminator, discriminator)):
        shapes = [tuple(p.shape) for p in network.parameters()]
        assert shapes == [tuple(p.shape) for p in other.parameters()]
    real = next(loop.batches)
    assert real.shape == (training.BATCH, 1, training.SIDE, training.SIDE)
    assert real.dtype == torch.float32 and real.min() == -1 and real.max() == 1
