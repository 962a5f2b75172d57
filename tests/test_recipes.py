"""Recipes build at every preset, train from a shell, resume, and export with their provenance."""

import json
import math
import os
import subprocess
import sys

import pytest
import torch

from ganlib import checkpoints, runtime
from ganlib.chains import LMConv, log_likelihood, orders
from ganlib.checkpoints import CheckpointError
from ganlib.datasets import mnist, to_signed_unit
from ganlib.nets import DCGANGenerator, DigitClassifier
from ganlib.paths import data_folder
from ganlib.play import play
from ganlib.recipes import RECIPES, build, checkpoint_path, register
from ganlib.shipped import how_to_build, shipped, trained_chain, trained_network


@pytest.mark.parametrize("preset", runtime.PRESETS)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_its_game_at_every_preset(name, preset):
    run = runtime.start(preset, "cpu", 0)
    recipe = build(name, run)
    assert recipe.name == name and recipe.rounds > 0
    movers = {mover for turn in recipe.game.turns for mover in turn.movers}
    assert movers == recipe.optimisers.keys() <= recipe.game.players.keys()
    held = {id(p) for o in recipe.optimisers.values() for g in o.param_groups for p in g["params"]}
    assert held == {id(p) for p in recipe.game.parameters()}
    batch = next(recipe.stream)
    recipe.game.eval()
    for turn in recipe.game.turns:
        paid = turn.loss(batch[:4])
        parts = paid.values() if isinstance(paid, dict) else [paid]
        assert all(torch.isfinite(part) for part in parts)


def test_the_same_seed_builds_and_trains_the_same_weights():
    ends = []
    for seed in (0, 0, 1):
        run = runtime.start("smoke", "cpu", seed)
        recipe = build("minimax-mnist", run)
        recipe.rounds = 3
        play(recipe, run)
        ends.append(torch.cat([p.detach().flatten() for p in recipe.game.parameters()]))
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_a_family_registers_a_recipe_for_each_value(monkeypatch):
    monkeypatch.setattr(register, "RECIPES", {})

    @register.family(steps=(0, 7))
    def some_game(name, run, steps):
        return name, steps

    run = runtime.start("smoke", "cpu", 0)
    assert list(register.RECIPES) == ["some-game-0", "some-game-7"]
    assert register.build("some-game-7", run) == ("some-game-7", 7)
    for settings in ({}, {"steps": (1,), "widths": (2,)}):
        with pytest.raises(ValueError, match="expected one"):
            register.family(**settings)


def test_an_unknown_recipe_names_the_known_ones():
    run = runtime.start("smoke", "cpu", 0)
    with pytest.raises(ValueError, match="'minmax' is not known: choose one of .*minimax-mnist"):
        build("minmax", run)


def test_a_run_keeps_its_state_beside_the_data(monkeypatch, tmp_path):
    run = runtime.start("smoke", "cpu", 3)
    recipe = build("minimax-mnist", run)
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "data"))
    assert checkpoint_path(recipe, run) == tmp_path / "runs" / "minimax-mnist-smoke-3.safetensors"


