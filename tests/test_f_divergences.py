"""The table of f-divergences against scipy's numerical suprema, closed forms and inequalities."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from ganlib.datasets import mixture_1d
from ganlib.divergences import (
    F_DIVERGENCES,
    FDivergence,
    f_divergence,
    grid,
    jensen_shannon,
    kullback_leibler,
    total_variation,
)
from ganlib.divergences.f_divergences import f_divergence_named

ON_EACH = pytest.mark.parametrize("name", F_DIVERGENCES)
# "gan" is 2 JSD - log 4: its f is not 0 at 1.
AT_ONE = {name: 0.0 for name in F_DIVERGENCES} | {"gan": -math.log(4)}
ROUNDING = 1e-12


def alpha(order: float) -> FDivergence:
    """The α-divergence, (uᵅ - 1 - α (u - 1)) / (α (α - 1)), for an order between 0 and 1."""

    # f' rises to 1 / (1 - α), and f'(u) = t where u is this power.
    def ratio(t):
        return (1 - (1 - order) * t) ** (-1 / (1 - order))

    def f(u):
        return (u**order - 1 - order * (u - 1)) / (order * (order - 1))

    return FDivergence(
        f=f,
        conjugate=lambda t: t * ratio(t) - f(ratio(t)),
        domain=(-math.inf, 1 / (1 - order)),
        activation=lambda v: (1 - torch.exp(-v)) / (1 - order),
        optimal=lambda u: (u ** (order - 1) - 1) / (order - 1),
    )


@pytest.fixture(params=[*F_DIVERGENCES, "alpha"])
def name(request, monkeypatch):
    """Every row, and one that was not there before."""
    if request.param == "alpha":
        monkeypatch.setitem(F_DIVERGENCES, "alpha", alpha(0.3))
    return request.param


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_every_conjugate_is_scipys_supremum(name):
    row = F_DIVERGENCES[name]
    for v in numpy.linspace(-3, 3, 13):
        t = float(row.activation(doubles(v)))

        def short(log_ratio, t=t):
            u = math.exp(log_ratio)
            return float(row.f(doubles(u))) - t * u

        # Over ratios, on a logarithmic scale; f* may also be reached at a ratio of 0.
        found = [minimize_scalar(short, bounds=b, method="bounded") for b in ((-30, 3), (-1, 12))]
        best = max(-result.fun for result in found)
        assert float(row.conjugate(doubles(t))) == pytest.approx(best, rel=1e-6, abs=1e-6)


def test_activations_rise_through_the_domain(name):
    row, v = F_DIVERGENCES[name], torch.linspace(-6, 6, 200, dtype=torch.float64)
    t = row.activation(v)
    assert (t.diff() > 0).all() and row.domain[0] <= t[0] and t[-1] <= row.domain[1]
    assert torch.isfinite(row.conjugate(t)).all() and (row.conjugate(t).diff() >= 0).all()


def test_the_gap_of_fenchel_and_young_is_0_at_the_best_t_alone(name):
    row = F_DIVERGENCES[name]
    u = torch.logspace(-3, 3, 61, dtype=torch.float64)
    t = row.activation(torch.linspace(-4, 4, 41, dtype=torch.float64))
    gap = row.f(u) + row.conjugate(t)[:, None] - t[:, None] * u
    assert (gap >= -1e-9).all()
    best = row.optimal(u)
    torch.testing.assert_close(row.conjugate(best), best * u - row.f(u), rtol=1e-9, atol=1e-9)
    if name != "total-variation":
        worse = row.optimal(u * 1.5)
        assert (row.f(u) + row.conjugate(worse) - worse * u > 0).all()


def test_the_best_t_is_the_slope_of_f(name):
    row, u = F_DIVERGENCES[name], torch.logspace(-2, 2, 40, dtype=torch.float64)
    (slope,) = torch.autograd.grad(row.f(u.requires_grad_()).sum(), u)
    torch.testing.assert_close(row.optimal(u.detach()), slope, rtol=1e-9, atol=1e-12)


def test_the_slope_of_the_conjugate_is_the_ratio(name):
    """f*' is the inverse of f': so the generator's gradient weighs an example by its ratio."""
    if name == "total-variation":
        pytest.skip("its f' takes two values only")
    row, u = F_DIVERGENCES[name], torch.logspace(-2, 2, 40, dtype=torch.float64)
    t = row.optimal(u).requires_grad_()
    (slope,) = torch.autograd.grad(row.conjugate(t).sum(), t)
    torch.testing.assert_close(slope, u, rtol=1e-8, atol=1e-12)


def test_the_upper_end_of_the_domain_is_the_slope_of_f_far_out(name):
    row, far = F_DIVERGENCES[name], doubles(1e12)
    slope = float(row.f(far) / far)
    if math.isfinite(row.domain[1]):
        assert slope == pytest.approx(row.domain[1], abs=2e-6 if name != "alpha" else 1e-2)
    else:
        assert slope > 20


