"""The Parzen estimate against the loop over kernels, its integral and its closed form."""

import math

import numpy
import pytest
import torch

from ganlib.metrics import parzen_log_likelihood


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


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan, math.inf, [0.5, 0.0], [], [[1.0]]])
def test_a_wrong_bandwidth_is_refused(bandwidth):
    with pytest.raises(ValueError, match="expected positive standard deviations"):
        parzen_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 2), bandwidth)


def test_wrong_shapes_of_parzen_are_named():
    with pytest.raises(ValueError, match=r"samples \(3, 2\) and points \(3, 4\).*same shape"):
        parzen_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 4), 1.0)


@pytest.mark.parametrize("samples, points", [((0, 2), (3, 2)), ((3, 2), (0, 2)), ((3, 0), (3, 0))])
def test_parzen_of_nothing_is_refused(samples, points):
    with pytest.raises(ValueError, match="one or more of each"):
        parzen_log_likelihood(torch.zeros(samples), torch.zeros(points), 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["samples", "points"])
def test_parzen_of_what_is_not_finite_is_refused(value, name):
    sets = {"samples": torch.zeros(4, 2), "points": torch.zeros(4, 2)}
    sets[name][2, 0] = value
    with pytest.raises(ValueError, match=f"{name}: row 2 has a value that is not finite"):
        parzen_log_likelihood(**sets, bandwidth=1.0)


@pytest.mark.parametrize("power", [-900, -600, 600, 900])
def test_parzen_at_the_ends_of_the_range_is_that_at_one_in_other_units(power):
    torch.manual_seed(0)
    samples, points = torch.randn(30, 3).double(), torch.randn(30, 3).double()
    exact = parzen_log_likelihood(samples, points, 0.5) - 3 * power * math.log(2)
    factor = 2.0**power
    found = parzen_log_likelihood(samples * factor, points * factor, 0.5 * factor)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bandwidth", [1e-160, 1e-300, 1e200])
def test_a_bandwidth_beyond_the_range_is_refused(bandwidth):
    with pytest.raises(ValueError, match="bandwidth=.*float64"):
        parzen_log_likelihood(torch.zeros(3, 2), torch.ones(3, 2), bandwidth)


def test_a_density_too_low_for_its_logarithm_is_refused():
    points = torch.full((1, 100), 1e77, dtype=torch.float64)
    with pytest.raises(ValueError, match="too low for float64"):
        parzen_log_likelihood(torch.zeros(3, 100), points, 1e-77)
