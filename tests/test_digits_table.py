"""The table of what pays: each change is the one that its name says, and runs go on."""

import json
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from ganlib import runtime
from ganlib.games.r1 import PenalizedSlope
from ganlib.nets import ResidualDiscriminator, ResidualGenerator
from ganlib.optimisers import Muon
from ganlib.play import play
from ganlib.recipes import build, measures
from ganlib.recipes.minimax import CHANGES, changed
from ganlib.tables import digits

pytestmark = pytest.mark.usefixtures("one_thread")


def facts(recipe):
    """All in which the short recipes may differ."""
    game = recipe.game
    generator, discriminator = game.generator, game.discriminator
    return {
        "game": type(game),
        "choices": generator.settings["choices"],
        "features": discriminator.settings["features"],
        "normalized": discriminator.settings["normalized"],
        "spectral": any(parametrize.is_parametrized(m) for m in discriminator.modules()),
        "optimiser": {type(o) for o in recipe.optimisers.values()},
        "averages": recipe.averages,
        "precision": recipe.precision,
        "size": recipe.stream.size,
    }


def test_without_a_change_it_is_the_recipe_of_the_book_but_for_its_length():
    run = runtime.start("book", "cpu", 0)
    short, whole = changed("nothing", run), build("minimax-mnist", run)
    assert facts(short) == facts(whole) and short.rounds < whole.rounds
    for player, network in short.game.players.items():
        assert network.settings == whole.game.players[player].settings
        for one, other in zip(
            short.optimisers[player].param_groups,
            whole.optimisers[player].param_groups,
            strict=True,
        ):
            assert {n: v for n, v in one.items() if n != "params"} == {
                n: v for n, v in other.items() if n != "params"
            }


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ("no choice", {"choices": 0}),
        ("no features", {"features": None}),
        ("no normalization", {"normalized": False}),
        ("R1", {"normalized": False, "game": PenalizedSlope}),
        ("spectral normalization", {"normalized": False, "spectral": True}),
        ("Muon", {"optimiser": {Muon}}),
    ],
)
def test_one_thing_is_changed_at_a_time(change, differs):
    run = runtime.start("book", "cpu", 0)
    assert facts(changed(change, run)) == facts(changed("nothing", run)) | differs


def test_the_residual_pair_is_the_recipe_of_that_name_but_for_its_length():
    run = runtime.start("book", "cpu", 0)
    short, whole = changed("residual pair", run), build("residual-mnist", run)
    assert isinstance(short.game.generator, ResidualGenerator)
    assert isinstance(short.game.discriminator, ResidualDiscriminator)
    assert short.schedule is whole.schedule and short.game.weight == whole.game.weight
    assert short.rounds == changed("nothing", run).rounds


def test_the_norms_of_the_kernels_are_held_at_one():
    run = runtime.start("smoke", "cpu", 0)
    recipe = changed("spectral normalization", run)
    recipe.rounds = 20
    play(recipe, run, show=False)
    kernels = [m.weight for m in recipe.game.discriminator if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(kernels) == 4
    for kernel in kernels:
        assert 0.8 < float(torch.linalg.matrix_norm(kernel.detach().flatten(1), 2)) < 1.25


def test_muon_leaves_the_first_and_the_last_kernels_to_adam():
    recipe = changed("Muon", runtime.start("smoke", "cpu", 0))
    for player, network in recipe.game.players.items():
        matrices, rest = (group["params"] for group in recipe.optimisers[player].param_groups)
        kernels = [p for p in network.parameters() if p.ndim > 1]
        assert len(matrices) == len(kernels) - 2
        apart = {id(p) for p in rest}
        assert {id(kernels[0]), id(kernels[-1])} <= apart


@pytest.fixture
def smoke(monkeypatch, tmp_path):
    """Smoke runs of two changes into an empty folder, few draws judged."""
    start = runtime.start
    monkeypatch.setattr(runtime, "start", lambda preset, device, seed: start("smoke", "cpu", seed))
    monkeypatch.setattr(digits, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(digits, "CHANGES", ("nothing", "R1"))
    monkeypatch.setattr(measures, "DRAWS", 500)
    monkeypatch.setattr(digits, "step_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["digits", "--device", "cpu"])
    return tmp_path


def test_a_table_goes_on_where_it_stopped(smoke):
    digits.main()
    rows = digits.table()
    assert [(r["change"], r["seed"]) for r in rows] == [
        (change, seed) for change in ("nothing", "R1") for seed in digits.SEEDS
    ]
    for row in rows:
        assert row["averaged"] > 0 and row["last"] > 0 and row["averaged"] != row["last"]
    path = smoke / "digits.json"
    path.write_text(json.dumps(rows[1:]), encoding="utf-8")
    digits.main()
    again = digits.table()
    assert again[1:] == rows[1:]
    for name in ("change", "seed", "averaged", "last"):
        assert again[0][name] == rows[0][name]


def test_the_committed_table_has_every_run_at_one_length():
    rows = digits.table()
    assert [(r["change"], r["seed"]) for r in rows] == [
        (change, seed) for change in CHANGES for seed in digits.SEEDS
    ]
    assert len({(r["rounds"], r["quantity"]) for r in rows}) == 1
