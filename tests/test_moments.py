"""Moments and the Fréchet distance against numpy, scipy, torchmetrics and optimal transport."""

import math
import subprocess
import sys

import numpy
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

from ganlib.metrics import Moments, frechet_distance, frechet_distance_between
from ganlib.metrics.moments import square_root, trace_of_root

pytestmark = pytest.mark.usefixtures("one_thread")

EPSILON = numpy.finfo(float).eps
seeds = st.integers(0, 2**32 - 1)


def gaussian(dimensions, seed):
    """A random mean and a covariance whose condition is about 34 (Marchenko and Pastur)."""
    random = numpy.random.default_rng(seed)
    root = random.normal(size=(dimensions, 2 * dimensions))
    return random.normal(size=dimensions), root @ root.T / (2 * dimensions)


def rotation(dimensions, seed=0):
    return numpy.linalg.qr(numpy.random.default_rng(seed).normal(size=(dimensions, dimensions)))[0]


def rotated(values, basis):
    covariance = basis @ numpy.diag(values) @ basis.T
    return (covariance + covariance.T) / 2


def fitted(features):
    return features.mean(0), numpy.atleast_2d(numpy.cov(features, rowvar=False))


def size(mean_a, covariance_a, mean_b, covariance_b):
    """What a distance is a difference of: rounding is a share of this."""
    return ((mean_a - mean_b) ** 2).sum() + numpy.trace(covariance_a) + numpy.trace(covariance_b)


def by_square_root(mean_a, covariance_a, mean_b, covariance_b):
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b)
    return size(mean_a, covariance_a, mean_b, covariance_b) - 2 * numpy.trace(root).real


def by_eigenvalues(mean_a, covariance_a, mean_b, covariance_b):
    squares = numpy.linalg.eigvals(covariance_a @ covariance_b).astype(complex)
    return size(mean_a, covariance_a, mean_b, covariance_b) - 2 * numpy.sqrt(squares).real.sum()


def of_covariances(covariance_a, covariance_b):
    mean = numpy.zeros(len(covariance_a))
    return frechet_distance(mean, covariance_a, mean, covariance_b)


# The distance between Gaussians


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_a_square_root_has_the_rank_and_gives_the_covariance(rank):
    values = numpy.r_[numpy.zeros(7 - rank), numpy.linspace(1, 3, rank)]
    covariance = rotated(values, rotation(7))
    found = square_root(covariance, "a")
    assert found.shape == (7, rank)
    numpy.testing.assert_allclose(found @ found.T, covariance, atol=1e-14)


def test_the_trace_of_a_root_is_scipys_whatever_the_square_roots():
    (_, a), (_, b) = gaussian(6, 0), gaussian(6, 1)
    exact = scipy.linalg.sqrtm(a @ b).real.trace()
    for root in (lambda c: square_root(c, "c"), numpy.linalg.cholesky):
        assert trace_of_root(root(a), root(b)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 10, 64, 300])
def test_the_distance_is_the_one_by_square_roots_and_by_eigenvalues(dimensions):
    pair = *gaussian(dimensions, 0), *gaussian(dimensions, 1)
    found = frechet_distance(*pair)
    assert found == pytest.approx(by_square_root(*pair), rel=1e-11)
    assert found == pytest.approx(by_eigenvalues(*pair), rel=1e-11)


@pytest.mark.parametrize("dimensions", [1, 5, 64])
def test_the_distance_is_torchmetrics(dimensions):
    pair = *gaussian(dimensions, 2), *gaussian(dimensions, 3)
    exact = _compute_fid(*(torch.tensor(part) for part in pair)).item()
    assert frechet_distance(*pair) == pytest.approx(exact, rel=1e-11)


def test_one_dimension_has_a_closed_form():
    found = frechet_distance([1.0], [[4.0]], [-2.0], [[0.25]])
    assert found == pytest.approx(3**2 + (2 - 0.5) ** 2, rel=1e-14)


