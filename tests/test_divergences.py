"""Divergences against scipy, closed forms, brute force and their inequalities."""

import itertools
import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from ganlib.divergences import (
    grid,
    jensen_shannon,
    kullback_leibler,
    total_variation,
)

# A sum of at most eight terms below 5, each right to a few of 52 bits.
ROUNDING = 1e-13


def counts(outcomes):
    return st.lists(st.integers(0, 20), min_size=outcomes, max_size=outcomes).filter(any)


pairs = st.integers(2, 8).flatmap(lambda outcomes: st.tuples(counts(outcomes), counts(outcomes)))


def tables(pair):
    return [numpy.array(table) / sum(table) for table in pair]


def normal(x, mean, scale):
    return torch.exp(-(((x - mean) / scale) ** 2) / 2) / (scale * math.sqrt(2 * math.pi))


# Finite tables


@settings(deadline=None)
@given(pairs)
def test_kullback_leibler_is_scipys(pair):
    p, q = tables(pair)
    found = kullback_leibler(torch.tensor(p), torch.tensor(q)).item()
    assert found == pytest.approx(rel_entr(p, q).sum(), rel=1e-12, abs=ROUNDING)


@settings(deadline=None)
@given(pairs)
def test_jensen_shannon_is_scipys_squared(pair):
    p, q = tables(pair)
    found = jensen_shannon(torch.tensor(p), torch.tensor(q)).item()
    assert found == pytest.approx(jensenshannon(*pair) ** 2, rel=1e-12, abs=ROUNDING)


@settings(deadline=None, max_examples=50)
@given(counts(6), counts(6))
def test_total_variation_is_the_largest_gap_over_all_events(first, second):
    p, q = tables((first, second))
    events = itertools.product([0, 1], repeat=6)
    gap = max(abs(numpy.dot(event, p - q)) for event in events)
    found = total_variation(torch.tensor(p), torch.tensor(q)).item()
    assert found == pytest.approx(gap, abs=ROUNDING)


@settings(deadline=None)
@given(pairs)
def test_symmetry_bounds_and_pinsker(pair):
    p, q = (torch.tensor(table) for table in tables(pair))
    divergence, distance = jensen_shannon(p, q).item(), total_variation(p, q).item()
    assert jensen_shannon(q, p).item() == divergence
    assert total_variation(q, p).item() == distance
    assert -ROUNDING <= divergence <= math.log(2) + ROUNDING
    assert 0 <= distance <= 1 + ROUNDING
    # Lin (1991, theorem 3): the divergence is at most log 2 times the distance.
    assert divergence <= math.log(2) * distance + ROUNDING
    assert kullback_leibler(p, q).item() >= 2 * distance**2 - ROUNDING


@settings(deadline=None)
@given(counts(5))
def test_a_distribution_is_at_no_distance_from_itself(table):
    p = torch.tensor(tables([table])[0])
    assert kullback_leibler(p, p) == jensen_shannon(p, p) == total_variation(p, p) == 0


def test_disjoint_supports():
    p, q = torch.tensor([0.25, 0.75, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert kullback_leibler(p, q) == math.inf
    assert jensen_shannon(p, q).item() == pytest.approx(math.log(2), abs=ROUNDING)
    assert total_variation(p, q) == 1


def test_kullback_leibler_is_infinite_only_where_mass_is_missing():
    half, all_in_one = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    assert kullback_leibler(half, all_in_one) == math.inf
    assert kullback_leibler(all_in_one, half).item() == pytest.approx(math.log(2), abs=ROUNDING)


@pytest.mark.parametrize("divergence", [kullback_leibler, jensen_shannon, total_variation])
def test_rows_of_a_batch_are_independent_and_in_float64(divergence):
    rows = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [1 / 3, 1 / 3, 1 / 3]]).double()
    q = torch.tensor([0.25, 0.25, 0.5])
    found = divergence(rows, q)
    assert (found.shape, found.dtype) == ((3,), torch.float64)
    assert found.tolist() == pytest.approx([divergence(row, q).item() for row in rows], rel=1e-12)


