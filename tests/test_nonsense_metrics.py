"""Nonsense, and what is nearly right, fed to all that judges: it refuses in a sentence or answers.

An answer has the type that is promised and lies within its bounds.
"""

import math

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nonsense import anything, feed, numbers, tensors, things

from ganlib import disturbances, divergences, metrics
from ganlib.datasets import gaussian_grid, gaussian_ring, mixture, mixture_1d

pytestmark = pytest.mark.usefixtures("one_thread")

fed = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])

# Of what is added up in an answer, as a share of its bound.
ROUNDING = 1e-9
SCALES = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1e-5, 1e8, 1e30, 1e-200, 1e200, 1e-320, 1e307)


def mostly(right, wrong=anything):
    """What is right, or now and then something else."""
    return st.integers(0, 5).flatmap(lambda pick: right if pick else wrong)


def in_a_form(values):
    """As a tensor of some type, an array that may run backwards, or nested lists."""
    array = values.numpy()
    return st.sampled_from(
        [
            values,
            values,
            values.float(),
            values.bfloat16(),
            array,
            values.float().numpy(),
            numpy.flip(numpy.flip(array).copy()),
            array.tolist(),
        ]
    )


UP_TO_TWELVE, MOSTLY_TWO = st.integers(0, 12), st.sampled_from([2, 2, 2, 0, 1, 3])
TABLE_SHAPES = st.sampled_from([(3,), (3,), (2, 3), (1,), (4, 1, 3), (0, 3), ()])
ONE_OR_THREE = st.sampled_from([1, 1, 3])