@pytest.mark.parametrize("dimensions", [1, 4, 32])
def test_covariances_that_commute_have_a_closed_form(dimensions):
    random, basis = numpy.random.default_rng(0), rotation(dimensions)
    first, second = random.uniform(0.1, 5, size=(2, dimensions))
    exact = ((numpy.sqrt(first) - numpy.sqrt(second)) ** 2).sum()
    found = of_covariances(rotated(first, basis), rotated(second, basis))
    assert found == pytest.approx(exact, rel=1e-11)
    assert of_covariances(numpy.diag(first), numpy.diag(second)) == pytest.approx(exact, rel=1e-12)


def transported(a, b):
    """The 2-Wasserstein distance between two sets of as many points, by their best matching."""
    if a.shape[1] == 1:
        return math.sqrt(((numpy.sort(a[:, 0]) - numpy.sort(b[:, 0])) ** 2).mean())
    costs = cdist(a, b, "sqeuclidean")
    return math.sqrt(costs[linear_sum_assignment(costs)].mean())


@pytest.mark.parametrize("dimensions, count", [(1, 100_000), (2, 1000)])
def test_the_distance_is_that_of_optimal_transport(dimensions, count):
    random = numpy.random.default_rng(0)
    (mean_a, covariance_a), (mean_b, covariance_b) = (gaussian(dimensions, seed) for seed in (4, 5))
    mean_b = mean_b + 5
    a, other_a = random.multivariate_normal(mean_a, covariance_a, size=(2, count))
    b, other_b = random.multivariate_normal(mean_b, covariance_b, size=(2, count))
    # Samples stray from their Gaussian by less, in the mean of squares, than from each other:
    # squared distances are convex. The triangle inequality adds the two strayings.
    bound = transported(a, other_a) + transported(b, other_b)
    exact = math.sqrt(frechet_distance(mean_a, covariance_a, mean_b, covariance_b))
    assert abs(transported(a, b) - exact) <= bound
    assert bound < 0.1 * exact, "the bound says something"


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), seeds, seeds)
def test_the_distance_is_symmetric_and_not_negative(dimensions, seed_a, seed_b):
    a, b = gaussian(dimensions, seed_a), gaussian(dimensions, seed_b)
    there, back = frechet_distance(*a, *b), frechet_distance(*b, *a)
    assert min(there, back) >= 0
    assert there == pytest.approx(back, abs=1e-12 * size(*a, *b))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), seeds)
def test_a_gaussian_is_at_no_distance_from_itself(dimensions, seed):
    a = gaussian(dimensions, seed)
    assert 0 <= frechet_distance(*a, *a) <= 1e-12 * size(*a, *a)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), seeds, seeds, st.floats(0.01, 100))
def test_rotations_and_shifts_keep_the_distance_and_scales_square(dimensions, one, two, scale):
    a, b = gaussian(dimensions, one), gaussian(dimensions, two)
    basis, shift = rotation(dimensions, one), numpy.linspace(-3, 3, dimensions)
    moved = [
        part
        for mean, covariance in (a, b)
        for part in (scale * (basis @ mean + shift), scale**2 * basis @ covariance @ basis.T)
    ]
    exact = scale**2 * frechet_distance(*a, *b)
    assert frechet_distance(*moved) == pytest.approx(exact, abs=1e-11 * size(*moved))


def test_a_shift_adds_its_square():
    (mean_a, covariance_a), (_, covariance_b) = gaussian(6, 0), gaussian(6, 1)
    start = frechet_distance(mean_a, covariance_a, mean_a, covariance_b)
    distances = [
        frechet_distance(mean_a, covariance_a, mean_a + step, covariance_b) for step in range(5)
    ]
    assert distances == sorted(distances)
    assert distances == pytest.approx([start + 6 * step**2 for step in range(5)], rel=1e-12)


# Singular covariances. A root of rounding would be 1e-8; these are right to rounding itself.


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("planes", [1, 2, 5, 20])
def test_subspaces_at_known_angles(planes, seed):
    random, basis = numpy.random.default_rng(seed), rotation(2 * planes, seed)
    # A right angle and no angle are where a careless root goes wrong.
    angles = random.choice([0, math.pi / 2, 0.3, 1.2], size=planes)
    first = basis[:, :planes]
    second = first * numpy.cos(angles) + basis[:, planes:] * numpy.sin(angles)
    # Of two projections, the root of the product has the trace of the cosines.
    exact = 2 * planes - 2 * numpy.cos(angles).sum()
    found = of_covariances(first @ first.T, second @ second.T)
    assert found == pytest.approx(exact, abs=1e-13 * planes)


