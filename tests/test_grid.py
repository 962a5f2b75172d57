"""The grid of settings: its rows, and a table that goes on where it stopped."""

import json
import sys
from dataclasses import asdict

import pytest

from ganlib import runtime
from ganlib.games.ebgan import EBGAN
from ganlib.games.minimax import NonSaturating
from ganlib.nets import DenseAutoencoder, DenseCritic
from ganlib.play import NotFiniteError
from ganlib.recipes.ebgan import GRID, Setting, of_grid
from ganlib.tables import grid

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = Setting(2, 8, 6, 1e-3)


@pytest.fixture
def smoke(monkeypatch, tmp_path):
    """Smoke runs into an empty folder, of two settings."""
    start = runtime.start
    monkeypatch.setattr(runtime, "start", lambda preset, device, seed: start("smoke", "cpu", seed))
    monkeypatch.setattr(grid, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(grid, "GRID", (SMALL, Setting(3, 8, 6, 1e-3)))
    monkeypatch.setattr(grid, "DRAWS", 60)
    monkeypatch.setattr(grid, "step_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["grid", "--device", "cpu"])
    return tmp_path


def test_the_grid_has_24_settings_that_differ():
    assert len(set(GRID)) == len(GRID) == 24


@pytest.mark.parametrize("energy", [True, False])
def test_both_games_have_the_sizes_of_the_setting(energy):
    game = of_grid(energy, SMALL, runtime.start("smoke", "cpu", 0)).game
    assert isinstance(game, EBGAN if energy else NonSaturating)
    assert isinstance(game.discriminator, DenseAutoencoder if energy else DenseCritic)
    assert game.generator.settings["widths"] == (8, 8)
    assert game.discriminator.settings["widths"] == (6, 6)


def test_a_table_goes_on_where_it_stopped(smoke):
    grid.main()
    rows = grid.table()
    assert [row["game"] for row in rows] == ["ebgan", "ebgan", "gan", "gan"]
    assert {grid._key(row)[1:] for row in rows} == {
        (*asdict(s).values(), 0) for s in (SMALL, Setting(3, 8, 6, 1e-3))
    }
    for row in rows:
        assert 1 <= row["inception_score"] <= 10 and row["frechet_distance"] > 0
    path = smoke / "grid.json"
    whole = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(rows[1:]), encoding="utf-8")
    grid.main()
    again = grid.table()
    assert len(again) == 4
    for row, other in zip(rows, again, strict=True):
        assert row["inception_score"] == other["inception_score"]
    assert json.loads(whole)[1:] == again[1:]


def test_a_run_that_is_lost_has_no_score(smoke, monkeypatch):
    def lost(*arguments, **named):
        raise NotFiniteError("a loss is not finite")

    monkeypatch.setattr(grid, "play", lost)
    row = grid.measured("gan", SMALL, runtime.start("smoke", "cpu", 0))
    assert row["inception_score"] is None and row["game"] == "gan"
