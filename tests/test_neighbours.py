"""What nearest neighbours tell against brute force in numpy; and the report of all figures."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ganlib.metrics import (
    Features,
    density_coverage,
    frechet_distance_between,
    inception_score,
    judge,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)

pytestmark = pytest.mark.usefixtures("one_thread")

small_integers = st.integers(-5, 5).map(float)
few_integers = st.integers(-2, 2).map(float)


def brute_force_distances(queries, references):
    flat = queries.reshape(len(queries), 1, -1) - references.reshape(1, len(references), -1)
    return numpy.sqrt((flat**2).sum(2))


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


def test_copies_far_from_the_origin_are_found():
    references = 1000 + 0.1 * torch.randn(500, 100, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest_neighbours(references[:50], references)
    assert (distances == 0).all() and torch.equal(indices, torch.arange(50))


@pytest.mark.parametrize("dtype, place, step", [("float32", 100, 1e-5), ("float64", 1e8, 1e-7)])
@pytest.mark.parametrize("groups", [1, 7])
def test_copies_in_tight_groups_far_apart_are_found(dtype, place, step, groups):
    # Neighbours within a group differ in a few of the last bits, which a matrix product rounds off.
    random = numpy.random.default_rng(0)
    centres = place * random.normal(size=(groups, 30))
    references = centres[random.integers(groups, size=400)] + step * random.normal(size=(400, 30))
    references = torch.tensor(references.astype(dtype))
    assert len(references.unique(dim=0)) == 400
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest_neighbours(references[order], references)
    assert (distances == 0).all() and torch.equal(indices, order)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("direction", [-1, 1])
def test_neighbours_at_the_ends_of_the_range_are_those_at_one(dtype, direction):
    generator = torch.Generator().manual_seed(0)
    queries, references = (
        torch.randn(count, 5, generator=generator, dtype=dtype) for count in (9, 40)
    )
    distances, indices = nearest_neighbours(queries, references)
    factor = 2.0 ** (direction * (100 if dtype == torch.float32 else 1000))
    found, found_indices = nearest_neighbours(queries * factor, references * factor)
    assert torch.equal(found_indices, indices) and torch.equal(found, distances * factor)


def test_neighbours_of_sizes_far_apart_are_found():
    references = torch.tensor([[1.0], [0.0], [1e-200], [1e-250]], dtype=torch.float64)
    distances, indices = nearest_neighbours(references, references)
    assert indices.tolist() == [0, 1, 2, 3] and (distances == 0).all()
    distances, indices = nearest_neighbours([[2e-200]], references)
    assert (distances.item(), indices.item()) == (1e-200, 2)


def test_a_distance_beyond_the_range_is_refused():
    with pytest.raises(ValueError, match="a distance is too large for torch.float32"):
        nearest_neighbours(torch.tensor([[3e38]]), torch.tensor([[-3e38]]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["queries", "references"])
def test_neighbours_of_what_is_not_finite_are_refused(value, name):
    sets = {"queries": torch.zeros(6, 1, 2), "references": torch.ones(7, 1, 2)}
    sets[name][3, 0, 1] = value
    with pytest.raises(ValueError, match=f"{name}: row 3 has a value that is not finite"):
        nearest_neighbours(**sets)


def test_examples_may_be_single_numbers():
    distances, indices = nearest_neighbours([1.0, 8.0], [0.0, 2.5, 7.0])
    assert distances.tolist() == [1, 1] and indices.tolist() == [0, 2]


def test_whole_numbers_beyond_32_bits_of_float_have_their_own_neighbours():
    references = 2**24 + torch.arange(5)[:, None]
    distances, indices = nearest_neighbours(references, references)
    assert indices.tolist() == list(range(5)) and (distances == 0).all()
    assert nearest_neighbours(references.byte(), references.byte())[0].dtype == torch.float32


@pytest.mark.parametrize("block", [0, 2.0, True])
def test_a_block_that_is_no_number_of_rows_is_refused(block):
    with pytest.raises(ValueError, match="block=.*expected a whole number, 1 or more"):
        nearest_neighbours(torch.zeros(3, 2), torch.zeros(3, 2), block)


# Precision and recall, density and coverage


def squared_distances(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(2)


def balls_around(real, points, k):
    """Which balls, by column, hold which points, by row; each to its centre's k-th neighbour."""
    radii = numpy.sort(squared_distances(real, real), axis=1)[:, k]
    return squared_distances(points, real) <= radii