@pytest.mark.parametrize("dimensions, rank", [(2, 1), (10, 4), (64, 20)])
def test_a_subspace_within_the_whole(dimensions, rank):
    within = rotation(dimensions)[:, :rank]
    whole = numpy.eye(dimensions)
    for pair in ((within @ within.T, whole), (whole, within @ within.T)):
        assert of_covariances(*pair) == pytest.approx(dimensions - rank, abs=1e-13 * dimensions)


def test_two_lines():
    u, v = numpy.array([3.0, 4.0, 0.0]), numpy.array([1.0, 2.0, 2.0])
    # |u|² + |v|² - 2 |u · v|
    exact = 25 + 9 - 2 * 11
    assert of_covariances(numpy.outer(u, u), numpy.outer(v, v)) == pytest.approx(exact, abs=1e-12)


def test_point_masses():
    mean_a, mean_b, none = numpy.array([1.0, 2.0]), numpy.array([4.0, -2.0]), numpy.zeros((2, 2))
    assert frechet_distance(mean_a, none, mean_b, none) == 25
    assert frechet_distance(mean_a, none, mean_a, none) == 0
    _, covariance = gaussian(2, 0)
    exact = 25 + numpy.trace(covariance)
    assert frechet_distance(mean_a, none, mean_b, covariance) == pytest.approx(exact, rel=1e-15)
    assert frechet_distance(mean_a, covariance, mean_b, none) == pytest.approx(exact, rel=1e-15)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("other", ["one", "same", "reversed"])
def test_nearly_singular_covariances(other, seed):
    dimensions, basis = 13, rotation(13, seed)
    values = numpy.logspace(0, -12, dimensions)
    others = {"one": numpy.ones(dimensions), "same": 2 * values, "reversed": values[::-1]}[other]
    exact = ((numpy.sqrt(values) - numpy.sqrt(others)) ** 2).sum()
    first, second = rotated(values, basis), rotated(others, basis)
    # The matrices themselves hold their least eigenvalue s to d roundings of 1, so its root to
    # that over 2 sqrt(s).
    rounding = 2 * dimensions * EPSILON / (2 * math.sqrt(values[-1]))
    assert of_covariances(first, second) == pytest.approx(exact, abs=4 * rounding)
    assert of_covariances(second, first) == pytest.approx(exact, abs=4 * rounding)


def test_numpy_and_float32_are_taken_as_they_are():
    pair = *gaussian(7, 0), *gaussian(7, 1)
    tensors = [torch.tensor(part) for part in pair]
    assert frechet_distance(*pair) == frechet_distance(*tensors)
    narrow = [tensor.float() for tensor in tensors]
    assert frechet_distance(*narrow) == frechet_distance(*(part.double() for part in narrow))
    assert frechet_distance(*narrow) == pytest.approx(frechet_distance(*pair), rel=1e-5)


def test_singular_covariances_in_float32():
    first, second = (rotation(8, seed)[:, :3].astype("float32") for seed in (0, 1))
    mean = numpy.zeros(8, dtype="float32")
    found = frechet_distance(mean, first @ first.T, mean, second @ second.T)
    cosines = scipy.linalg.subspace_angles(first.astype(float), second.astype(float))
    # An eigenvalue that is 0 comes as a rounding of float32, and its root is taken.
    roundings = 2 * 8 * math.sqrt(8 * numpy.finfo("float32").eps)
    assert found == pytest.approx(6 - 2 * numpy.cos(cosines).sum(), abs=roundings)
    assert 0 <= frechet_distance(mean, first @ first.T, mean, first @ first.T) < roundings


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 8), st.integers(2, 8), st.integers(-30, 30), seeds)
def test_a_distance_is_a_finite_number_that_is_not_negative(dimensions, one, two, power, seed):
    # Small whole numbers are often dependent, repeated or constant; powers reach float32's range.
    random = numpy.random.default_rng(seed)
    a, b = (10.0**power * random.integers(-1, 2, size=(n, dimensions)) for n in (one, two))
    for found in (frechet_distance(*fitted(a), *fitted(b)), frechet_distance_between(a, b)):
        assert isinstance(found, float) and math.isfinite(found) and found >= 0


