"""The Inception Score and the kernel distance against loops, torchmetrics and expectations."""

import itertools
import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from ganlib.metrics import inception_score, kernel_distance, scores

pytestmark = pytest.mark.usefixtures("one_thread")

# Rounding of a sum of at most a few thousand terms of size 1, or of K log K below 100.
ROUNDING = 1e-13


def tables(count, classes, seed=0):
    logits = 2 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))
    return logits.double().softmax(1)


def score_by_loops(p):
    marginal = [math.fsum(column) / len(p) for column in zip(*p, strict=True)]
    divergences = [
        math.fsum(q * math.log(q / m) for q, m in zip(row, marginal, strict=True) if q) for row in p
    ]
    return math.exp(math.fsum(divergences) / len(p))


# The Inception Score


@pytest.mark.parametrize("count, classes", [(1, 4), (2, 2), (50, 10), (7, 30)])
def test_the_score_is_the_loop_over_divergences(count, classes):
    p = tables(count, classes)
    assert inception_score(p) == pytest.approx(score_by_loops(p.tolist()), rel=ROUNDING)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save")
@pytest.mark.filterwarnings("ignore:std.* degrees of freedom")
def test_the_score_is_torchmetrics():
    logits = 2 * torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
    metric = InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.update(logits)
    exact = metric.compute()[0].item()
    assert inception_score(logits.softmax(1)) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("classes", [1, 2, 10, 1008])
def test_certain_and_balanced_examples_score_the_number_of_classes(classes):
    p = torch.eye(classes).repeat(3, 1)
    assert inception_score(p) == pytest.approx(classes, rel=ROUNDING)


@pytest.mark.parametrize("count", [1, 2, 17])
def test_examples_that_are_all_alike_score_one(count):
    assert inception_score(tables(1, 6).repeat(count, 1)) == pytest.approx(1, abs=ROUNDING)
    assert inception_score(torch.eye(6)[[2] * count]) == 1


def test_entropy_is_log_of_the_number_of_equal_choices_and_0_for_certainty():
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0, 0, 1, 0]]).double()
    assert scores.entropy(p).tolist() == pytest.approx([math.log(4), math.log(2), 0])


def test_certain_examples_score_the_exponential_of_their_entropy():
    p = torch.eye(3)[[0, 0, 0, 0, 1, 1, 2, 2]]
    assert inception_score(p) == pytest.approx(2 ** (0.5 * 1 + 0.5 * 2), rel=ROUNDING)


def stochastic(weights):
    weights[weights.sum(1) == 0] = 1
    rows = torch.tensor(weights / weights.max(1, keepdims=True))
    return rows / rows.sum(1, keepdim=True)


@settings(deadline=None)
@given(
    arrays(
        float,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0.0, 1e-300, 1e-9, 1.0]) | st.floats(0, 1),
    )
)
def test_a_score_is_between_one_and_the_number_of_classes(weights):
    p = stochastic(weights)
    score = inception_score(p)
    assert isinstance(score, float)
    assert 1 <= score <= p.shape[1] * (1 + ROUNDING)


def test_the_smallest_probability_that_there_is_counts_for_nothing():
    # Its share of the marginal is 0: half of the smallest number above 0.
    p = torch.tensor([[1, 5e-324], [1, 0]], dtype=torch.float64)
    assert inception_score(p) == pytest.approx(1, abs=ROUNDING)


def test_the_order_of_examples_does_not_matter():
    p = tables(40, 5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert inception_score(p[order]) == pytest.approx(inception_score(p), rel=ROUNDING)


@pytest.mark.parametrize("count, sizes", [(20, [5] * 4), (23, [6, 6, 6, 5]), (4, [1] * 4)])
def test_splits_are_scores_of_the_parts(count, sizes):
    p = tables(count, 6)
    scores = inception_score(p, splits=4)
    ends = list(itertools.accumulate(sizes))
    exact = [score_by_loops(p[end - n : end].tolist()) for end, n in zip(ends, sizes, strict=True)]
    assert scores.shape == (4,)
    assert scores.tolist() == pytest.approx(exact, rel=ROUNDING)


def test_one_split_is_the_whole():
    p = tables(20, 6)
    assert inception_score(p, splits=1).tolist() == [inception_score(p)]


def test_probabilities_in_float32_are_taken_as_they_are():
    p = tables(20, 6).float()
    assert inception_score(p) == inception_score(p.double()) == inception_score(p.numpy())


right = [0.5, 0.5]


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ([right, [1.5, -0.5]], "row 1 sums to 1 and its least entry is -0.5: expected rows"),
        ([[0.5, 0.6], right], r"row 0 sums to 1.1 and its least entry is 0.5: expected rows"),
        ([right, [0.0, 0.0]], "row 1 sums to 0 "),
        ([right, [math.nan, 1.0]], "row 1 has a value that is not finite"),
        ([right, [math.inf, 0.0]], "row 1 has a value that is not finite"),
        (right, r"probabilities of shape \(2,\): expected \(count, dimensions\)"),
        ([[right]], r"probabilities of shape \(1, 1, 2\): expected"),
    ],
)
@pytest.mark.parametrize("splits", [None, 1])
def test_what_are_no_probabilities_is_named(wrong, complaint, splits):
    with pytest.raises(ValueError, match=complaint):
        inception_score(torch.tensor(wrong), splits)