def by_brute_force(real, fake, k):
    """Precision, recall, density and coverage."""
    inside, outside = balls_around(real, fake, k), balls_around(fake, real, k)
    return (
        inside.any(1).mean(),
        outside.any(1).mean(),
        inside.sum(1).mean() / k,
        inside.any(0).mean(),
    )


def by_loops(real, fake, k):
    def squared(x, y):
        return sum((u - v) ** 2 for u, v in zip(x, y, strict=True))

    def within(points, centres):
        table = []
        for point in points:
            row = []
            for i, centre in enumerate(centres):
                others = sorted(squared(centre, c) for j, c in enumerate(centres) if j != i)
                row.append(squared(point, centre) <= others[k - 1])
            table.append(row)
        return table

    inside, outside = within(fake, real), within(real, fake)
    return (
        sum(map(any, inside)) / len(fake),
        sum(map(any, outside)) / len(real),
        sum(map(sum, inside)) / (k * len(fake)),
        sum(map(any, zip(*inside, strict=True))) / len(real),
    )


def found(real, fake, k):
    real, fake = torch.as_tensor(real), torch.as_tensor(fake)
    return (*precision_recall(real, fake, k), *density_coverage(real, fake, k))


def drawn(count, dimensions, seed, offset=0.0):
    return offset + numpy.random.default_rng(seed).normal(size=(count, dimensions))


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.sampled_from([0.0, 1e6]))
def test_manifolds_with_ties(data, k, dimensions, offset):
    real, fake = (
        data.draw(arrays(float, (data.draw(st.integers(k + 1, 12)), dimensions), elements=few))
        for few in (few_integers, few_integers)
    )
    exact = by_loops(real.tolist(), fake.tolist(), k)
    assert exact == pytest.approx(by_brute_force(real, fake, k), abs=1e-15)
    assert found(real + offset, fake + offset, k) == pytest.approx(exact, abs=1e-15)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("dimensions", [1, 2, 20])
def test_manifolds_are_those_of_brute_force(k, dimensions):
    real, fake = drawn(40, dimensions, 0), drawn(60, dimensions, 1, offset=0.5)
    assert found(real, fake, k) == pytest.approx(by_brute_force(real, fake, k), abs=1e-15)


@pytest.mark.parametrize("counts", [(1003, 999), (1000, 1001), (50, 2001)])
def test_more_rows_than_a_block(counts):
    real, fake = drawn(counts[0], 4, 0), drawn(counts[1], 4, 1, offset=1.0)
    exact = by_brute_force(real, fake, 3)
    assert all(0 < share < 1 for share in exact), "the test says something"
    assert found(real, fake, 3) == pytest.approx(exact, abs=1e-14)


def test_whole_numbers_in_more_rows_than_a_block():
    random = numpy.random.default_rng(0)
    real, fake = (random.integers(-4, 5, size=(count, 3)).astype(float) for count in (1003, 1100))
    fake += [3, 0, 0]
    assert found(real, fake, 5) == pytest.approx(by_brute_force(real, fake, 5), abs=1e-14)


def test_a_case_by_hand():
    real, fake = torch.tensor([[0.0], [1.0], [3.0], [10.0]]), torch.tensor([[2.0], [-1.0], [30.0]])
    # Balls around the real: 0 ± 1, 1 ± 1, 3 ± 2, 10 ± 7. Around the fakes: 2 ± 3, -1 ± 3, 30 ± 28.
    assert precision_recall(real, fake, k=1) == pytest.approx((2 / 3, 1))
    assert density_coverage(real, fake, k=1) == pytest.approx((3 / 3, 3 / 4))
    assert precision_recall(real, fake, k=1) == (2 / 3, 1)


