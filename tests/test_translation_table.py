"""The table of translations: maps without training, what is measured, and what is committed."""

import numpy
import pytest
import torch
from scipy.optimize import linprog

from ganlib import runtime, shipped
from ganlib.datasets import emoji, to_signed_unit
from ganlib.metrics import emoji_reader
from ganlib.recipes.cyclegan import PAIRED, X, Y
from ganlib.tables import translation as table

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("seed", range(3))
def test_the_least_absolute_line_is_that_of_linear_programming(seed):
    draws = numpy.random.default_rng(seed)
    x = draws.uniform(-1, 1, 60)
    y = 0.5 * x + 0.2 + draws.standard_t(2, 60) / 3
    # Minimise the sum of e with |a x + b - y| <= e.
    columns, eye = numpy.stack([x, numpy.ones(60)], 1), numpy.eye(60)
    bounds = numpy.block([[columns, -eye], [-columns, -eye]])
    best = linprog(
        numpy.r_[0, 0, numpy.ones(60)],
        bounds,
        numpy.r_[y, -y],
        bounds=[(None, None)] * 2 + [(0, None)] * 60,
    )
    scale, shift = table.least_absolute(torch.tensor(x), torch.tensor(y), steps=200)
    assert numpy.abs(scale * x + shift - y).sum() == pytest.approx(best.fun, rel=2e-3)
    squares = numpy.linalg.lstsq(columns, y, rcond=None)[0]
    assert numpy.abs(columns @ squares - y).sum() > best.fun * 1.002


def test_the_maps_that_need_no_training():
    maps = table.baselines()
    x, y = (to_signed_unit(emoji(foundry, "first")) for foundry in (X, Y))
    assert torch.equal(maps["copy"]["to_y"](x[:3]), x[:3])
    assert (maps["white"]["to_x"](x[:3]) == 1).all()
    # Within the range the moments are those of the other pile.
    other = to_signed_unit(emoji(Y, "second"))
    few = x[:, :, ::8, ::8]
    scale = other.std((0, 2, 3)) / x.std((0, 2, 3))
    right = (few - x.mean((0, 2, 3))[:, None, None]) * scale[:, None, None]
    right = right + other.mean((0, 2, 3))[:, None, None]
    assert torch.allclose(maps["moments"]["to_y"](few), right.clamp(-1, 1), atol=1e-4)
    fitted = (maps["affine"]["to_y"](x) - y).abs().mean()
    for name in ("copy", "white", "moments"):
        assert fitted < (maps[name]["to_y"](x) - y).abs().mean()


def test_a_row_for_each_direction_and_a_round_trip_where_there_is_one():
    reader = emoji_reader()
    one = table.measured({"to_x": torch.clone}, reader)
    assert [row["way"] for row in one] == ["to_x"] and "cycle" not in one[0]
    both = table.measured({"to_y": torch.neg, "to_x": torch.neg}, reader)
    assert [row["cycle"] for row in both] == [0, 0]
    x, y = table.held_out()["to_y"]
    assert both[0]["l1"] == pytest.approx(float((x + y).abs().mean()), rel=1e-5)


def test_a_smoke_run_gives_rows(monkeypatch, tmp_path):
    monkeypatch.setattr(table, "checkpoint_path", lambda *of: tmp_path / "state.safetensors")
    run = runtime.start("smoke", "cpu", 1)
    rows = table.rows_of("paired-l1-back", run)
    assert [(row["recipe"], row["way"], row["seed"]) for row in rows] == [
        ("paired-l1-back", "to_x", 1)
    ]
    assert not list(tmp_path.glob("*.safetensors"))
    rows = table.rows_of("cyclegan-no-adversary", run)
    assert [row["way"] for row in rows] == ["to_y", "to_x"]
    assert all(row["cycle"] > 0 for row in rows)


def test_the_committed_table_has_every_run_and_the_shipped_networks_its_numbers():
    rows = table.table()
    assert {(r["recipe"], r["seed"]) for r in rows if "seed" in r} == set(table.PLAN)
    for row in rows:
        made = row["recipe"]
        ways = {"to_x"} if made.endswith("-back") else {"to_y", "to_x"}
        ways = {"to_y"} if made.removeprefix("paired-") in PAIRED[:4] else ways
        assert row["way"] in ways
    for name in table.SHIPPED:
        networks = {
            way: shipped.trained_network(name, way)[0]
            for way in ("to_y", "to_x")
            if name in shipped.shipped(way)
        }
        again = table.measured(table._maps(name, networks), emoji_reader())
        kept = [row for row in rows if (row["recipe"], row.get("seed")) == (name, 0)]
        for one, other in zip(again, kept, strict=True):
            assert one["l1"] == pytest.approx(other["l1"], abs=0.003)
            assert one["frechet"] == pytest.approx(other["frechet"], rel=0.1)


def test_an_unknown_recipe_is_named(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["translation", "cyclegan-nothing"])
    with pytest.raises(SystemExit):
        table.main()
    assert "choose from cyclegan-emoji" in capsys.readouterr().err


def test_the_maps_of_a_way_back_are_that_way():
    network = torch.nn.Identity()
    assert table._maps("paired-emoji-back", {"to_y": network}) == {"to_x": network}
    assert table._maps("paired-emoji", {"to_y": network}) == {"to_y": network}