@ON_EACH
def test_f_is_convex_and_known_at_1(name):
    row = F_DIVERGENCES[name]
    assert float(row.f(doubles(1.0))) == pytest.approx(AT_ONE[name], abs=1e-15)
    u = torch.logspace(-3, 3, 50, dtype=torch.float64)
    middle = row.f((u[:, None] + u) / 2) - (row.f(u)[:, None] + row.f(u)) / 2
    assert (middle <= 1e-9).all()


tables = st.integers(2, 6).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(1, 30), min_size=n, max_size=n)] * 2)
)


@settings(deadline=None)
@given(tables)
def test_rows_that_have_a_name_of_their_own_are_what_it_says(pair):
    p, q = (doubles(*table) / sum(table) for table in pair)
    ours = {name: float(f_divergence(name, p, q)) for name in F_DIVERGENCES}
    divergence = float(jensen_shannon(p, q))
    assert ours["kl"] == pytest.approx(float(kullback_leibler(p, q)), abs=ROUNDING)
    assert ours["reverse-kl"] == pytest.approx(float(kullback_leibler(q, p)), abs=ROUNDING)
    assert ours["jensen-shannon"] == pytest.approx(divergence, abs=ROUNDING)
    assert ours["gan"] == pytest.approx(2 * divergence - math.log(4), abs=ROUNDING)
    assert ours["total-variation"] == pytest.approx(float(total_variation(p, q)), abs=ROUNDING)
    assert ours["pearson"] == pytest.approx(float(((p - q) ** 2 / q).sum()), abs=1e-10)
    assert ours["neyman"] == pytest.approx(float(((p - q) ** 2 / p).sum()), abs=1e-10)
    squared = float(((p.sqrt() - q.sqrt()) ** 2).sum())
    assert ours["hellinger"] == pytest.approx(squared, abs=ROUNDING)
    both = ours["kl"] + ours["reverse-kl"]
    assert ours["jeffrey"] == pytest.approx(both, abs=1e-11)


@settings(deadline=None)
@given(tables)
def test_none_is_below_its_value_at_equality(pair):
    p, q = (doubles(*table) / sum(table) for table in pair)
    for name, least in AT_ONE.items():
        assert float(f_divergence(name, p, q)) >= least - ROUNDING
        assert float(f_divergence(name, p, p)) == pytest.approx(least, abs=ROUNDING)


@ON_EACH
def test_where_supports_do_not_meet_it_is_f_at_0_and_the_slope_far_out(name):
    row = F_DIVERGENCES[name]
    p, q = doubles(0.4, 0.6, 0, 0), doubles(0, 0, 0.5, 0.5)
    expected = float(row.f(doubles(0.0))) + row.domain[1]
    assert float(f_divergence(name, p, q)) == pytest.approx(expected)
    # Half of p's mass is alone, half of q's, and the rest is shared in a ratio of 1.
    p, q = doubles(0.5, 0.5, 0), doubles(0, 0.5, 0.5)
    one = float(row.f(doubles(1.0)))
    found = float(f_divergence(name, p, q))
    assert found == pytest.approx(expected / 2 + one / 2, abs=1e-12)


def test_on_a_grid_it_is_a_gaussians_closed_form():
    x, cells = grid(-30, 30, 6001)
    p, q = (
        mixture_1d([mean], [1.0], [1.0]).log_prob(x[:, None].float()).double().exp()
        for mean in (0.0, 1.0)
    )
    found = {name: float(f_divergence(name, p, q, cells)) for name in F_DIVERGENCES}
    assert found["kl"] == pytest.approx(0.5, abs=1e-5)
    assert found["pearson"] == pytest.approx(math.e - 1, abs=1e-4)
    assert found["hellinger"] == pytest.approx(2 - 2 * math.exp(-1 / 8), abs=1e-6)
    assert found["total-variation"] == pytest.approx(math.erf(1 / 8**0.5), abs=1e-4)


def test_leading_axes_are_broadcast():
    tables = torch.rand(3, 5, dtype=torch.float64) + 0.1
    tables /= tables.sum(1, keepdim=True)
    found = f_divergence("hellinger", tables, tables[0])
    assert found.shape == (3,)
    one_by_one = [float(f_divergence("hellinger", table, tables[0])) for table in tables]
    assert found.tolist() == pytest.approx(one_by_one)


def test_what_does_not_fit_is_refused():
    p = doubles(0.5, 0.5)
    with pytest.raises(ValueError, match="'ks' is not known: choose one of kl, reverse-kl"):
        f_divergence("ks", p, p)
    with pytest.raises(ValueError, match="expected probabilities"):
        f_divergence("kl", doubles(1.5, -0.5), p)
    with pytest.raises(ValueError, match="sums to 2"):
        f_divergence("kl", 2 * p, p)
    assert f_divergence_named("kl") is F_DIVERGENCES["kl"]