def test_the_gradient_of_kullback_leibler():
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    q = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    by_p = torch.func.grad(kullback_leibler, 0)(p, q)
    by_q = torch.func.grad(kullback_leibler, 1)(p, q)
    ratios = [1 / 3, 1, 5]
    assert by_p.tolist() == pytest.approx([math.log(ratio) + 1 for ratio in ratios], abs=ROUNDING)
    assert by_q.tolist() == pytest.approx([-ratio for ratio in ratios], abs=ROUNDING)


def test_the_gradient_by_logits_is_the_difference_of_the_tables():
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    logits = torch.tensor([0.4, -1.0, 0.3], dtype=torch.float64, requires_grad=True)
    q = logits.softmax(0)
    (slope,) = torch.autograd.grad(kullback_leibler(p, q), logits)
    assert slope.tolist() == pytest.approx((q - p).tolist(), abs=ROUNDING)


# Densities on grids


def test_kullback_leibler_of_two_gaussians():
    x, cells = grid(-12, 12)
    found = kullback_leibler(normal(x, 0.5, 1.0), normal(x, -0.5, 1.5), cells)
    exact = math.log(1.5) + (1 + 1) / (2 * 1.5**2) - 0.5
    # The trapezoid rule is exact to rounding for Gaussians that fade inside the grid.
    assert found.item() == pytest.approx(exact, abs=1e-12)


def test_jensen_shannon_of_two_gaussians_is_the_integral_by_quadrature():
    def integrand(x):
        p, q = stats.norm.pdf(x, 0.5, 1.0), stats.norm.pdf(x, -0.5, 1.5)
        return (rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)) / 2

    x, cells = grid(-12, 12)
    found = jensen_shannon(normal(x, 0.5, 1.0), normal(x, -0.5, 1.5), cells)
    exact, error = integrate.quad(integrand, -12, 12, epsabs=1e-11, epsrel=1e-11)
    assert error < 1e-10
    assert found.item() == pytest.approx(exact, abs=1e-10)


def test_total_variation_of_two_gaussians():
    x, cells = grid(-12, 12)
    found = total_variation(normal(x, 0.5, 1.0), normal(x, -0.5, 1.0), cells)
    # 2 Φ(Δ / 2σ) - 1; at the kink of |p - q| the rule is right to the square of the step.
    step = 24 / 2000
    assert found.item() == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=step**2)


@given(
    st.floats(-100, 100),
    st.floats(0.1, 100),
    st.integers(2, 200),
    st.floats(-10, 10),
    st.floats(-10, 10),
)
@settings(deadline=None)
def test_a_grid_integrates_lines_exactly(low, width, points, slope, level):
    high = low + width
    x, cells = grid(low, high, points)
    assert (x.shape, x.dtype, cells.shape) == ((points,), torch.float64, (points,))
    assert (x[0], x[-1]) == (low, high)
    exact = slope * (high**2 - low**2) / 2 + level * (high - low)
    # Rounding of up to 200 terms whose sizes add up to at most 100 * (10 * 200 + 10).
    assert ((slope * x + level) * cells).sum().item() == pytest.approx(exact, abs=1e-8)


def test_a_grid_errs_on_parabolas_by_the_known_amount():
    x, cells = grid(-1, 2, 31)
    error = (x**2 * cells).sum().item() - 3
    assert error == pytest.approx(3 * 0.1**2 / 6, rel=1e-9)


@pytest.mark.parametrize(
    "low, high, points",
    [
        (1, 1, 5),
        (2, 1, 5),
        (0, 1, 1),
        (math.nan, 1, 5),
        (0, math.inf, 5),
        (0, 1, 5.0),
        ("0", 1, 5),
        (0, 5e-324, 2),
    ],
)
def test_a_wrong_grid_is_refused(low, high, points):
    with pytest.raises(ValueError, match="expected low < high and 2 or more points"):
        grid(low, high, points)


