"""Metrics from samples against brute force in numpy."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ganlib.metrics import nearest_neighbours, parzen_log_likelihood

small_integers = st.integers(-5, 5).map(float)


def brute_force_distances(queries, references):
    flat = queries.reshape(len(queries), 1, -1) - references.reshape(1, len(references), -1)
    return numpy.sqrt((flat**2).sum(2))


def parzen_by_loop(samples, points, bandwidth):
    values = []
    for point in points:
        kernels = [
            numpy.prod(
                numpy.exp(-((point - sample) ** 2) / (2 * bandwidth**2))
                / (math.sqrt(2 * math.pi) * bandwidth)
            )
            for sample in samples
        ]
        values.append(math.log(numpy.mean(kernels)))
    return values


def test_nearest_neighbours_are_those_of_brute_force():
    random = numpy.random.default_rng(0)
    queries, references = random.normal(size=(60, 1, 6, 6)), random.normal(size=(200, 1, 6, 6))
    distances, indices = nearest_neighbours(torch.tensor(queries), torch.tensor(references))
    exact = brute_force_distances(queries, references)
    assert indices.tolist() == exact.argmin(1).tolist()
    assert distances.tolist() == pytest.approx(exact.min(1).tolist(), rel=1e-12)


@settings(deadline=None)
@given(st.data(), st.integers(1, 7), st.integers(1, 40), st.integers(1, 3))
def test_nearest_neighbours_with_ties(data, count, size, dimensions):
    queries = data.draw(arrays(float, (count, dimensions), elements=small_integers))
    references = data.draw(arrays(float, (size, dimensions), elements=small_integers))
    distances, indices = nearest_neighbours(torch.tensor(queries), torch.tensor(references))
    exact = brute_force_distances(queries, references)
    assert distances.tolist() == pytest.approx(exact.min(1).tolist(), rel=1e-12)
    assert exact[range(count), indices].tolist() == exact.min(1).tolist()


def test_copies_are_at_distance_zero():
    torch.manual_seed(0)
    references = torch.rand(300, 1, 28, 28)
    order = torch.randperm(300)[:100]
    distances, indices = nearest_neighbours(references[order], references)
    assert torch.equal(indices, order)
    assert (distances == 0).all()


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
def test_the_block_of_neighbours_does_not_matter(block):
    torch.manual_seed(0)
    queries, references = torch.randn(50, 9), torch.randn(80, 9)
    distances, indices = nearest_neighbours(queries, references, block)
    whole_distances, whole_indices = nearest_neighbours(queries, references, 50)
    assert torch.equal(indices, whole_indices)
    torch.testing.assert_close(distances, whole_distances)


@pytest.mark.parametrize(
    "queries, references",
    [((0, 3), (5, 3)), ((5, 3), (0, 3)), ((5, 3), (5, 4)), ((5, 12), (5, 3, 4))],
)
def test_wrong_shapes_of_neighbours_are_named(queries, references):
    with pytest.raises(ValueError) as caught:
        nearest_neighbours(torch.zeros(queries), torch.zeros(references))
    assert all(words in str(caught.value) for words in (str(queries), str(references), "expected"))


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 2.5])
def test_parzen_is_the_loop_over_kernels(bandwidth):
    random = numpy.random.default_rng(0)
    samples, points = random.normal(size=(40, 2, 3)), random.normal(size=(30, 2, 3))
    found = parzen_log_likelihood(torch.tensor(samples), torch.tensor(points), bandwidth)
    assert found.shape == (30,)
    # Squared distances through a matrix product keep about 14 digits; a small width magnifies.
    exact = parzen_by_loop(samples, points, bandwidth)
    assert found.tolist() == pytest.approx(exact, rel=1e-10)


def test_parzen_survives_where_the_kernels_underflow():
    # One sample at distance 100 in units of the width: log N = -100² / 2 - log sqrt(2 pi).
    found = parzen_log_likelihood(torch.tensor([[0.0]]), torch.tensor([[100.0]]), 1.0)
    assert found.item() == pytest.approx(-5000 - math.log(math.sqrt(2 * math.pi)), rel=1e-12)


@pytest.mark.parametrize("bandwidth", [0.1, 1.0])
def test_parzen_is_a_density(bandwidth):
    torch.manual_seed(0)
    samples = torch.randn(30, 1, dtype=torch.float64)
    points = torch.linspace(-15, 15, 3001, dtype=torch.float64)[:, None]
    density = parzen_log_likelihood(samples, points, bandwidth).exp()
    # A sum over steps of a tenth of the width or less integrates Gaussians to rounding.
    assert density.sum().item() * 0.01 == pytest.approx(1, abs=1e-9)


def test_several_bandwidths_are_each_alone():
    torch.manual_seed(0)
    samples, points = torch.randn(20, 5), torch.randn(15, 5)
    widths = [0.2, 0.5, 1.0]
    found = parzen_log_likelihood(samples, points, torch.tensor(widths, dtype=torch.float64))
    assert found.shape == (3, 15)
    for row, width in zip(found, widths, strict=True):
        torch.testing.assert_close(row, parzen_log_likelihood(samples, points, width))


@pytest.mark.parametrize("block", [1, 4, 500])
def test_the_block_of_parzen_does_not_matter(block):
    torch.manual_seed(0)
    samples, points = torch.randn(20, 5).double(), torch.randn(15, 5).double()
    found = parzen_log_likelihood(samples, points, 0.5, block)
    torch.testing.assert_close(found, parzen_log_likelihood(samples, points, 0.5, 15))


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan, [0.5, 0.0]])
def test_a_wrong_bandwidth_is_refused(bandwidth):
    with pytest.raises(ValueError, match="expected positive standard deviations"):
        parzen_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 2), bandwidth)


def test_wrong_shapes_of_parzen_are_named():
    with pytest.raises(ValueError, match=r"samples \(3, 2\) and points \(3, 4\).*same shape"):
        parzen_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 4), 1.0)


def test_copies_far_from_the_origin_are_found():
    references = 1000 + 0.1 * torch.randn(500, 100, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest_neighbours(references[:50], references)
    assert (distances == 0).all() and torch.equal(indices, torch.arange(50))