@pytest.mark.parametrize("dimensions", [2, 30])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_copies_of_all_data_are_as_good_as_data(dimensions, k):
    real = drawn(50, dimensions, 0)
    shuffled = numpy.random.default_rng(1).permutation(real)
    for fake in (real.copy(), shuffled):
        assert precision_recall(torch.tensor(real), torch.tensor(fake), k) == (1, 1)
        density, coverage = density_coverage(torch.tensor(real), torch.tensor(fake), k)
        assert coverage == 1
        # A ball holds its centre and the k nearest: the k-th, on its edge, is inside.
        assert density == pytest.approx((k + 1) / k, rel=1e-14)


def test_sets_far_apart_share_nothing():
    assert found(drawn(20, 3, 0), drawn(30, 3, 1, offset=1000), 3) == (0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 3])
def test_a_generator_collapsed_onto_one_example(seed, k):
    real = drawn(50, 16, seed)
    fake = numpy.repeat(real[[7]], 20, axis=0)
    exact = by_brute_force(real, fake, k)
    assert exact[:2] == (1, 1 / 50), "precise, and all but blind"
    assert found(real, fake, k) == pytest.approx(exact, abs=1e-14)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 3])
def test_a_generator_that_repeats_some_examples(seed, k):
    real = drawn(50, 16, seed)
    fake = numpy.repeat(real[:10], 5, axis=0)
    assert found(real, fake, k) == pytest.approx(by_brute_force(real, fake, k), abs=1e-14)


def test_data_that_repeat():
    real, fake = numpy.repeat(drawn(10, 16, 0), 5, axis=0), drawn(50, 16, 0)
    assert found(real, fake, 3) == pytest.approx(by_brute_force(real, fake, 3), abs=1e-14)


def test_one_outlier_lifts_precision_and_not_density():
    """Naeem et al. (2020, figure 1): a single real example afar makes a ball over many fakes."""
    real = numpy.concatenate([drawn(100, 2, 0), [[100.0, 0.0]]])
    fake = drawn(50, 2, 1) + [60, 0]
    assert precision_recall(torch.tensor(real), torch.tensor(fake), 5).precision == 1
    assert density_coverage(torch.tensor(real), torch.tensor(fake), 5).density == 1 / 5


@pytest.mark.parametrize("k", [1, 3])
def test_recall_is_precision_with_the_roles_exchanged(k):
    a, b = torch.tensor(drawn(40, 3, 0)), torch.tensor(drawn(30, 3, 1, offset=1.0))
    there, back = precision_recall(a, b, k), precision_recall(b, a, k)
    assert (there.precision, there.recall) == (back.recall, back.precision)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(0, 2**32 - 2), st.floats(0.01, 100))
def test_shifts_rotations_scales_and_orders_do_not_matter(dimensions, seed, scale):
    real, fake = drawn(15, dimensions, seed), drawn(12, dimensions, seed + 1, offset=0.5)
    exact = found(real, fake, 3)
    basis = numpy.linalg.qr(drawn(dimensions, dimensions, seed))[0]
    shift = numpy.linspace(-5, 1e3, dimensions)
    assert found(scale * (real @ basis + shift), scale * (fake @ basis + shift), 3) == exact
    assert found(real[::-1].copy(), fake[::-1].copy(), 3) == pytest.approx(exact, abs=1e-15)


def test_features_in_float32_far_from_zero():
    real, fake = (drawn(60, 8, seed, offset=1e4).astype("float32") for seed in (0, 1))
    exact = by_brute_force(real.astype(float), fake.astype(float), 3)
    assert found(real, fake, 3) == pytest.approx(exact, abs=1e-15)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e15])