@pytest.mark.parametrize("power", [-500, -300, 300, 500])
@pytest.mark.parametrize("dimensions, count", [(3, 20), (20, 3)])
def test_the_ends_of_the_range_scale_the_distance_exactly(power, dimensions, count):
    random, factor = numpy.random.default_rng(0), 2.0**power
    a, b = (random.normal(size=(count, dimensions)) for _ in range(2))
    exact = frechet_distance_between(a, b) * factor * factor
    assert frechet_distance_between(a * factor, b * factor) == exact
    mean_a, covariance_a, mean_b, covariance_b = *fitted(a), *fitted(b)
    found = frechet_distance(
        mean_a * factor,
        covariance_a * factor * factor,
        mean_b * factor,
        covariance_b * factor * factor,
    )
    assert found == pytest.approx(exact, rel=1e-11 if dimensions < count else 1e-6)


@pytest.mark.parametrize("size", [1e-170, 1e-300, 1e170, 1e300])
def test_a_distance_beyond_the_range_is_refused(size):
    a, b = drawn(30, 3, 0) * size, drawn(30, 3, 1) * size
    with pytest.raises(ValueError, match="a Fréchet distance of about 1e.*cannot hold"):
        frechet_distance_between(a, b)
    with pytest.raises(ValueError, match="a Fréchet distance of about 1e.*cannot hold"):
        frechet_distance([size], [[0.0]], [-size], [[0.0]])


def test_a_mean_far_off_does_not_hide_small_covariances():
    mean = numpy.full(2, 1e200)
    found = frechet_distance(mean, 1e-20 * numpy.eye(2), mean, 4e-20 * numpy.eye(2))
    assert found == pytest.approx(2e-20, rel=1e-12)


def test_a_set_that_is_tiny_beside_the_other_is_a_point():
    a, b = drawn(30, 2, 0), 1e-100 * drawn(30, 2, 1)
    mean, covariance = fitted(a.numpy())
    exact = (mean**2).sum() + numpy.trace(covariance)
    assert frechet_distance_between(a, b) == pytest.approx(exact, rel=1e-12)


identity = numpy.eye(2)
zero = numpy.zeros(2)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "mean, covariance, complaint",
    [
        (numpy.zeros((1, 2)), identity, r"mean_X of shape \(1, 2\) and cov.*expected \(dimensions"),
        (numpy.zeros(()), identity, r"mean_X of shape \(\)"),
        (numpy.zeros(0), numpy.zeros((0, 0)), r"mean_X of shape \(0,\)"),
        (zero, numpy.eye(3), r"mean_X of shape \(2,\) and covariance_X of shape \(3, 3\)"),
        (zero, numpy.ones(2), r"covariance_X of shape \(2,\): expected"),
        (zero, numpy.ones((2, 3)), r"covariance_X of shape \(2, 3\): expected"),
        (numpy.array([0, math.nan]), identity, "mean_X or covariance_X has .* not finite"),
        (zero, numpy.diag([1, math.inf]), "mean_X or covariance_X has .* not finite"),
        (zero, numpy.array([[1, 0.5], [0.4, 1]]), "covariance_X is not symmetric"),
        (zero, numpy.array([[1.0, 2.0], [2.0, 1.0]]), "covariance_X has the eigenvalue -1 "),
        (zero, -identity, "covariance_X has the eigenvalue -1 beside one of -1"),
        (zero, numpy.diag([-1.0, 0.0]), "covariance_X has the eigenvalue -1 beside one of"),
    ],
)
def test_what_is_no_gaussian_is_named(mean, covariance, complaint, first):
    pair = (mean, covariance, zero, identity) if first else (zero, identity, mean, covariance)
    with pytest.raises(ValueError, match=complaint.replace("X", "a" if first else "b")):
        frechet_distance(*pair)


