"""Measures of translations against brute force, on what is known, and on what is none."""

import math

import numpy
import pytest
import torch

from ganlib.metrics import (
    emoji_reader,
    found_within,
    frechet_distance_between,
    judge_translation,
    kernel_distance,
    paired_errors,
    partner_ranks,
)
from ganlib.shipped import trained_network
from ganlib.tables.translation import held_out

pytestmark = pytest.mark.usefixtures("one_thread")


def test_errors_by_plain_numbers():
    made = torch.tensor([[1.0, -1.0], [0.0, 0.0], [0.5, 0.5]])
    partners = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.5]])
    found = paired_errors(made, partners)
    assert found.l1.tolist() == [1.0, 0.0, 0.25]
    assert found.psnr[0] == pytest.approx(10 * math.log10(4))
    assert found.psnr[1] == math.inf
    assert found.psnr[2] == pytest.approx(10 * math.log10(4 / 0.125))
    assert paired_errors(made, partners, span=1.0).psnr[0] == pytest.approx(0)


def test_errors_agree_with_numpy():
    made, partners = (numpy.random.default_rng(s).uniform(-1, 1, (7, 3, 4, 5)) for s in (0, 1))
    found = paired_errors(made, partners)
    for i in range(7):
        apart = made[i] - partners[i]
        assert float(found.l1[i]) == pytest.approx(numpy.abs(apart).mean(), rel=1e-12)
        psnr = 20 * math.log10(2) - 10 * math.log10((apart**2).mean())
        assert float(found.psnr[i]) == pytest.approx(psnr, rel=1e-12)


def test_ranks_by_brute_force():
    queries, references = (torch.randn(40, 5, generator=g) for g in generators(2))
    ranks = partner_ranks(queries, references)
    for i in range(40):
        lengths = [math.dist(queries[i].tolist(), r.tolist()) for r in references]
        assert ranks[i] == sum(length < lengths[i] for length in lengths)
    for first in (1, 5, 40):
        right = sum(rank < first for rank in ranks.tolist()) / 40
        assert found_within(ranks, first) == pytest.approx(right)


def generators(count):
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_what_tells_none_apart_is_not_ranked_first():
    same = torch.ones(5, 3)
    assert partner_ranks(same, same).tolist() == [2.0] * 5
    assert found_within(partner_ranks(same, same), 1) == 0
    distinct = torch.arange(5.0)[:, None]
    assert partner_ranks(distinct, distinct).tolist() == [0.0] * 5
    assert found_within(partner_ranks(distinct, distinct.flip(0)), 1) == pytest.approx(0.2)


def test_wrong_arguments_are_named():
    pair = torch.randn(3, 2)
    with pytest.raises(ValueError, match="expected as many"):
        paired_errors(pair, pair[:2])
    with pytest.raises(ValueError, match="expected as many"):
        partner_ranks(pair, pair[:2])
    with pytest.raises(ValueError, match="not finite"):
        paired_errors(pair, pair * math.nan)
    with pytest.raises(ValueError, match="not finite"):
        partner_ranks(pair, pair / 0)
    with pytest.raises(ValueError, match="no ranks"):
        found_within(torch.empty(0), 1)
    with pytest.raises(ValueError, match="first=0"):
        found_within(torch.zeros(2), 0)


def test_the_report_is_made_of_its_parts():
    x, y = held_out()["to_y"]
    reader = emoji_reader()
    report = judge_translation(x, y, reader)
    with torch.no_grad():
        vectors = [reader.embed(side) for side in (x, y)]
        near = [reader(side)[1].double() for side in (x, y)]
    assert report.l1 == pytest.approx(float((x - y).abs().mean()), rel=1e-5)
    assert report.frechet == pytest.approx(frechet_distance_between(*vectors), rel=1e-4)
    assert report.kernel == pytest.approx(kernel_distance(*vectors), rel=1e-4)
    alike = near[0] @ near[1].T
    first = (alike.argmax(1) == torch.arange(190)).double().mean()
    assert report.top1 == pytest.approx(float(first), abs=0.006)
    assert report.top1 <= report.top5 <= 1
    itself = judge_translation(y, y, reader)
    assert itself.l1 == 0 and itself.top5 == 1 and itself.frechet == pytest.approx(0, abs=1e-3)


def test_the_shipped_reader_knows_hands_and_partners_that_it_never_saw():
    reader, made = trained_network("emoji-reader", "reader")
    assert made["recipe"] == "emoji-reader"
    x, y = held_out()["to_y"]
    with torch.no_grad():
        by_x, by_y = (reader(side)[0].argmax(1) for side in (x, y))
    # Noto is the first of the foundries and OpenMoji the last.
    assert (by_x == 0).double().mean() > 0.7 and (by_y == 2).double().mean() > 0.9
    torch.manual_seed(0)
    untrained = type(reader)(**reader.settings).eval()
    found = [judge_translation(x, y, judge).top1 for judge in (reader, untrained)]
    assert found[0] > 0.4 > found[1] + 0.1
