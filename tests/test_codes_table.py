"""The tables of codes: what is measured, on networks that are known, and what is committed."""

import pytest
import torch
from torch import nn

from ganlib import runtime
from ganlib.datasets import mnist
from ganlib.games.codes import Codes
from ganlib.paths import data_folder
from ganlib.recipes.bigan import KINDS
from ganlib.tables import codes as table

pytestmark = pytest.mark.usefixtures("one_thread")


class Fixed(nn.Module):
    """A network that answers the same always, a row for each of its inputs."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer[: len(x)]


def test_a_posterior_that_knows_the_code_reaches_its_entropy():
    torch.manual_seed(0)
    run, codes = runtime.start("smoke", "cpu"), Codes(3, 1)
    noise = torch.cat([torch.randn(40, 5), codes.draw(40)], 1)
    told = noise[:, 5:]
    knows = torch.cat([100 * told[:, :3], told[:, 3:], torch.full((40, 1), -3.0)], 1)
    # Two blots, the upper one further right by the continuous code.
    draws = torch.full((40, 1, 28, 28), -1.0)
    for image, shift in zip(draws, told[:, 3], strict=True):
        image[0, 20, 14] = image[0, 8, 14 + round(6 * float(shift))] = 1.0
    networks = {"trunk": nn.Identity(), "posterior": Fixed(knows)}
    found = table.told(networks, codes, draws, noise, run)
    assert found["categorical"] == pytest.approx(codes.entropy["categorical"], abs=1e-4)
    assert found["slant"][0] > 0.99
    assert set(found) == {"categorical", "continuous", "slant", "breadth", "width"}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A data folder of its own, so that nothing shipped is touched."""
    folder = tmp_path / "data"
    (folder / "results").mkdir(parents=True)
    for name in ("mnist", "checkpoints"):
        (folder / name).symlink_to(data_folder() / name)
    monkeypatch.setenv("GANLIB_DATA", str(folder))
    return folder


def test_a_run_of_infogan_gives_a_row(elsewhere):
    (row,) = table.measured("infogan-mnist", runtime.start("smoke", "cpu", 1))
    assert 0.1 <= row["accuracy"] <= 0.5 and row["seed"] == 1 and row["rounds"] == 5
    assert sorted(row["label_of"]) == list(range(10))
    assert not list((elsewhere.parent / "runs").glob("*.safetensors"))


def test_features_of_images_are_read_by_both_readers(elsewhere, monkeypatch):
    few = {split: tuple(t[:300] for t in mnist(split)) for split in ("train", "test")}
    monkeypatch.setattr(table, "mnist", lambda split: few[split])
    rows = table.measured("bigan-regressor", runtime.start("smoke", "cpu", 1))
    assert [row["space"] for row in rows] == ["codes", "discriminator"]
    assert rows[1]["dimensions"] == 32 and "error" not in rows[1]
    for row in rows:
        assert 0.1 < row["neighbours"] < 1 and 0.1 < row["probe"] < 1
    assert rows[0]["error"] > 0 and 0 <= rows[0]["kept"] <= 1


def test_the_committed_tables_are_whole():
    seeds = [row["seed"] for row in table.table("infogan")]
    assert sorted(seeds) == list(table.SEEDS)
    spaces = {(row["recipe"], row["space"]) for row in table.table("bigan")}
    assert spaces == {(f"bigan-{kind}", "codes") for kind in KINDS} | {
        ("bigan-regressor", "discriminator"),
        ("bigan-mnist", "pixels"),
    }


def test_another_table_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["codes", "wgan"])
    with pytest.raises(SystemExit):
        table.main()
    assert "choose from infogan, bigan" in capsys.readouterr().err