def test_a_singular_partner_does_not_hide_what_is_no_covariance():
    wrong, none = numpy.diag([1.0, -1.0]), numpy.zeros((2, 2))
    with pytest.raises(ValueError, match="covariance_b has the eigenvalue -1"):
        frechet_distance(zero, none, zero, wrong)
    with pytest.raises(ValueError, match="covariance_a has the eigenvalue -1"):
        frechet_distance(zero, wrong, zero, none)


def test_gaussians_of_other_dimensions_are_named():
    with pytest.raises(ValueError, match="2 and 3 dimensions: expected as many"):
        frechet_distance(zero, identity, numpy.zeros(3), numpy.eye(3))


# The distance between sets of features


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "dimensions, count_a, count_b",
    [
        (5, 40, 70),
        (5, 6, 6),
        (5, 5, 6),
        (5, 5, 5),
        (20, 8, 50),
        (20, 50, 8),
        (40, 10, 15),
        (3, 2, 2),
        (1, 2, 2),
        (1, 2, 30),
        (1, 30, 20),
    ],
)
def test_features_are_at_the_distance_of_their_gaussians(dimensions, count_a, count_b, seed):
    random = numpy.random.default_rng(seed)
    a = random.normal(size=(count_a, dimensions))
    b = 1 + 2 * random.normal(size=(count_b, dimensions))
    found, pair = frechet_distance_between(a, b), (*fitted(a), *fitted(b))
    assert found == pytest.approx(frechet_distance(*pair), rel=1e-11)
    # The eigenvalues that should be 0 are roundings here, and their roots are counted.
    roundings = 2 * dimensions * math.sqrt(dimensions * EPSILON) * size(*pair)
    assert found == pytest.approx(by_eigenvalues(*pair), abs=roundings)


@pytest.mark.parametrize("dimensions, count", [(6, 50), (30, 10)])
def test_features_are_at_torchmetrics_distance(dimensions, count):
    torch.manual_seed(0)
    a, b = torch.randn(count, dimensions), 0.5 + 1.5 * torch.randn(count + 3, dimensions)
    given = torch.nn.Identity()
    given.num_features = dimensions
    metric = FrechetInceptionDistance(feature=given)
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert frechet_distance_between(a, b) == pytest.approx(metric.compute().item(), rel=1e-4)


@pytest.mark.parametrize("dimensions, count", [(4, 30), (30, 7)])
def test_repeated_features(dimensions, count):
    random = numpy.random.default_rng(0)
    a, b = random.normal(size=(2, count, dimensions))
    twice = numpy.concatenate([a, a])
    exact = frechet_distance(*fitted(twice), *fitted(b))
    assert frechet_distance_between(twice, b) == pytest.approx(exact, rel=1e-11)
    # Whatever the order of the rows, the same features are at no distance.
    assert frechet_distance_between(twice, numpy.repeat(a, 2, axis=0)) < 1e-12 * dimensions


@pytest.mark.parametrize("count", [2, 10])
def test_features_that_are_all_the_same(count):
    a, b = numpy.full((count, 3), 0.1), numpy.full((count, 3), 2.1)
    assert frechet_distance_between(a, b) == pytest.approx(12, rel=1e-14)
    assert frechet_distance_between(a, a) == 0


@pytest.mark.parametrize("dimensions, count", [(1, 2), (5, 80), (30, 12)])
def test_features_far_from_zero_lose_nothing(dimensions, count):
    random = numpy.random.default_rng(0)
    a, b = random.normal(size=(count, dimensions)), 1 + 2 * random.normal(size=(count, dimensions))
    # Features at 1e4 are themselves rounded to 1e-12.
    exact = frechet_distance_between(a, b)
    assert frechet_distance_between(a + 1e4, b + 1e4) == pytest.approx(exact, rel=1e-11)


def test_features_in_float32_are_taken_as_they_are():
    torch.manual_seed(0)
    a, b = torch.randn(30, 4), torch.randn(20, 4)
    exact = frechet_distance_between(a.double(), b.double())
    assert frechet_distance_between(a, b) == frechet_distance_between(a.numpy(), b.numpy()) == exact


# Moments