def test_one_row_far_off_costs_nothing_wherever_it_stands(far):
    real, fake = drawn(40, 8, 0), drawn(50, 8, 1, offset=0.5)
    real[0] += far
    fake[3] -= far
    exact = by_brute_force(real, fake, 3)
    assert exact[2] > 0.1, "the test says something"
    shares = [found(numpy.roll(real, n, 0), numpy.roll(fake, 2 * n, 0), 3) for n in range(5)]
    assert len(set(shares)) == 1
    # Further off, a distance is itself rounded to more than what lies between.
    if far <= 1e9:
        assert shares[0] == pytest.approx(exact, abs=1e-15)


def test_two_tight_groups_far_apart_are_each_resolved():
    places = numpy.repeat([[0.0], [1e9]], 20, axis=0)
    real, fake = (places + 1e-3 * drawn(40, 8, seed) for seed in (0, 1))
    exact = by_brute_force(real, fake, 3)
    assert 0.1 < exact[3] < 1
    assert found(real, fake, 3) == found(real[::-1].copy(), fake[::-1].copy(), 3) == exact


@pytest.mark.parametrize("power", [-1000, -600, 600, 1000])
def test_the_ends_of_the_range_change_no_share(power):
    real, fake = drawn(30, 4, 0), drawn(30, 4, 1, offset=0.5)
    assert found(real * 2.0**power, fake * 2.0**power, 3) == found(real, fake, 3)


def test_sizes_that_no_float_holds_side_by_side_are_refused():
    real = torch.tensor([[1e300], [0.0], [1e-300]], dtype=torch.float64)
    with pytest.raises(ValueError, match="expected features of one size"):
        precision_recall(real, real, 1)


def test_the_default_neighbours():
    real, fake = torch.tensor(drawn(40, 3, 0)), torch.tensor(drawn(30, 3, 1, offset=1.0))
    assert precision_recall(real, fake) == precision_recall(real, fake, 3)
    assert density_coverage(real, fake) == density_coverage(real, fake, 5)
    assert precision_recall(real, fake, 3) != precision_recall(real, fake, 5)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
@pytest.mark.parametrize("k", [0, -1, 2.0, True])
def test_no_neighbours_are_refused(metric, k):
    with pytest.raises(ValueError, match=f"k={k}: expected a whole number, 1 or more"):
        metric(torch.zeros(6, 2), torch.zeros(6, 2), k)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
@pytest.mark.parametrize("name", ["real", "fake"])
@pytest.mark.parametrize(
    "wrong, complaint",
    [
        (torch.zeros(6), r" of shape \(6,\): expected \(count, dimensions\)"),
        (torch.zeros(3, 2), ": 3 examples, expected 4 or more"),
        (torch.tensor([[0.0, 0.0]] * 4 + [[0.0, math.nan]]), ": row 4 has a value that is not fin"),
    ],
)
def test_what_are_no_features_is_named(metric, name, wrong, complaint):
    sets = {"real": torch.zeros(6, 2), "fake": torch.zeros(6, 2), name: wrong}
    with pytest.raises(ValueError, match=name + complaint):
        metric(sets["real"], sets["fake"], 3)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_features_of_other_dimensions_are_named(metric):
    with pytest.raises(ValueError, match="real have 2 dimensions and fake 3: expected as many"):
        metric(torch.zeros(6, 2), torch.zeros(6, 3), 3)


# The report


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("dimensions", [4, 60])
def test_the_report_is_each_figure_alone(dimensions, k):
    draws = torch.Generator().manual_seed(0)
    real, fake = (
        Features(
            torch.randn(40, dimensions, generator=draws),
            torch.randn(40, 10, generator=draws).softmax(1),
        )
        for _ in range(2)
    )
    assert judge(real, fake, k)._asdict() == {
        "inception_score": inception_score(fake.probabilities),
        "frechet_distance": frechet_distance_between(real.vectors, fake.vectors),
        "kernel_distance": kernel_distance(real.vectors, fake.vectors),
        **precision_recall(real.vectors, fake.vectors, k)._asdict(),
        **density_coverage(real.vectors, fake.vectors, k)._asdict(),
    }
    assert judge(real, fake) == judge(real, fake, 5)