def test_no_examples_have_no_score():
    with pytest.raises(ValueError, match="probabilities: 0 examples, expected 1 or more"):
        inception_score(torch.zeros(0, 3))


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("splits", [0, -1, 5, True, 2.0])
def test_splits_that_cannot_be_made_are_named(count, splits):
    with pytest.raises(ValueError, match=f"splits={splits}|{count} examples, expected . or more"):
        inception_score(tables(count, 3), splits)


# The kernel distance


def kernel(x, y):
    return (numpy.dot(x, y) / len(x) + 1) ** 3


def distance_by_loops(a, b):
    def mean(first, second, pairs):
        return math.fsum(kernel(first[i], second[j]) for i, j in pairs) / len(pairs)

    within = [
        mean(x, x, [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)
    ]
    across = list(itertools.product(range(len(a)), range(len(b))))
    return sum(within) - 2 * mean(a, b, across)


def drawn(count, dimensions, seed, offset=0.0):
    return offset + numpy.random.default_rng(seed).normal(size=(count, dimensions))


@pytest.mark.parametrize("count_a, count_b, dimensions", [(2, 2, 1), (7, 12, 3), (20, 5, 40)])
def test_the_kernel_distance_is_the_loop_over_pairs(count_a, count_b, dimensions):
    a, b = drawn(count_a, dimensions, 0), drawn(count_b, dimensions, 1, offset=0.5)
    found = kernel_distance(torch.tensor(a), torch.tensor(b))
    assert isinstance(found, float)
    assert found == pytest.approx(distance_by_loops(a, b), rel=1e-11)


def test_more_rows_than_a_block():
    a, b = drawn(1003, 3, 0), drawn(2001, 3, 1, offset=0.5)
    sums = [((x @ y.T / 3 + 1) ** 3).sum() for x, y in ((a, a), (b, b), (a, b))]
    diagonals = [((x**2).sum(1) / 3 + 1) ** 3 for x in (a, b)]
    exact = (sums[0] - diagonals[0].sum()) / (1003 * 1002)
    exact += (sums[1] - diagonals[1].sum()) / (2001 * 2000)
    exact -= 2 * sums[2] / (1003 * 2001)
    assert kernel_distance(a, b) == pytest.approx(exact, rel=1e-11)


def test_the_kernel_of_pairs_and_its_sum():
    a, b = torch.tensor(drawn(3, 4, 0)), torch.tensor(drawn(5, 4, 1))
    table = scores.kernel(a, b)
    assert table.shape == (3, 5)
    assert float(table[2, 4]) == pytest.approx((float(a[2] @ b[4]) / 4 + 1) ** 3, rel=1e-13)
    assert float(scores.kernel_sum(a, b)) == pytest.approx(float(table.sum()), rel=1e-13)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_the_kernel_distance_is_torchmetrics():
    a, b = torch.tensor(drawn(60, 8, 0)), torch.tensor(drawn(60, 8, 1, offset=0.3))
    metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=60)
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert kernel_distance(a, b) == pytest.approx(metric.compute()[0].item(), rel=1e-4)


def test_the_kernel_distance_is_unbiased_exactly():
    """Over all samples that can be drawn, it is in the mean the MMD² of the two distributions."""
    points = numpy.array([[0.0, 1.0], [2.0, -1.0], [1.5, 0.5]])
    p, q = numpy.array([0.5, 0.3, 0.2]), numpy.array([0.1, 0.6, 0.3])
    kernels = numpy.array([[kernel(x, y) for y in points] for x in points])
    exact = (p - q) @ kernels @ (p - q)
    mean = math.fsum(
        p[list(a)].prod() * q[list(b)].prod() * kernel_distance(points[list(a)], points[list(b)])
        for a in itertools.product(range(3), repeat=2)
        for b in itertools.product(range(3), repeat=3)
    )
    assert mean == pytest.approx(exact, rel=1e-12)


def test_identical_distributions_are_at_no_distance_in_the_mean():
    estimates = [kernel_distance(drawn(20, 4, 2 * s), drawn(20, 4, 2 * s + 1)) for s in range(400)]
    error = numpy.std(estimates, ddof=1) / math.sqrt(len(estimates))
    assert abs(numpy.mean(estimates)) < 4 * error
    assert min(estimates) < 0, "an estimate without bias falls to both sides"


