"""Transport against brute force, closed forms, scipy's own, and its certificate."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch.distributions import Dirichlet

from ganlib.divergences import (
    lipschitz_potential,
    optimal_transport,
    total_variation,
    wasserstein_line,
    wasserstein_of_samples,
)


def points_and_weights(count: int, other: int, seed: int):
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        a, b = (Dirichlet(torch.ones(n, dtype=torch.float64)).sample() for n in (count, other))
    x, y = (torch.randn(n, 2, generator=draws, dtype=torch.float64) for n in (count, other))
    return a, b, x, y


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 10_000), st.booleans())
def test_plan_and_prices_certify_each_other(count, other, seed, euclidean):
    a, b, x, y = points_and_weights(count, other, seed)
    cost = torch.cdist(x, y) if euclidean else torch.randn(count, other, dtype=torch.float64)
    found = optimal_transport(a, b, cost)
    assert (found.plan >= 0).all()
    torch.testing.assert_close(found.plan.sum(1), a, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.plan.sum(0), b, atol=1e-9, rtol=0)
    assert float((found.plan * cost).sum()) == pytest.approx(found.cost, abs=1e-9)
    assert (found.first[:, None] + found.second <= cost + 1e-9).all()
    dual = float(found.first @ a + found.second @ b)
    assert dual == pytest.approx(found.cost, abs=1e-9)
    slack = cost - found.first[:, None] - found.second
    assert float((slack * found.plan).sum()) == pytest.approx(0, abs=1e-9)


def test_of_equal_weights_it_is_the_best_permutation():
    for seed in range(5):
        _, _, x, y = points_and_weights(6, 6, seed)
        cost = torch.cdist(x, y)
        uniform = torch.full((6,), 1 / 6, dtype=torch.float64)
        orders = itertools.permutations(range(6))
        best = min(float(cost[range(6), list(order)].mean()) for order in orders)
        assert optimal_transport(uniform, uniform, cost).cost == pytest.approx(best, abs=1e-9)
        assert wasserstein_of_samples(x, y) == pytest.approx(best, abs=1e-9)


def test_on_the_line_it_is_the_area_between_distribution_functions():
    draws = torch.Generator().manual_seed(0)
    for n, m in ((1, 1), (5, 5), (7, 3), (20, 31)):
        a, b = (torch.randn(k, generator=draws, dtype=torch.float64) for k in (n, m))
        line = float(wasserstein_line(a, b))
        assert line == pytest.approx(wasserstein_distance(a.numpy(), b.numpy()), abs=1e-12)
        even = (torch.full((k,), 1 / k, dtype=torch.float64) for k in (n, m))
        assert optimal_transport(*even, (a[:, None] - b).abs()).cost == pytest.approx(
            line, abs=1e-9
        )
    shift = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    wasserstein_line(a + 10 + shift, a).backward()
    assert float(shift.grad) == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 24), st.integers(0, 10_000))
def test_one_lipschitz_function_does_for_a_metric(count, seed):
    a, b, x, _ = points_and_weights(count, count, seed)
    metric = torch.cdist(x, x)
    metric.fill_diagonal_(0)
    value, f = lipschitz_potential(a, b, metric)
    assert ((f[:, None] - f).abs() <= metric + 1e-9).all() and float(f[0]) == 0
    assert value == pytest.approx(float(f @ (a - b)), abs=1e-9)
    assert value == pytest.approx(optimal_transport(a, b, metric).cost, abs=1e-8)


def test_of_the_discrete_metric_it_is_total_variation():
    a, b, _, _ = points_and_weights(9, 9, 3)
    metric = 1 - torch.eye(9, dtype=torch.float64)
    assert lipschitz_potential(a, b, metric)[0] == pytest.approx(float(total_variation(a, b)))


def test_gaussian_samples_come_near_the_closed_form():
    # Shifted by s, a distribution is s away from itself.
    draws = torch.Generator().manual_seed(0)
    x, y = (torch.randn(400, 2, generator=draws) for _ in range(2))
    moved = wasserstein_of_samples(x, x + torch.tensor([3.0, 4.0]))
    assert moved == pytest.approx(5.0, abs=1e-5)
    assert abs(wasserstein_of_samples(x, y + torch.tensor([3.0, 4.0])) - 5) < 0.2


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda u, d: optimal_transport([0.5, 0.6], u, d), "sum 1.1: expected"),
        (lambda u, d: optimal_transport([1.5, -0.5], u, d), "none negative"),
        (lambda u, d: optimal_transport([1.0], u, d), r"cost of shape \(2, 2\): expected \(1, 2\)"),
        (lambda u, d: optimal_transport(u, u, d * math.inf), "cost: a value is not finite"),
        (lambda u, d: lipschitz_potential(u, [1.0], d), "expected the same points"),
        (lambda u, d: lipschitz_potential(u, u, d + 1), "0 on the diagonal"),
        (lambda u, d: wasserstein_line(d, u), r"expected finite numbers \(n,\)"),
        (lambda u, d: wasserstein_of_samples(d, d[:1]), "expected the same"),
    ],
)
def test_what_is_no_problem_of_transport_is_refused(call, complaint):
    uniform = torch.tensor([0.5, 0.5], dtype=torch.float64)
    distances = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match=complaint):
        call(uniform, distances)


def test_distances_that_are_no_metric_are_named():
    squares = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    costs = (squares[:, None] - squares) ** 2
    uniform = torch.full((3,), 1 / 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="from 0 to 2 it is farther than by way of 1"):
        lipschitz_potential(uniform, uniform, costs)
