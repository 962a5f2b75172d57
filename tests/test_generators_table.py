"""The table of generators: what is judged, what each row holds, and what is refused."""

import json

import pytest
import torch

from ganlib import metrics
from ganlib.chains import LMConv, PixelCNN, sample
from ganlib.nets import DCGANGenerator, Perceptron
from ganlib.paths import results_folder
from ganlib.shipped import shipped, trained_network
from ganlib.tables import generators as table

SMALL = {"width": 6, "depth": 1, "first_kernel": 3}


@pytest.mark.parametrize(
    "network, kind",
    [
        (DCGANGenerator(4, width=2), table.GREY),
        (DCGANGenerator(4, side=32, width=2), None),
        (DCGANGenerator(4, channels=3, width=2), None),
        (Perceptron(2, 2), None),
        (PixelCNN(1, 2, **SMALL), table.BINARY),
        (PixelCNN(1, 256, **SMALL), table.GREY),
        (PixelCNN(1, 16, **SMALL), None),
        (PixelCNN(3, 2, **SMALL), None),
    ],
)
def test_digits_are_judged_and_nothing_else(network, kind):
    assert table.kind_of(network) == kind
    if kind is None:
        with pytest.raises(ValueError, match="draws no digits"):
            table.draws(network, 2, 0)


@pytest.mark.parametrize("network", [DCGANGenerator(4, width=2).eval(), LMConv(1, 2, **SMALL)])
def test_draws_are_digits_of_the_seed_alone(network):
    drawn = table.draws(network, 3, seed=1)
    assert drawn.shape == (3, 1, 28, 28)
    assert drawn.dtype == torch.float32
    assert -1 <= float(drawn.min()) < float(drawn.max()) <= 1
    before = torch.get_rng_state()
    assert torch.equal(table.draws(network, 3, seed=1), drawn)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(table.draws(network, 3, seed=2), drawn)


def test_a_generator_is_given_normal_noise_batch_by_batch(monkeypatch):
    monkeypatch.setattr(table, "BATCH", 2)
    network = DCGANGenerator(4, width=2).eval()
    noise = torch.Generator().manual_seed(7)
    with torch.no_grad():
        batches = [network(torch.randn(size, 4, generator=noise)) for size in (2, 2, 1)]
    torch.testing.assert_close(table.draws(network, 5, seed=7), torch.cat(batches))


def test_a_chain_draws_in_its_own_order_and_its_levels_become_minus_one_to_one():
    chain = PixelCNN(1, 256, **SMALL)
    levels = sample(chain, 2, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(table.draws(chain, 2, seed=3), levels.float() / 127.5 - 1)


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_no_draws_are_refused(count):
    with pytest.raises((TypeError, ValueError), match="count"):
        table.draws(DCGANGenerator(4, width=2), count, 0)


def test_test_digits_come_in_one_random_order():
    grey, binary = (table.real_digits(kind, "test") for kind in (table.GREY, table.BINARY))
    assert grey.shape == binary.shape == (10_000, 1, 28, 28)
    # Row by row the same digits: paper stays paper in both.
    assert bool(((grey > -1) | (binary == -1)).all())
    assert set(binary.unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(grey[:100], table.real_digits(table.GREY, "train")[:100])
    with pytest.raises(ValueError, match="kind='grey'"):
        table.real_digits("grey", "test")


def test_figures_are_those_of_the_metrics():
    draws = torch.Generator().manual_seed(0)
    sides = [
        metrics.Features(
            torch.randn(40, 3, generator=draws), torch.rand(40, 4, generator=draws).softmax(1)
        )
        for _ in range(2)
    ]
    found = table.figures(*sides, seed=5)
    report = metrics.judge(*sides, table.NEIGHBOUR)
    assert {name: found[name] for name in report._fields} == report._asdict()
    told = metrics.classifier_two_sample_test(*(side.vectors for side in sides), 5)
    assert found["told_apart"] == told.accuracy


def test_the_memory_distance_is_0_for_copies_and_the_median_else():
    library = torch.eye(5)[:, None, None]
    assert table.memory_distance(library[:3], library) == 0
    shifted = library + torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).reshape(5, 1, 1, 1)
    nearest = torch.cdist(shifted.flatten(1), library.flatten(1)).amin(1)
    assert table.memory_distance(shifted, library) == pytest.approx(float(nearest.median()))


def test_a_row_has_the_mean_and_its_error_and_the_first_piece(monkeypatch):
    monkeypatch.setattr(table, "DRAWS", 30)
    torch.manual_seed(0)
    pictures = torch.rand(4, 30, 1, 28, 28) * 2 - 1
    extractor = metrics.digit_features()
    row = table._row(
        "a", iter(pictures[:2]), list(pictures[2:]), pictures[0], extractor, torch.device("cpu")
    )
    assert (row["row"], row["draws"], row["first"]["draws"]) == ("a", 60, 30)
    # The first piece lies in the library, so its distance is 0.
    assert row["first"]["figures"]["memory_distance"] == 0
    second = table.memory_distance(pictures[1], pictures[0])
    assert row["figures"]["memory_distance"] == pytest.approx(second / 2)
    assert row["standard errors"]["memory_distance"] == pytest.approx(second / 2)
    assert row["figures"].keys() == row["standard errors"].keys() == row["first"]["figures"].keys()


def test_the_committed_table_has_every_shipped_generator_of_digits():
    rows = json.loads((results_folder() / "generators.json").read_text(encoding="utf-8"))
    named = {row["row"]: row for row in rows}
    assert {table.GREY, table.BINARY} < named.keys()
    for player in ("generator", "chain"):
        for name in shipped(player):
            network, made = trained_network(name, player)
            kind = table.kind_of(network)
            assert (name in named) == (kind is not None)
            if kind is not None:
                assert named[name]["reference"] == kind
                # Another network than the one that was judged: run `make judge` again.
                assert named[name]["made"] == made, name
    assert {row["draws"] for row in rows} == {table.PIECES * table.DRAWS}


@pytest.mark.parametrize("pieces", [-1, 1, 6])
def test_the_command_judges_two_pieces_to_all(pieces, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["generators", "--pieces", str(pieces)])
    with pytest.raises(SystemExit):
        table.main()
    assert f"--pieces {pieces}: expected 2 to 5" in capsys.readouterr().err


def test_what_has_not_changed_is_not_measured_again(monkeypatch):
    measured = []

    def row(name, *_):
        measured.append(name)
        return {"row": name}

    monkeypatch.setattr(table, "_row", row)
    rows = {row["row"]: row for row in table.measure(2, torch.device("cpu"))}
    assert measured == list(rows) and {table.GREY, "minimax-mnist", "lmconv-binary"} <= rows.keys()
    rows["minimax-mnist"] = {**rows["minimax-mnist"], "made": "otherwise"}
    del rows["pixelcnn-256"]
    measured.clear()
    again = {row["row"]: row for row in table.measure(2, torch.device("cpu"), rows)}
    assert measured == ["minimax-mnist", "pixelcnn-256"]
    assert again.keys() == rows.keys() | {"pixelcnn-256"}
    assert again["lmconv-binary"] is rows["lmconv-binary"]
