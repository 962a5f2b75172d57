"""The table of likelihoods: its rows against the library's likelihoods, and what has no row."""

import math

import pytest
import torch

from ganlib.chains import LMConv, PixelCNN, log_likelihood, orders, pixel_log_likelihoods
from ganlib.datasets import binarized_mnist, mnist
from ganlib.tables import likelihoods


def test_the_table_is_what_log_likelihoods_give():
    torch.manual_seed(2)
    height = width = 4
    chain = LMConv(width=8, depth=2, first_kernel=3).double()
    images = torch.randint(2, (5, 1, height, width))
    curves = orders.reflections(orders.s_curve, height, width)
    maps = torch.cat([pixel_log_likelihoods(chain, images, c) for c in curves], dim=1)
    rows = likelihoods.lmconv_rows(maps.transpose(0, 1), curves)
    torch.testing.assert_close(rows["whole, 1 order"], log_likelihood(chain, images, curves[0]))
    naive = sum(log_likelihood(chain, images, c).exp() for c in curves) / 8
    torch.testing.assert_close(rows["whole, 8 orders"], naive.log())
    assert len(rows) == 2 + 3 * 3
    for name, missing in likelihoods.halves(height, width).items():
        assert int(missing.sum()) == height * width // 2
        given = [
            log_likelihood(chain, images, c, given=~missing)
            for c in curves
            if orders.visits_last(c, missing)
        ]
        assert len(given) == 2
        torch.testing.assert_close(rows[f"{name}, 1 maximum-context order"], given[0])
        both = torch.logaddexp(*given) - math.log(2)
        torch.testing.assert_close(rows[f"{name}, 2 maximum-context orders"], both)
        # An adversarial order has drawn the missing half before it sees anything: what its
        # terms sum to is the same whatever the observed half is.
        other = torch.where(missing, images, 1 - images)
        again = torch.cat([pixel_log_likelihoods(chain, other, c) for c in curves], dim=1)
        key = f"{name}, adversarial order"
        changed = likelihoods.lmconv_rows(again.transpose(0, 1), curves)
        torch.testing.assert_close(changed[key], rows[key])


def test_maps_and_curves_that_make_no_table_are_refused():
    curves = orders.reflections(orders.s_curve, 4, 4)
    maps = torch.zeros(8, 5, 4, 4)
    with pytest.raises(ValueError, match=r"shape \(7, 5, 4, 4\): expected \(8, count, height"):
        likelihoods.lmconv_rows(maps[:7], curves)
    with pytest.raises(ValueError, match=r"shape \(8, 5, 4\): expected \(8, count, height"):
        likelihoods.lmconv_rows(maps[..., 0], curves)
    with pytest.raises(ValueError, match="0 of the curves draw the top first and 2 last"):
        likelihoods.lmconv_rows(maps[:2], [c for c in curves if c[0, 0] == 3 and c[1, 0] == 3])


@pytest.mark.parametrize("images", [-1, 0, 1, 10_001])
def test_the_command_measures_two_images_to_all(images, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["likelihoods", "--images", str(images)])
    with pytest.raises(SystemExit):
        likelihoods.main()
    assert f"--images {images}: expected 2 to 10000" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["pixelcnn-fresh"]])
def test_a_chain_has_its_row_once_it_is_shipped(more, monkeypatch):
    torch.manual_seed(0)
    sizes = {"width": 2, "depth": 1, "first_kernel": 3}
    names = ["lmconv-binary", "pixelcnn-256", "pixelcnn-binary", *more]
    chains = {name: PixelCNN(**sizes) for name in names}
    chains["pixelcnn-256"] = PixelCNN(levels=256, **sizes)
    chains["lmconv-binary"] = LMConv(**sizes)
    monkeypatch.setattr(likelihoods, "shipped", lambda player: names)
    monkeypatch.setattr(likelihoods, "trained_chain", lambda name: (chains[name], {"of": name}))
    rows = list(likelihoods.measure(3, torch.device("cpu")))
    once = {row["recipe"]: row for row in rows if row["recipe"] != "lmconv-binary"}
    assert once.keys() == set(names) - {"lmconv-binary"} and len(rows) == len(once) + 11
    for name, row in once.items():
        pictures = mnist("test")[0] if name == "pixelcnn-256" else binarized_mnist("test")
        expected = -log_likelihood(chains[name], pictures[:3]).mean().item()
        assert row["nats"] == row["first"]["nats"] == pytest.approx(expected)
        assert row["row"] == "whole, 1 order" and row["made"] == {"of": name}
    # What has not changed since is not measured again; what has, is.
    rows[0]["made"] = {"of": "another cycle"}
    again = list(likelihoods.measure(3, torch.device("cpu"), rows))
    assert again[0] is not rows[0] and again[0]["made"] == {"of": rows[0]["recipe"]}
    assert all(new is old for new, old in zip(again[1:], rows[1:], strict=True))