def test_a_shell_trains_resumes_and_exports(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "mnist").symlink_to(data_folder() / "mnist")
    command = [sys.executable, "-m", "ganlib", "minimax-mnist", "--preset", "smoke"]
    command += ["--device", "cpu", "--save-every", "20", "--export"]
    environment = os.environ | {"GANLIB_DATA": str(data)}
    for _ in range(2):  # the second call finds the run finished and exports it again
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    _, facts = checkpoints.read(tmp_path / "runs" / "minimax-mnist-smoke-0.safetensors")
    assert facts["round"] == 60
    path = data / "checkpoints" / "minimax-mnist-smoke-generator.safetensors"
    generator = DCGANGenerator(26, width=8, choices=10)
    provenance = checkpoints.restore(path, generator)
    written = json.loads((data / "results" / "minimax-mnist-smoke.json").read_text())
    assert written | how_to_build(generator) == provenance
    expected = {"recipe": "minimax-mnist", "preset": "smoke", "seed": 0, "rounds": 60}
    assert expected.items() <= provenance.items()
    assert {"commit", "device", "torch", "precision"} <= provenance.keys()
    with torch.no_grad():
        assert generator.eval()(torch.randn(2, 26)).shape == (2, 1, 28, 28)


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoints.export(path, DCGANGenerator(64, width=8), {"recipe": "x"})
    other = DCGANGenerator(64, width=4)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match="belongs to another network: .* was expected to be"):
        checkpoints.restore(path, other)
    assert all(torch.equal(before[name], t) for name, t in other.state_dict().items())
    with pytest.raises(CheckpointError, match="is missing: expected a safetensors file"):
        checkpoints.restore(tmp_path / "none.safetensors", other)
    path.write_bytes(b"\x80\x04not a safetensors file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.restore(path, other)


def test_writing_replaces_a_file_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    checkpoints.write(path, {"a": torch.ones(3)}, {"round": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(CheckpointError, match="cannot be written .*: disk full. What was there is"):
        checkpoints.write(path, {"a": torch.zeros(3)}, {"round": 2})
    tensors, facts = checkpoints.read(path)
    assert torch.equal(tensors["a"], torch.ones(3)) and facts == {"round": 1}


def test_a_shell_trains_a_chain_that_can_be_had_again_by_name(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / "mnist").symlink_to(data_folder() / "mnist")
    monkeypatch.setenv("GANLIB_DATA", str(data))
    chain = LMConv(width=6, depth=2, dilations=(1, 2))
    provenance = {"recipe": "lmconv-binary", "rounds": 1, **how_to_build(chain)}
    path = data / "checkpoints" / "lmconv-binary-paper-chain.safetensors"
    checkpoints.export(path, chain, provenance)
    found, made = trained_chain("lmconv-binary")
    assert isinstance(found, LMConv) and not found.training and made["rounds"] == 1
    images = torch.randint(2, (2, 1, 9, 9))
    order = orders.hilbert(9, 9)
    assert torch.equal(found(images, order), chain(images, order))

    with pytest.raises(CheckpointError, match="is missing: expected a safetensors file"):
        trained_chain("pixelcnn-binary")
    checkpoints.export(path, DCGANGenerator(64, width=8), {"recipe": "x"})
    with pytest.raises(CheckpointError, match="does not say how to build its network: .* None"):
        trained_chain("lmconv-binary")
    generator = DCGANGenerator(64, width=8)
    checkpoints.export(path, generator, how_to_build(generator))
    with pytest.raises(CheckpointError, match="holds a DCGANGenerator, not a chain"):
        trained_chain("lmconv-binary")
    # The right kind of network, and the weights of another size.
    settings = {**chain.settings, "width": 8}
    wrong = {"network": {"class": "LMConv", "settings": settings}}
    checkpoints.export(path, chain, wrong)
    with pytest.raises(CheckpointError, match="belongs to another network"):
        trained_chain("lmconv-binary")


@pytest.mark.parametrize("name", shipped("chain"))
def test_the_shipped_chains_are_whole_small_and_of_known_origin(name):
    path = data_folder() / "checkpoints" / f"{name}-paper-chain.safetensors"
    assert path.stat().st_size <= 10_000_000
    chain, made = trained_chain(name)
    assert made["recipe"] == name and made["preset"] == "paper" and len(made["commit"]) == 40
    assert {"device", "torch", "precision", "seed", "seconds"} <= made.keys()
    written = json.loads((data_folder() / "results" / f"{name}-paper.json").read_text())
    assert written.items() <= made.items()
    rows = json.loads((data_folder() / "results" / "likelihoods.json").read_text())
    for row in (row for row in rows if row["recipe"] == name):
        assert row["made"] == made and row["images"] == 10_000
    assert sum(row["recipe"] == name for row in rows) == (11 if name == "lmconv-binary" else 1)
    images = torch.randint(chain.levels, (1, 1, 28, 28))
    assert torch.isfinite(log_likelihood(chain, images)).all()


def accuracy_on_unseen_digits(classifier, count):
    """The share of the first test digits that a classifier reads right."""
    images, labels = mnist("test")
    with torch.no_grad():
        read = classifier(to_signed_unit(images[:count])).argmax(1)
    return (read == labels[:count]).double().mean().item()


def test_a_smoke_run_of_digits_learns_to_read():
    run = runtime.start("smoke", "cpu", 0)
    recipe = build("digits", run)
    count = 1000
    # A classifier that does not look is right for a tenth, and at best for the commonest digit.
    commonest = mnist("test")[1][:count].bincount().max().item() / count
    chance = commonest + 6 * math.sqrt(commonest * (1 - commonest) / count)
    assert accuracy_on_unseen_digits(recipe.game.classifier.eval(), count) < chance
    outcome = play(recipe, run)
    for classifier in (recipe.game.classifier, outcome.averages["classifier"]):
        assert not classifier.training
        assert accuracy_on_unseen_digits(classifier, count) > chance
    losses = outcome.losses["classifier"]
    # Where nothing is known, the cross-entropy of ten classes is log 10.
    assert len(losses) == 100 and losses[-10:].mean() < math.log(10)


def test_the_loss_of_a_classifier_is_the_mean_of_minus_the_log_of_its_softmax():
    run = runtime.start("smoke", "cpu", 0)
    game = build("digits", run).game.eval()
    images, labels = torch.rand(5, 1, 28, 28), torch.tensor([3, 0, 9, 3, 1])
    exponentials = game.classifier(images).double().exp()
    shares = exponentials[range(5), labels] / exponentials.sum(1)
    torch.testing.assert_close(game.loss((images, labels)).double(), -shares.log().mean())


def test_the_shipped_classifier_is_whole_small_and_of_known_origin():
    path = data_folder() / "checkpoints" / "digits-paper-classifier.safetensors"
    assert path.stat().st_size <= 10_000_000
    classifier, made = trained_network("digits", "classifier")
    assert isinstance(classifier, DigitClassifier) and not classifier.training
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert made["recipe"] == "digits" and made["preset"] == "paper" and len(made["commit"]) == 40
    assert {"device", "torch", "precision", "seed", "seconds"} <= made.keys()
    recipe = build("digits", runtime.start("paper", "cpu", made["seed"]))
    assert made["network"]["settings"] == recipe.game.classifier.settings == classifier.settings
    assert made["rounds"] == recipe.rounds
    written = json.loads((data_folder() / "results" / "digits-paper.json").read_text())
    assert written.items() <= made.items()
    assert accuracy_on_unseen_digits(classifier, 1000) >= 0.98


def test_a_trained_network_is_had_again_by_recipe_and_player(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    with pytest.raises(CheckpointError, match="is missing: expected a safetensors file"):
        trained_network("digits", "classifier")
    path = tmp_path / "checkpoints" / "digits-paper-classifier.safetensors"
    network = DigitClassifier(classes=3, width=2, features=5)
    checkpoints.export(path, network, {"rounds": 4, **how_to_build(network)})
    found, made = trained_network("digits", "classifier")
    assert made == {"rounds": 4, **how_to_build(network)}
    assert isinstance(found, DigitClassifier) and not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(found(images), network.eval()(images))
    with pytest.raises(CheckpointError, match="is missing: expected a safetensors file"):
        trained_network("digits", "generator")
    content = path.read_bytes()
    for length in (0, 7, 300, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="cannot be read"):
            trained_network("digits", "classifier")


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        {"network": {}},
        {"network": {"class": "Linear", "settings": {}}},
        {"network": {"class": "DigitClassifier"}},
        {"network": {"class": "DigitClassifier", "settings": {"depth": 3}}},
        {"network": {"class": "DigitClassifier", "settings": {"width": 8}}},
        {"network": {"class": "DCGANGenerator", "settings": {}}},
    ],
)
def test_a_file_of_another_network_than_it_says_is_refused(provenance, tmp_path, monkeypatch):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    path = tmp_path / "checkpoints" / "digits-paper-classifier.safetensors"
    checkpoints.export(path, DigitClassifier(width=2), provenance)
    with pytest.raises(CheckpointError, match="digits-paper-classifier"):
        trained_network("digits", "classifier")


def test_every_shipped_player_is_found_by_name(monkeypatch, tmp_path):
    assert {"lmconv-binary", "pixelcnn-256", "pixelcnn-binary"} <= set(shipped("chain"))
    for player in ("generator", "chain", "classifier"):
        for name in shipped(player):
            assert name in RECIPES and trained_network(name, player)[1]["recipe"] == name
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    assert shipped("generator") == []