@st.composite
def matrices(draw, counts=UP_TO_TWELVE, dimensions=MOSTLY_TWO):
    """Rows of numbers of any size, whole or not, some of them repeated or equal."""
    count, size = draw(counts), draw(dimensions)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    values = torch.randn(count, size, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        values = values.round()
    values = values * draw(st.sampled_from(SCALES)) + draw(st.sampled_from([0.0, 0.0, 1e9]))
    if count and draw(st.integers(0, 4)) == 0:
        values[0] *= draw(st.sampled_from([1e12, 0.0, 1e-200]))
    return draw(in_a_form(values))


@st.composite
def tables(draw, shapes=TABLE_SHAPES):
    """Probabilities over a last axis, some of them 0 or next to nothing."""
    shape = draw(shapes)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    values = torch.rand(shape, generator=generator, dtype=torch.float64) + 1e-3
    if values.numel():
        values.view(-1)[0] *= draw(st.sampled_from([1.0, 0.0, 1e-323, 1e-30]))
    return draw(in_a_form(values / values.sum(-1 if shape else 0, keepdim=True)))


@st.composite
def pictures(draw, channels=ONE_OR_THREE):
    """A few small images, in the range of images or a little beyond."""
    shape = (
        draw(mostly(st.integers(1, 3), st.just(0))),
        draw(channels),
        *draw(st.sampled_from([(4, 4), (1, 3)])),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    values = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    values = values * draw(st.sampled_from([1.0] * 6 + [1.01]))
    return draw(mostly(st.sampled_from([values, values.float()]), in_a_form(values)))


levels = mostly(st.floats(0, 1), numbers)
few = mostly(st.integers(1, 4), things)
matrix = mostly(matrices())
matched = mostly(matrices(st.integers(8, 12), st.just(2)))
chances = mostly(tables(st.just((6, 3))))
table = mostly(tables())
picture = mostly(pictures(), tensors())


def as_tensor(values):
    return values if isinstance(values, torch.Tensor) else torch.as_tensor(numpy.array(values))


def is_share(value):
    return type(value) is float and 0 <= value <= 1


def is_distance(value):
    return type(value) is float and 0 <= value < math.inf


# Divergences


@fed
@given(table, table, mostly(st.just(1.0), st.one_of(tables(), anything)))
def test_divergences_are_within_their_bounds(p, q, cells):
    tolerance = 1e-5 if cells is None or not numpy.ndim(cells) else 3e-3
    for divergence, most in (
        (divergences.kullback_leibler, math.inf),
        (divergences.jensen_shannon, math.log(2)),
        (divergences.total_variation, 1),
    ):
        found = feed(divergence, p, q, cells)
        if found is not None:
            shapes = (as_tensor(side).shape[:-1] for side in (p, q))
            assert (found.dtype, found.shape) == (torch.float64, torch.broadcast_shapes(*shapes))
            assert ((found >= -tolerance) & (found <= most + tolerance)).all()


@fed
@given(mostly(st.floats(-5, 1), things), mostly(st.floats(0, 5), things), mostly(st.integers(2, 9)))
def test_a_grid_lies_between_its_ends(low, high, points):
    found = feed(divergences.grid, low, high, points)
    if found is not None:
        x, cells = found
        assert x.shape == cells.shape == (points,) and x.dtype == cells.dtype == torch.float64
        assert x.min() == low and x.max() == high and (cells > 0).all()
        assert cells.sum().item() == pytest.approx(high - low)


# Disturbances


WAYS = [
    disturbances.gaussian_noise,
    disturbances.blur,
    disturbances.rectangles,
    disturbances.swirl,
    disturbances.salt_and_pepper,
]


@fed
@given(st.sampled_from(WAYS), picture, mostly(levels, things))
def test_disturbed_images_are_images(way, images, level):
    are_images(feed(way, images, level), images)


@fed
@given(picture, mostly(levels, things), mostly(levels, things), few)
def test_swirls_and_rectangles_of_any_extent_are_images(images, level, radius, count):
    are_images(feed(disturbances.swirl, images, level, radius), images)
    are_images(feed(disturbances.rectangles, images, level, None, count), images)


@fed
@given(picture, picture, mostly(levels, things))
def test_contaminated_images_are_images(images, others, share):
    are_images(feed(disturbances.contaminate, images, others, share), images)


def are_images(found, images):
    if found is not None:
        assert (found.shape, found.dtype) == (images.shape, images.dtype)
        assert torch.isfinite(found).all() and found.abs().max() <= 1 + 1e-4


# Mixtures


@fed
@given(
    mostly(matrices(st.integers(1, 3))),
    mostly(st.floats(0.1, 2), matrices(st.sampled_from([1, 2, 3]))),
    st.none() | mostly(st.lists(st.floats(0, 3), max_size=3)),
    mostly(st.sampled_from([(), (3,), (2, 0)]), st.just((1, 2))),
)
def test_samples_of_a_mixture_are_of_its_size(means, scale, weights, shape):
    made = feed(mixture, means, scale, weights)
    if made is not None:
        samples = made.sample(shape)
        assert samples.shape == (*shape, *as_tensor(means).shape[1:])
        shares = made.mixture_distribution.probs
        assert shares.sum().item() == pytest.approx(1, abs=2.0**-6) and (shares >= 0).all()
        assert not samples.isnan().any()


lists = mostly(st.lists(st.floats(0.1, 3), min_size=2, max_size=2))


@fed
@given(lists, lists, lists)
def test_samples_of_a_mixture_on_the_line_are_finite(means, scales, weights):
    made = feed(mixture_1d, means, scales, weights)
    if made is not None:
        assert made.sample((4,)).shape == (4, 1) and torch.isfinite(made.sample((4,))).all()


@fed
@given(few, mostly(st.floats(0.1, 3), things), mostly(st.floats(0.1, 3), things))
def test_rings_and_grids_have_so_many_modes(modes, size, scale):
    for made, count in (
        (feed(gaussian_ring, modes, size, scale), lambda: modes),
        (feed(gaussian_grid, modes, size, scale), lambda: modes**2),
    ):
        if made is not None:
            assert made.component_distribution.mean.shape == (count(), 2)
            assert torch.isfinite(made.sample((3,))).all()


# Metrics of features


@fed
@given(matrix, matrix)
def test_distances_of_features_are_finite_and_not_negative(a, b):
    found = feed(metrics.frechet_distance_between, a, b)
    assert found is None or is_distance(found)
    found = feed(metrics.kernel_distance, a, b)
    assert found is None or (type(found) is float and math.isfinite(found))


@fed
@given(matrix, matrix, few, few)
def test_estimates_by_subsets_are_as_many(a, b, subsets, size):
    found = feed(metrics.kernel_distance, a, b, subsets, size)
    if isinstance(found, torch.Tensor):
        assert found.shape == (subsets,) and torch.isfinite(found).all()


@fed
@given(matched | matrix, matched | matrix, few)
def test_manifolds_are_shares(real, fake, k):
    found = feed(metrics.precision_recall, real, fake, k)
    if found is not None:
        assert is_share(found.precision) and is_share(found.recall)
        assert (
            metrics.precision_recall(as_tensor(real).flip(0), as_tensor(fake).flip(0), k) == found
        )
    found = feed(metrics.density_coverage, real, fake, k)
    if found is not None:
        assert type(found.density) is float and is_share(found.coverage)
        assert 0 <= found.density <= len(real) / k
        assert (found.density > 0) == (found.coverage > 0)


@fed
@given(matrix, matrix, few)
def test_neighbours_are_the_nearest(queries, references, block):
    found = feed(metrics.nearest_neighbours, queries, references, block)
    if found is not None:
        distances, indices = found
        assert distances.shape == indices.shape == (len(queries),)
        assert torch.isfinite(distances).all() and (distances >= 0).all()
        exact = by_differences(as_tensor(queries), as_tensor(references))
        chosen = exact.gather(1, indices[:, None])[:, 0]
        assert (chosen == exact.min(1).values).all()
        torch.testing.assert_close(
            distances.double(), chosen, rtol=4 * torch.finfo(distances.dtype).eps, atol=1e-320
        )


def by_differences(queries, references):
    """All distances; numpy's `hypot` neither underflows nor overflows."""
    a, b = (side.double().reshape(len(side), -1).numpy() for side in (queries, references))
    apart = numpy.abs(a[:, None] - b[None])
    return torch.tensor(numpy.hypot.reduce(apart, axis=2, initial=0.0))


@fed
@given(matrix, matrix, mostly(st.floats(0.1, 3) | st.lists(st.floats(0.1, 3), max_size=2)), few)
def test_parzen_densities_are_finite(samples, points, bandwidth, block):
    found = feed(metrics.parzen_log_likelihood, samples, points, bandwidth, block)
    if found is not None:
        assert found.shape == (*numpy.shape(bandwidth), len(points))
        assert found.dtype == torch.float64 and torch.isfinite(found).all()


@settings(fed, max_examples=60)
@given(matched, matched, few, mostly(st.integers(1, 2), things))
def test_two_sample_tests_are_chances(a, b, seed, rounds):
    found = feed(metrics.classifier_two_sample_test, a, b, seed, rounds)
    if found is not None:
        assert is_share(found.accuracy) and is_share(found.p_value)
        assert found.held_out == min(len(a), len(b)) // 2 * 2


@fed
@given(mostly(st.just(2), things), st.lists(matrix, max_size=3), mostly(matrices(), things))
def test_moments_are_of_what_was_taken_in(dimensions, batches, others):
    moments = feed(metrics.Moments, dimensions)
    if moments is None:
        return
    for batch in batches:
        before = moments.count
        feed(moments.update, batch)
        assert moments.count == before or moments.count == before + len(batch)
    other = feed(metrics.Moments.of, others)
    feed(moments.merge, other)
    assert torch.isfinite(moments.mean).all()
    covariance = feed(lambda: moments.covariance)
    if covariance is not None:
        assert torch.isfinite(covariance).all() and (covariance.diagonal() >= 0).all()


means = mostly(tensors(st.just((2,))))


@st.composite
def covariances(draw):
    root = as_tensor(draw(matrices(st.integers(1, 3), st.just(2)))).double()
    return draw(in_a_form(root.T @ root))


@fed
@given(means, mostly(covariances()), means, mostly(covariances()))
def test_gaussians_are_at_a_distance(mean_a, covariance_a, mean_b, covariance_b):
    found = feed(metrics.frechet_distance, mean_a, covariance_a, mean_b, covariance_b)
    assert found is None or is_distance(found)


# Classes and modes


@fed
@given(mostly(tables(st.sampled_from([(4, 3), (1, 3), (3, 1), (0, 3), (3,)]))), st.none() | few)
def test_scores_are_between_one_and_the_number_of_classes(probabilities, splits):
    found = feed(metrics.inception_score, probabilities, splits)
    if found is not None:
        assert type(found) is float if splits is None else found.shape == (splits,)
        # Rows add up to 1 within 1e-4.
        most = numpy.shape(probabilities)[1] ** 1.0001 + ROUNDING
        assert ((torch.as_tensor(found) >= 1) & (torch.as_tensor(found) <= most)).all()


modes = st.lists(st.integers(0, 3), max_size=6).flatmap(
    lambda chosen: st.sampled_from([chosen, torch.tensor(chosen), numpy.array(chosen, "uint16")])
)


@fed
@given(mostly(modes), mostly(tables(st.sampled_from([(4,), (4,), (2,), (2, 2)]))), mostly(modes))
def test_statistics_of_modes_are_counts_and_shares(assigned, weights, good):
    for high_quality in (None, feed(lambda: [mode > 1 for mode in assigned]), good):
        found = feed(metrics.mode_statistics, assigned, weights, high_quality)
        if found is not None:
            assert int(found.counts.sum()) == len(assigned)
            assert 0 <= found.covered <= len(found.counts) and is_share(found.high_quality)
            assert type(found.divergence) is float and found.divergence >= -1e-5


@fed
@given(matrix, mostly(st.just(gaussian_ring()), things), mostly(st.floats(0, 4), things))
def test_every_sample_has_a_mode(samples, truth, deviations):
    found = feed(metrics.mixture_modes, samples, truth, deviations)
    if found is not None:
        assigned, good = found
        assert assigned.shape == good.shape == (len(samples),)
        assert (assigned.dtype, good.dtype) == (torch.int64, torch.bool)
        assert ((assigned >= 0) & (assigned < 8)).all()


answers = mostly(tensors(st.just((2, 10))) | tensors(st.tuples(st.integers(0, 3), st.just(10))))


@fed
@given(mostly(pictures(st.just(3))), answers)
def test_every_stack_has_a_mode(images, answer):
    found = feed(metrics.stacked_modes, images, lambda digits: answer)
    if found is not None:
        assert found.dtype == torch.int64 and found.shape == (len(images),)
        assert ((found >= 0) & (found < 1000)).all()


@fed
@given(mostly(modes))
def test_weights_of_stacks_are_probabilities(labels):
    found = feed(metrics.stacked_weights, labels)
    if found is not None:
        assert found.shape == (1000,) and found.sum().item() == pytest.approx(1)


# Extractors and the report


@fed
@given(picture | mostly(pictures()), few, anything, st.integers(0, 5))
def test_features_are_finite_rows(images, batch_size, wrong, pick):
    def extractor(part):
        pixels = part.flatten(1)
        return [(pixels, pixels.softmax(1)), wrong, (pixels, wrong)][max(0, pick - 3)]

    found = feed(metrics.extract, extractor, images, batch_size)
    if found is not None:
        for side in found:
            assert side.dtype == torch.float32 and len(side) == len(images)
            assert torch.isfinite(side).all()


@fed
@given(things | tensors())
def test_what_is_no_network_makes_no_extractor(wrong):
    assert feed(metrics.classifier_features, wrong) is None
    if not isinstance(wrong, str | dict):
        assert feed(metrics.inception_features, wrong) is None


@settings(fed, max_examples=60)
@given(matched, chances, matched, chances, few)
def test_a_report_is_of_finite_figures(real, of_real, fake, of_fake, k):
    found = feed(metrics.judge, metrics.Features(real, of_real), metrics.Features(fake, of_fake), k)
    assert found is None or all(math.isfinite(figure) for figure in found)
    assert feed(metrics.judge, (real, of_real), (fake, of_fake), k) is None