@pytest.mark.parametrize("divergence", [kullback_leibler, jensen_shannon, total_variation])
@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ([1.5, -0.5], "negative or NaN"),
        ([math.nan, 1.0], "negative or NaN"),
        ([0.5, 0.6], r"to 1\.1: expected 1"),
        ([0.5, math.inf], "to inf: expected 1"),
        ([0.0, 0.0], "to 0: expected 1"),
    ],
)
def test_what_is_no_distribution_is_refused(divergence, wrong, complaint):
    wrong, right = torch.tensor(wrong), torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match=f"^p .*{complaint}"):
        divergence(wrong, right)
    with pytest.raises(ValueError, match=f"^q .*{complaint}"):
        divergence(right, wrong)


def test_a_grid_that_cuts_mass_off_is_refused():
    x, cells = grid(-1, 12)
    with pytest.raises(ValueError, match="a grid must cover nearly all of its mass"):
        kullback_leibler(normal(x, 0.0, 1.0), normal(x, 6.0, 1.0), cells)


def test_gradients_are_finite_where_both_tables_are_zero():
    p = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([0.4, 0.6, 0.0], dtype=torch.float64, requires_grad=True)
    for divergence in (kullback_leibler, jensen_shannon):
        gradients = torch.autograd.grad(divergence(p, q), (p, q))
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
    (by_q,) = torch.autograd.grad(kullback_leibler(p, q), q)
    torch.testing.assert_close(by_q, torch.tensor([-0.5 / 0.4, -0.5 / 0.6, 0.0]).double())


on_each = pytest.mark.parametrize("divergence", [kullback_leibler, jensen_shannon, total_variation])


@on_each
@pytest.mark.parametrize(
    "p, q", [((1,), (3,)), ((3,), (1,)), ((2, 3), (2, 1)), ((), (3,)), ((0,), (0,))]
)
def test_tables_of_other_outcomes_are_refused(divergence, p, q):
    # One outcome of mass 1 was once compared with each of three, for a divergence below 0.
    p, q = (torch.ones(shape) / max(1, *shape[-1:], 1) for shape in (p, q))
    with pytest.raises(ValueError, match="expected .*of as many outcomes, one or more"):
        divergence(p, q)


@on_each
def test_leading_axes_that_do_not_broadcast_are_refused(divergence):
    with pytest.raises(ValueError, match="expected leading axes that broadcast"):
        divergence(torch.ones(2, 1), torch.ones(3, 1))
    assert divergence(torch.ones(2, 1, 1), torch.ones(3, 1)).shape == (2, 3)
    assert divergence(torch.ones(0, 1), torch.ones(1)).shape == (0,)


@on_each
@pytest.mark.parametrize(
    "cells, complaint",
    [
        (torch.ones(2), r"cells of shape \(2,\): expected one number or \(3,\)"),
        (torch.ones(1, 3), r"cells of shape \(1, 3\): expected"),
        ([1.0, -1.0, 1.0], "cells has entries that are negative"),
        (math.nan, "cells has entries that are negative or not finite"),
        (math.inf, "cells has entries"),
        ("cells", "cells: str, expected numbers"),
    ],
)
def test_cells_that_do_not_fit_are_refused(divergence, cells, complaint):
    third = torch.full((3,), 1 / 3)
    with pytest.raises((ValueError, TypeError), match=complaint):
        divergence(third, third, cells)


@on_each
def test_tables_are_tensors_arrays_or_lists_alike(divergence):
    p, q = [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]
    exact = divergence(numpy.array(p), numpy.array(q))
    assert divergence(p, q) == exact == divergence(torch.tensor(p, dtype=torch.float64), q)


@on_each
@pytest.mark.parametrize("wrong", [None, "table", object(), [[0.5], [0.5, 0.5]], [0.5j, 0.5]])
def test_what_holds_no_numbers_is_refused(divergence, wrong):
    with pytest.raises(TypeError, match="^p: .*expected .*numbers"):
        divergence(wrong, [0.5, 0.5])


def test_the_least_number_that_there_is_adds_nothing():
    p, q = [1.0, 5e-324], [1.0, 0.0]
    assert jensen_shannon(p, q) == jensen_shannon(q, p) == 0
    assert kullback_leibler(q, p) == 0 and kullback_leibler(p, q) == math.inf


def test_a_density_that_would_overflow_is_refused():
    with pytest.raises(ValueError, match="p has a density above 1e.300"):
        kullback_leibler([1e305, 1e305], [1e305, 1e305], 0.5e-305)