def precise(features):
    """Mean and covariance by numpy, in more digits than float64 where there are more."""
    mean, covariance = fitted(numpy.asarray(features).astype(numpy.longdouble))
    return mean.astype(float), covariance.astype(float)


def assert_moments(moments, features, digits=1e-13):
    """Right to `digits` of the deviations, beside what a mean far from 0 leaves out.

    A mean of size m is rounded by e = m EPSILON. Where groups of counts n have means d apart, that
    moves the scatter by the sum of n d e, so the covariance by at most e times the deviation
    (Cauchy and Schwarz), once for a group's own mean and once for that of all.
    """
    mean, covariance = precise(features)
    deviations = numpy.sqrt(numpy.diag(covariance))
    left_out = 2 * numpy.add.outer(deviations, deviations) * EPSILON * numpy.abs(mean).max()
    allowed = digits * numpy.outer(deviations, deviations) + left_out
    assert moments.count == len(features)
    numpy.testing.assert_allclose(moments.mean.numpy(), mean, rtol=1e-14, atol=1e-14)
    assert (numpy.abs(moments.covariance.numpy() - covariance) <= allowed).all()


def drawn(count, dimensions, seed=0, offset=0.0):
    random = numpy.random.default_rng(seed)
    mixing = random.normal(size=(dimensions, dimensions))
    return torch.tensor(offset + random.normal(size=(count, dimensions)) @ mixing)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(2, 60),
    st.integers(1, 5),
    st.lists(st.integers(1, 59), max_size=8),
    st.sampled_from([0.0, 1.0, 1e6]),
    seeds,
)
def test_batches_do_not_matter(count, dimensions, cuts, offset, seed):
    features = drawn(count, dimensions, seed, offset)
    moments = Moments(dimensions)
    for batch in features.tensor_split(sorted(cut for cut in set(cuts) if cut < count)):
        moments.update(batch)
    assert_moments(moments, features)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_examples_one_by_one(offset):
    features = drawn(200, 4, offset=offset)
    moments = Moments(4)
    for example in features.split(1):
        moments.update(example)
    assert_moments(moments, features)
    assert_moments(Moments.of(features), features)


def test_moments_are_of_float32_features_in_float64():
    features = drawn(50, 3).float()
    moments = Moments.of(features)
    assert moments.mean.dtype == moments.covariance.dtype == torch.float64
    assert_moments(moments, features)


def test_batches_far_apart():
    features = torch.cat([drawn(30, 3, 0), drawn(40, 3, 1, offset=1e8)])
    moments = Moments(3)
    for batch in features.split(7):
        moments.update(batch)
    assert_moments(moments, features)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([0.0, 1e6]), seeds)
def test_merged_moments_are_those_of_the_union(count_a, count_b, offset, seed):
    features = drawn(count_a + count_b, 3, seed, offset)
    a, b = features.split([count_a, count_b])
    there, back, whole = Moments.of(a), Moments.of(b), Moments.of(features)
    there.merge(Moments.of(b))
    back.merge(Moments.of(a))
    for merged in (there, back):
        assert_moments(merged, features)
    assert there.count == back.count == whole.count
    assert torch.equal(there.mean, back.mean)
    torch.testing.assert_close(there.scatter, back.scatter, rtol=1e-14, atol=0)


def test_merging_leaves_the_other_as_it_was():
    moments, other = Moments.of(drawn(5, 2, 0)), Moments.of(drawn(6, 2, 1))
    mean, scatter = other.mean.clone(), other.scatter.clone()
    moments.merge(other)
    moments.update(drawn(7, 2, 2))
    assert other.count == 6
    assert torch.equal(other.mean, mean) and torch.equal(other.scatter, scatter)