def test_the_shift_of_a_mean_has_a_closed_form():
    # In one dimension k is (xy + 1)³, so the MMD² is 1, 3, 3, 1 times the moments' gaps squared.
    a, b = drawn(5000, 1, 0), drawn(5000, 1, 1, offset=1.0)
    exact = 3 * 1**2 + 3 * (2 - 1) ** 2 + (4 - 0) ** 2
    subsets = kernel_distance(a, b, subsets=50, subset_size=100)
    # Fifty blocks of a hundred out of 5000 are nearly independent.
    error = subsets.std() / math.sqrt(50)
    assert abs(subsets.mean() - exact) < 4 * error
    assert error < exact / 10, "the test says something"


def test_the_same_set_twice_is_at_a_known_distance():
    a = drawn(9, 3, 0)
    kernels = numpy.array([[kernel(x, y) for y in a] for x in a])
    n, whole, diagonal = 9, kernels.sum(), numpy.trace(kernels)
    # Pairs across count each example beside itself, pairs within do not: not 0, but below.
    exact = 2 * (whole - diagonal) / (n * (n - 1)) - 2 * whole / n**2
    assert kernel_distance(a, a) == pytest.approx(exact, rel=1e-11)
    assert kernel_distance(a, a) < 0


def test_constant_sets():
    a, b = numpy.full((4, 2), 1.0), numpy.full((3, 2), 2.0)
    assert kernel_distance(a, a) == 0
    assert kernel_distance(a, b) == 2**3 + 5**3 - 2 * 3**3


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**32 - 2))
def test_the_kernel_distance_is_symmetric_and_turns_with_its_features(dimensions, one, two, seed):
    a, b = drawn(one, dimensions, seed), drawn(two, dimensions, seed + 1)
    basis = numpy.linalg.qr(drawn(dimensions, dimensions, seed))[0]
    found = kernel_distance(a, b)
    # Rounding of means of kernels, which are at most as large as the largest.
    largest = max(kernel(x, x) for x in (*a, *b))
    assert kernel_distance(b, a) == pytest.approx(found, abs=ROUNDING * largest)
    assert kernel_distance(a @ basis, b @ basis) == pytest.approx(found, abs=ROUNDING * largest)
    mixed = kernel_distance(a[::-1].copy(), b[::-1].copy())
    assert mixed == pytest.approx(found, abs=ROUNDING * largest)


def test_subsets_are_drawn_from_their_generator():
    a, b = drawn(30, 4, 0), drawn(40, 4, 1)

    def subsets(seed):
        return kernel_distance(a, b, 5, 10, torch.Generator().manual_seed(seed))

    assert subsets(0).shape == (5,)
    assert torch.equal(subsets(0), subsets(0))
    assert not torch.equal(subsets(0), subsets(1))
    assert len(set(subsets(0).tolist())) == 5
    torch.manual_seed(3)
    state = torch.get_rng_state()
    subsets(0)
    assert torch.equal(torch.get_rng_state(), state)
    first = kernel_distance(a, b, 5, 10)
    torch.manual_seed(3)
    assert torch.equal(kernel_distance(a, b, 5, 10), first)


def test_subsets_of_full_size_are_the_whole():
    a, b = drawn(12, 4, 0), drawn(12, 4, 1)
    found = kernel_distance(a, b, subsets=3, subset_size=12)
    assert found.tolist() == pytest.approx([kernel_distance(a, b)] * 3, rel=1e-11)


def test_subsets_repeat_no_example():
    # Of five different examples, two at a time: every estimate is that of two pairs.
    a, b = drawn(5, 2, 0), drawn(5, 2, 1)
    pairs = list(itertools.combinations(range(5), 2))
    possible = [distance_by_loops(a[list(i)], b[list(j)]) for i in pairs for j in pairs]
    for found in kernel_distance(a, b, subsets=40, subset_size=2).tolist():
        assert min(abs(found - one) for one in possible) < 1e-11


@pytest.mark.parametrize(
    "subsets, subset_size, complaint",
    [
        (0, 3, "subsets=0: expected a whole number, 1 or more"),
        (-1, 3, "subsets=-1"),
        (2, 1, "subset_size=1: expected"),
        (2, 5, "subset_size=5: expected a whole number, 2 to 4"),
        (2, 1000, "subset_size=1000"),
        (True, 3, "subsets=True: expected a whole number"),
        (2.0, 3, "subsets=2.0: expected a whole number"),
        (2, 3.0, "subset_size=3.0: expected a whole number"),
    ],
)
def test_subsets_that_cannot_be_drawn_are_named(subsets, subset_size, complaint):
    with pytest.raises(ValueError, match=complaint):
        kernel_distance(torch.zeros(4, 2), torch.zeros(6, 2), subsets, subset_size)


@pytest.mark.parametrize("size", [1e52, 1e200, 1e308])
@pytest.mark.parametrize("subsets", [None, 2])
def test_features_whose_kernels_leave_the_range_are_refused(size, subsets):
    a = torch.full((5, 2), size, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"features of size 1e.*does not hold their kernels"):
        kernel_distance(a, -a, subsets, 3)
