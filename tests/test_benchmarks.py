"""The benchmarks measure what they say, and write rows that a program can read."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import chains, metrics, training
from ganlib import runtime
from ganlib.chains import PixelCNN
from ganlib.chains.layers import MaskedConvolution, Whole


def test_the_command_writes_one_row_for_each_baseline_and_precision(monkeypatch, tmp_path, capsys):
    for name in ("BLOCKS", "ROUNDS", "WARM_UP", "SMALL_BLOCKS", "SMALL_ROUNDS"):
        monkeypatch.setattr(training, name, 1)
    for module in (chains, metrics):
        monkeypatch.setattr(module, "rows", lambda run: [])
    path = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--device", "cpu", "--json", str(path)])
    command.main()
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert len(rows) == 7 + len(training.FORESEEN)
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


def test_the_chains_rows_time_what_they_name(monkeypatch):
    small = {"BATCH": 1, "INPUTS": 4, "OUTPUTS": 4, "SIDE": 6, "BLOCKS": 1, "STEPS": 1, "COUNT": 2}
    small |= {"WIDTH": 8, "DEPTH": 2, "SIDES": (3, 4), "NAIVE_IN_FULL": 3, "NAIVE_LAST": 5}
    for name, value in small.items():
        monkeypatch.setattr(chains, name, value)
    monkeypatch.setattr(chains, "_peak_megabytes", lambda name, side, run: 1.0)
    rows = {row["name"]: row for row in chains.rows(runtime.start("smoke", "cpu", 0))}
    assert len(rows) == 6 + 2 + 2 + 1 + 1
    for name, row in rows.items():
        assert row["ours"] > 0 and row["baseline"] > 0, name
    linear = rows["cached-sampler-linear"]
    assert linear["ours"] == rows["cached-sampler-4x4"]["ours"]
    assert linear["baseline"] == rows["cached-sampler-3x3"]["ours"]


@pytest.mark.parametrize("name", ["s_curve", "hilbert", "permutation"])
def test_the_textbook_layer_computes_what_ours_does(monkeypatch, name):
    monkeypatch.setattr(chains, "SIDE", 8)
    order = chains._order(name)
    layer = MaskedConvolution(5, 7)
    images = torch.randn(2, 5, 8, 8)
    canvas = Whole(images.flatten(2).mT, order, 8, 8)
    ours = layer(canvas.picture, canvas).mT.unflatten(2, (8, 8))
    theirs = chains.TextbookLayer(layer, order, 8, 8)(images)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_naive_sampler_is_timed_on_the_pixels_that_are_named():
    calls = []

    class Counting(PixelCNN):
        def forward(self, *arguments):
            calls.append(1)
            return super().forward(*arguments)

    chains._naive(Counting(width=4, depth=1), 6, 5)
    assert len(calls) == 5


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_a_process_of_its_own_measures_memory():
    peak = chains._peak_megabytes("s_curve", "ours", runtime.start("smoke", "cpu", 0))
    # At least the output and its gradient: 2 × 32 × 128 × 28 × 28 floats of 4 bytes.
    assert 2 * 32 * 128 * 784 * 4 / 2**20 * 0.5 < peak < 2000


def test_the_metrics_rows_agree_before_they_are_timed(monkeypatch):
    for name, value in {"DIMENSIONS": 24, "SAMPLES": 200, "FEW": 9, "BLOCKS": 2}.items():
        monkeypatch.setattr(metrics, name, value)
    rows = {row["name"]: row for row in metrics.rows(runtime.start("smoke", "cpu", 0))}
    eigenvalues = [f"frechet-24-vs-{library}-eigenvalues" for library in ("torch", "numpy")]
    assert list(rows) == [*eigenvalues, "frechet-24-vs-sqrtm", "frechet-gram"]
    assert all(row["ours"] > 0 and row["baseline"] > 0 for row in rows.values())
    with pytest.raises(ArithmeticError, match="the distances differ"):
        metrics._row("x", lambda: 1.0, lambda: 1.0001)