def test_merging_with_nothing_seen():
    features = drawn(9, 3)
    seen, fresh = Moments.of(features), Moments(3)
    seen.merge(Moments(3))
    fresh.merge(Moments.of(features))
    assert_moments(seen, features)
    assert_moments(fresh, features)
    nothing = Moments(3)
    nothing.merge(Moments(3))
    assert nothing.count == 0
    assert torch.equal(nothing.mean, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        (torch.tensor([[1.0, 2.0], [math.nan, 0.0]]), "row 1 has a value that is not finite"),
        (torch.tensor([[math.inf, 2.0]]), "row 0 has a value that is not finite"),
        (torch.zeros(4, 3), "features of 3 dimensions: expected 2"),
        (torch.zeros(2), r"features of shape \(2,\): expected \(count, dimensions\)"),
        (torch.zeros(0, 2), "features: 0 examples, expected 1 or more"),
        (torch.tensor([[0.0, 1e160]], dtype=torch.float64), "features of size 1e.160: expected up"),
    ],
)
def test_a_batch_that_is_refused_changes_nothing(wrong, complaint):
    features = drawn(10, 2)
    moments = Moments.of(features)
    mean, scatter = moments.mean.clone(), moments.scatter.clone()
    with pytest.raises(ValueError, match=complaint):
        moments.update(wrong)
    assert moments.count == 10
    assert torch.equal(moments.mean, mean) and torch.equal(moments.scatter, scatter)


def test_moments_of_other_dimensions_are_not_merged():
    moments = Moments.of(drawn(10, 2))
    with pytest.raises(ValueError, match="moments of 3 dimensions: expected 2"):
        moments.merge(Moments(3))
    assert moments.count == 10


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_examples_have_no_covariance(count):
    moments = Moments(2)
    for example in drawn(2, 2).split(1)[:count]:
        moments.update(example)
    with pytest.raises(ValueError, match=f"a covariance of {count} examples: expected 2 or more"):
        _ = moments.covariance


def test_features_too_small_to_be_squared_have_no_covariance():
    moments = Moments.of(drawn(5, 2) * 1e-170)
    with pytest.raises(ValueError, match="a covariance of features of size .*e-1.*: expected"):
        _ = moments.covariance
    moments.merge(Moments.of(drawn(5, 2)))
    assert torch.isfinite(moments.covariance).all()
    assert (Moments.of(torch.zeros(3, 2)).covariance == 0).all()


@pytest.mark.parametrize("dimensions", [0, -1, 2.0, True, "2"])
def test_moments_of_no_dimensions_are_refused(dimensions):
    with pytest.raises(ValueError, match="dimensions=.*expected a whole number, 1 or more"):
        Moments(dimensions)


def test_moments_hold_no_graph_and_no_batch():
    features = drawn(5, 2).requires_grad_()
    moments = Moments.of(features)
    assert not moments.mean.requires_grad and not moments.scatter.requires_grad
    mean = moments.mean.clone()
    with torch.no_grad():
        features += 1
    assert torch.equal(moments.mean, mean)


# Each process has examples of its own, as many as its rank's entry of shares.
REDUCED = """
import sys
import torch
import torch.distributed as distributed
from ganlib.metrics import Moments

distributed.init_process_group("gloo")
rank, calls, all_reduce = distributed.get_rank(), [], distributed.all_reduce
distributed.all_reduce = lambda *given, **named: calls.append(1) or all_reduce(*given, **named)
features = torch.load({features!r}).split({shares!r})[rank]
moments = Moments(features.shape[1])
for batch in features.split(4):
    if len(batch):
        moments.update(batch)
moments.all_reduce()
state = [moments.count, len(calls), moments.mean, moments.scatter]
torch.save(state, {features!r} + str(rank))
distributed.destroy_process_group()
"""


@pytest.mark.parametrize("shares", [[13, 7], [9, 0, 21]])
def test_processes_gather_what_one_would(shares, tmp_path):
    features, path = drawn(sum(shares), 3, offset=1e6), tmp_path / "features"
    torch.save(features, path)
    script = tmp_path / "script.py"
    script.write_text(REDUCED.format(features=str(path), shares=shares))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={len(shares)}", str(script)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    for rank in range(len(shares)):
        moments = Moments(3)
        moments.count, calls, moments.mean, moments.scatter = torch.load(f"{path}{rank}")
        assert calls == 1
        assert_moments(moments, features)


def test_one_process_alone_reduces_nothing(monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", None)
    features = drawn(10, 2)
    moments = Moments.of(features)
    moments.all_reduce()
    assert_moments(moments, features)
