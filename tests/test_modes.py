"""Modes reached by samples, against Python loops, scipy and what is known of true samples."""

import math
from collections import Counter

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import MixtureSameFamily
from torch.nn.functional import one_hot
from torch.utils._python_dispatch import TorchDispatchMode

from ganlib.datasets import (
    gaussian_grid,
    gaussian_ring,
    mixture,
    mixture_1d,
    mnist,
    stacked_mnist,
    to_signed_unit,
)
from ganlib.metrics import (
    digit_features,
    extract,
    mixture_modes,
    mode_statistics,
    stacked_modes,
    stacked_weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")

EQUAL = torch.full((4,), 0.25)


@st.composite
def assigned(draw):
    """Modes of some samples, which of them are good, and weights of all modes."""
    count = draw(st.integers(1, 12))
    modes = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=60))
    good = draw(st.lists(st.booleans(), min_size=len(modes), max_size=len(modes)))
    weights = draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
    return modes, good, weights


def brute_force_modes(samples, mixture):
    """The nearest mode of each sample in that mode's deviations, and how near, in float64."""
    means = mixture.component_distribution.mean.double().numpy()
    scales = mixture.component_distribution.stddev.double().numpy()
    nearest, distances = [], []
    for sample in samples.double().numpy():
        found = [
            math.sqrt(sum(((sample - mean) / scale) ** 2))
            for mean, scale in zip(means, scales, strict=True)
        ]
        nearest.append(int(numpy.argmin(found)))
        distances.append(min(found))
    return nearest, numpy.array(distances)


# Counting


@settings(deadline=None)
@given(assigned())
def test_statistics_are_those_of_a_loop(case):
    modes, good, weights = case
    share = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    found = mode_statistics(torch.tensor(modes), share, torch.tensor(good))
    counted = Counter(modes)
    assert found.counts.tolist() == [counted[mode] for mode in range(len(weights))]
    assert found.covered == len({mode for mode, fine in zip(modes, good, strict=True) if fine})
    assert found.high_quality == pytest.approx(sum(good) / len(good), rel=1e-12)
    exact = stats.entropy([counted[mode] for mode in range(len(weights))], weights)
    assert found.divergence == pytest.approx(exact, rel=1e-9, abs=1e-13)
    assert type(found.covered) is int
    assert type(found.high_quality) is float and type(found.divergence) is float


@settings(deadline=None)
@given(assigned())
def test_without_a_mask_every_sample_is_good(case):
    modes, _, weights = case
    share = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    found = mode_statistics(torch.tensor(modes), share)
    assert found.covered == len(set(modes)) and found.high_quality == 1.0


def test_true_proportions_have_no_divergence():
    found = mode_statistics(torch.tensor([0, 1, 1, 2]), torch.tensor([0.25, 0.5, 0.25]))
    assert found.covered == 3 and found.counts.tolist() == [1, 2, 1]
    assert found.divergence == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("modes", [2, 8, 1000])
def test_one_mode_of_equal_ones_is_their_logarithm_away(modes):
    weights = torch.full((modes,), 1 / modes)
    found = mode_statistics(torch.full((50,), modes - 1), weights)
    # Weights in float32 are right to one of 24 bits.
    assert found.divergence == pytest.approx(math.log(modes), abs=2.0**-23)
    assert found.covered == 1


def test_a_poor_sample_covers_nothing_and_counts_all_the_same():
    modes, good = torch.tensor([0, 1, 1, 2]), torch.tensor([True, False, True, False])
    found = mode_statistics(modes, EQUAL, good)
    assert found.covered == 2 and found.high_quality == 0.5
    assert found.counts.tolist() == [1, 2, 1, 0]
    assert found.divergence == mode_statistics(modes, EQUAL).divergence
    assert mode_statistics(modes, EQUAL, torch.zeros(4, dtype=torch.bool)).covered == 0


def test_a_sample_where_the_truth_has_none_is_infinitely_wrong():
    weights = torch.tensor([0.5, 0.5, 0.0])
    assert mode_statistics(torch.tensor([0, 1, 2]), weights).divergence == math.inf
    assert mode_statistics(torch.tensor([0, 1]), weights).divergence == pytest.approx(0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_whole_numbers_of_any_type_will_do(dtype):
    expected = mode_statistics(torch.tensor([0, 3, 3]), EQUAL)
    found = mode_statistics(torch.tensor([0, 3, 3], dtype=dtype), EQUAL)
    assert found.counts.tolist() == expected.counts.tolist() and found[:3] == expected[:3]


@pytest.mark.parametrize(
    "modes, words",
    [
        ([0, 4], "modes from 0 to 4: expected 0 to 3"),
        ([-1, 2], "modes from -1 to 2: expected 0 to 3"),
        ([], "expected whole numbers"),
        ([0.0, 1.0], "float32.*expected whole numbers"),
        ([True, False], "bool.*expected whole numbers"),
        ([[0, 1]], r"\(1, 2\).*expected whole numbers"),
    ],
)
def test_wrong_modes_are_named(modes, words):
    with pytest.raises(ValueError, match=words):
        mode_statistics(torch.tensor(modes), EQUAL)


@pytest.mark.parametrize(
    "mask", [torch.ones(2).bool(), torch.ones(3), torch.ones(3, 1).bool(), torch.ones(3).long()]
)
def test_a_wrong_mask_is_named(mask):
    with pytest.raises(ValueError, match=r"high_quality: .*expected bool \(3,\)"):
        mode_statistics(torch.tensor([0, 1, 2]), EQUAL, mask)


@pytest.mark.parametrize(
    "weights",
    [[0.5, 0.4], [0.5, 0.6], [1.5, -0.5], [math.nan, 1.0], [1, 2]],
)
def test_weights_that_are_no_probabilities_are_refused(weights):
    with pytest.raises(ValueError, match="expected"):
        mode_statistics(torch.tensor([0, 1]), torch.tensor(weights))


@pytest.mark.parametrize("weights", [[[0.5, 0.5], [0.5, 0.5]], 1.0])
def test_weights_of_another_shape_are_refused(weights):
    with pytest.raises(ValueError, match="expected"):
        mode_statistics(torch.tensor([0, 0]), torch.tensor(weights))


# Mixtures


class NormalsCounted(TorchDispatchMode):
    """How many numbers were drawn from a normal distribution, and from any."""

    def __init__(self):
        super().__init__()
        self.normal = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        if "normal" in function.name() or "randn" in function.name():
            self.normal += result.numel()
        return result


@pytest.mark.parametrize(
    "truth",
    [
        gaussian_ring(),
        gaussian_grid(),
        mixture_1d([-40.0, 0.0, 40.0], [1.0, 2.0, 0.5], [1.0, 0.0, 3.0]),
        mixture(torch.tensor([[0.0, 90.0], [50.0, 0.0]]), torch.tensor([[1.0, 4.0]])),
    ],
    ids=["ring", "grid", "line", "plane"],
)
def test_samples_of_a_mixture_are_of_its_components_in_their_proportions(truth):
    torch.manual_seed(0)
    count = 20_000
    samples = truth.sample((count,))
    normal, probabilities = truth.component_distribution.base_dist, truth.mixture_distribution.probs
    modes, _ = mixture_modes(samples, truth)
    counts, possible = modes.bincount(minlength=len(probabilities)), probabilities > 0
    assert (counts[~possible] == 0).all()
    expected = probabilities[possible].double().numpy() * count
    assert stats.chisquare(counts[possible].numpy(), expected * count / sum(expected)).pvalue > 1e-6
    residuals = (samples - normal.loc[modes]) / normal.scale[modes]
    for column in residuals.T.numpy():
        assert stats.kstest(column, "norm").pvalue > 1e-6
    # The component tells nothing of where in it a sample lies.
    assert abs(numpy.corrcoef(modes.numpy(), residuals[:, 0].numpy())[0, 1]) < 5 / math.sqrt(count)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 3.0])], ids=["equal", "unequal"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_of_a_mixture_have_the_shape_that_is_asked_for(weights, shape, dtype):
    means = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], dtype=dtype, requires_grad=True)
    truth = mixture(means, 0.5, weights)
    with NormalsCounted() as counted:
        samples = truth.sample(shape)
    assert (samples.shape, samples.dtype) == ((*shape, 3), dtype)
    assert samples.device == means.device and not samples.requires_grad
    assert counted.normal == samples.numel(), "one draw a coordinate, whatever the components"
    assert truth.sample(torch.Size(shape)).shape == samples.shape
    if samples.numel():  # torch's constraints cannot reshape nothing
        assert truth.log_prob(samples).shape == shape


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("weights", [None, [1.0, 3.0]])
def test_samples_of_a_mixture_are_on_the_device_of_its_means(weights):
    truth = mixture(torch.tensor([[-10.0], [10.0]], device="cuda"), 1.0, weights)
    samples = truth.sample((20_000,))
    share = (samples > 0).double().mean().item()
    assert samples.is_cuda and share == pytest.approx(0.5 if weights is None else 0.75, abs=0.02)


def test_a_batch_of_mixtures_samples_as_torchs_does():
    truth = gaussian_ring()
    torch.manual_seed(0)
    found = truth.expand((4,)).sample((3,))
    torch.manual_seed(0)
    assert torch.equal(found, MixtureSameFamily.sample(truth.expand((4,)), (3,)))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: mixture(torch.zeros(3), 1.0), r"means of shape \(3,\): expected \(modes, dim"),
        (lambda: mixture(torch.zeros(0, 2), 1.0), r"means of shape \(0, 2\): expected"),
        (lambda: mixture(torch.zeros(2, 0), 1.0), r"means of shape \(2, 0\): expected"),
        (lambda: mixture(torch.tensor([[math.nan]]), 1.0), "means: .*not finite"),
        (lambda: mixture("means", 1.0), "means: expected numbers"),
        (lambda: mixture(torch.zeros(3, 2), -1.0), "scale=-1.0: expected positive"),
        (lambda: mixture(torch.zeros(3, 2), 0), "scale=0.0: expected positive"),
        (lambda: mixture(torch.zeros(3, 2), math.nan), "scale=nan: expected positive"),
        (lambda: mixture(torch.zeros(3, 2), math.inf), "scale=inf: expected positive"),
        (lambda: mixture(torch.zeros(3, 2), None), "scale: expected numbers"),
        (lambda: mixture(torch.zeros(3, 2), True), "scale: torch.bool, expected real numbers"),
        (lambda: mixture(torch.zeros(3, 2), torch.ones(3)), r"scale of shape \(3,\): expected"),
        (lambda: mixture(torch.zeros(3, 2), torch.ones(1, 3, 2)), "scale of shape"),
        (lambda: mixture(torch.zeros(3, 2), 1.0, torch.ones(2)), r"weights of shape.*\(3,\)"),
        (lambda: mixture(torch.zeros(3, 2), 1.0, [1.0, -1.0, 1.0]), "expected none negative"),
        (lambda: mixture(torch.zeros(3, 2), 1.0, [1.0, math.nan, 1.0]), "expected none negative"),
        (lambda: mixture(torch.zeros(3, 2), 1.0, [0.0, 0.0, 0.0]), "sum above 0"),
        (lambda: mixture(torch.zeros(1, 2), 1.0, [math.inf]), "a sum above 0 that is finite"),
        (lambda: mixture_1d([0.0, 1.0], [1.0], [1.0, 1.0]), r"scales of shape \(1,\): expected"),
        (lambda: mixture_1d([0.0], [1.0], [1.0, 1.0]), r"weights of shape \(2,\): expected"),
        (lambda: mixture_1d([], [], []), "means of shape"),
        (lambda: mixture_1d([0.0], [-1.0], [1.0]), "expected positive"),
        (lambda: gaussian_ring(0), "modes=0: expected a whole number, 1 or more"),
        (lambda: gaussian_ring(2.5), "modes=2.5: expected"),
        (lambda: gaussian_ring(True), "modes=True: expected"),
        (lambda: gaussian_ring(8, math.inf), "radius=inf: expected a positive number"),
        (lambda: gaussian_ring(8, -1.0), "radius=-1.0: expected a positive number"),
        (lambda: gaussian_ring(8, 2.0, 0.0), "scale=0.0: expected positive"),
        (lambda: gaussian_grid(0), "side=0: expected a whole number, 1 or more"),
        (lambda: gaussian_grid("5"), "side='5': expected"),
        (lambda: gaussian_grid(5, math.nan), "spacing=nan: expected a positive number"),
        (lambda: gaussian_grid(5, 10**400), "spacing=10.*: expected a positive number"),
    ],
)
def test_what_makes_no_mixture_is_named(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_a_mixture_is_of_tensors_arrays_or_lists_alike():
    means, scales, weights = [[0.0, 1.0], [2.0, 3.0]], [[0.5], [2.0]], [1.0, 3.0]
    points, made = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)), []
    for form in (torch.tensor, lambda x: numpy.array(x, "float32"), list):
        made.append(mixture(*(form(part) for part in (means, scales, weights))))
        assert torch.equal(made[-1].log_prob(points), made[0].log_prob(points))
    whole = mixture([[0, 1], [2, 3]], 1).component_distribution.mean
    assert torch.equal(whole, torch.tensor(means))


UNEQUAL = mixture(
    torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]], dtype=torch.float64),
    torch.tensor([[0.1, 2.0], [1.0, 1.0], [3.0, 0.2]], dtype=torch.float64),
    torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
)


@pytest.mark.parametrize(
    "truth", [gaussian_ring(), gaussian_grid(), UNEQUAL], ids=["ring", "grid", "unequal"]
)
@pytest.mark.parametrize("deviations", [1.0, 3.0])
def test_modes_of_a_mixture_are_those_of_a_loop(truth, deviations):
    torch.manual_seed(0)
    means = truth.component_distribution.mean
    # True samples, and others anywhere near.
    samples = torch.cat(
        [truth.sample((300,)), means.repeat(30, 1) + torch.randn(30 * len(means), 2)]
    )
    modes, good = mixture_modes(samples, truth, deviations)
    nearest, distances = brute_force_modes(samples, truth)
    assert (modes.dtype, good.dtype) == (torch.int64, torch.bool)
    assert modes.tolist() == nearest
    assert good.tolist() == (distances <= deviations).tolist()
    assert good.any() and not good.all()


def test_the_nearest_mode_is_so_in_its_own_deviations():
    truth = mixture_1d([0.0, 10.0], [0.1, 4.0], [1.0, 1.0])
    # One is nearer to the first mean, and ten deviations from it.
    modes, good = mixture_modes(torch.tensor([[1.0], [0.2], [10.0]]), truth)
    assert modes.tolist() == [1, 0, 1] and good.tolist() == [True, True, True]


@pytest.mark.parametrize("deviations", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("truth", [gaussian_ring(), gaussian_grid()], ids=["ring", "grid"])
def test_true_samples_are_within_reach_as_often_as_rayleigh_says(truth, deviations):
    torch.manual_seed(0)
    count = 20_000
    _, good = mixture_modes(truth.sample((count,)), truth, deviations)
    expected = 1 - math.exp(-(deviations**2) / 2)
    error = math.sqrt(expected * (1 - expected) / count)
    assert good.double().mean().item() == pytest.approx(expected, abs=5 * error)


def test_true_samples_of_the_line_are_within_three_deviations_as_often_as_the_error_function_says():
    torch.manual_seed(0)
    count = 20_000
    truth = mixture_1d([-50.0, 50.0], [1.0, 2.0], [1.0, 3.0])
    modes, good = mixture_modes(truth.sample((count,)), truth)
    for share, expected in (
        (good.double().mean().item(), math.erf(3 / math.sqrt(2))),
        (modes.double().mean().item(), 0.75),
    ):
        assert share == pytest.approx(
            expected, abs=5 * math.sqrt(expected * (1 - expected) / count)
        )


@pytest.mark.parametrize("truth, modes", [(gaussian_ring(), 8), (gaussian_grid(), 25)])
def test_true_samples_cover_all_modes_in_proportion(truth, modes):
    torch.manual_seed(0)
    count = 5000
    found = mode_statistics(
        mixture_modes(truth.sample((count,)), truth)[0], truth.mixture_distribution.probs
    )
    assert found.covered == modes
    # Twice the count times the divergence is asymptotically chi-square.
    assert 2 * count * found.divergence < stats.chi2.isf(1e-6, modes - 1)


def test_a_collapsed_generator_is_found_out():
    truth = gaussian_ring()
    modes, good = mixture_modes(truth.component_distribution.mean[2].expand(100, 2), truth)
    found = mode_statistics(modes, truth.mixture_distribution.probs, good)
    assert (found.covered, found.high_quality) == (1, 1.0)
    assert found.divergence == pytest.approx(math.log(8), abs=2.0**-22)


def test_samples_with_a_graph_or_of_another_type_will_do():
    samples = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    modes, good = mixture_modes(samples, gaussian_ring())
    expected = mixture_modes(samples.detach().float(), gaussian_ring())
    assert torch.equal(modes, expected[0]) and torch.equal(good, expected[1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_refused(value):
    samples = torch.zeros(5, 2)
    samples[3, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        mixture_modes(samples, gaussian_ring())


def test_a_sample_beyond_the_range_of_the_mixture_is_refused():
    for far in (1e30, 1e60):
        with pytest.raises(ValueError, match="samples.*"):
            mixture_modes(torch.tensor([[far, 0.0]], dtype=torch.float64), gaussian_ring())


@pytest.mark.parametrize("deviations", [-1, math.nan, True, None, "3"])
def test_deviations_that_are_none_are_refused(deviations):
    with pytest.raises(ValueError, match="deviations=.*expected a number, 0 or more"):
        mixture_modes(torch.zeros(3, 2), gaussian_ring(), deviations)


def test_another_distribution_is_no_mixture():
    with pytest.raises(TypeError, match="mixture: Normal, expected a MixtureSameFamily"):
        mixture_modes(torch.zeros(3, 2), torch.distributions.Normal(0, 1))


@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (5,), (5, 2, 1)])
def test_samples_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError) as caught:
        mixture_modes(torch.zeros(shape), gaussian_ring())
    assert str(shape) in str(caught.value) and "expected (count, 2)" in str(caught.value)


# Stacked digits


def test_three_channels_are_read_as_a_number():
    labels = torch.cartesian_prod(*[torch.arange(10)] * 3)
    images = torch.zeros(1000, 3, 4, 5)
    images[:, :, 2, 3] = labels / 10

    def classify(digits):
        assert digits.shape == (1000, 1, 4, 5)
        return one_hot((digits[:, 0, 2, 3] * 10).round().long(), 10).float()

    modes = stacked_modes(images, classify)
    assert modes.dtype == torch.int64 and modes.tolist() == list(range(1000))


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (3, 28, 28), (2, 4, 28, 28)])
def test_images_without_three_channels_are_refused(shape):
    with pytest.raises(ValueError) as caught:
        stacked_modes(torch.zeros(shape), lambda images: images)
    assert str(shape) in str(caught.value) and "expected (count, 3" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        lambda digits: torch.full((len(digits), 10), math.nan),
        lambda digits: torch.zeros(len(digits), 9),
        lambda digits: torch.zeros(len(digits)),
        lambda digits: torch.zeros(1, 10),
    ],
)
def test_what_classifies_no_digits_is_refused(answer):
    with pytest.raises(ValueError, match=r"classify gave .*expected .*\(2, 10\)"):
        stacked_modes(torch.zeros(2, 3, 4, 4), answer)
    with pytest.raises(TypeError, match="what classify gave: .*expected a tensor"):
        stacked_modes(torch.zeros(2, 3, 4, 4), lambda digits: None)


def test_the_judge_reads_the_modes_of_true_stacked_digits():
    images, modes = stacked_mnist("test", 2000)
    judge = digit_features()
    found = stacked_modes(
        to_signed_unit(images), lambda digits: extract(judge, digits).probabilities
    )
    # It reads 0.9953 of the digits right, and so all three of a stack with a chance of 0.986.
    assert (found == modes).double().mean() >= 0.98


def test_weights_of_stacked_digits_are_products_of_shares():
    labels = mnist("train")[1]
    weights = stacked_weights(labels)
    share = [count / 60_000 for count in numpy.bincount(labels.numpy())]
    exact = [a * b * c for a in share for b in share for c in share]
    assert (weights.shape, weights.dtype) == ((1000,), torch.float64)
    assert weights.tolist() == pytest.approx(exact, rel=1e-12)
    assert weights.sum().item() == pytest.approx(1, abs=1e-12)


def test_weights_of_few_labels_leave_out_the_digits_that_are_missing():
    weights = stacked_weights(torch.tensor([0, 0, 0, 7]))
    expected = {0: 27, 7: 9, 70: 9, 700: 9, 77: 3, 707: 3, 770: 3, 777: 1}
    assert {int(mode): weights[mode] * 64 for mode in weights.nonzero()} == expected


@pytest.mark.parametrize("labels", [[], [10], [-1], [1.0], [True], [[1]], None])
def test_labels_that_are_none_are_refused(labels):
    with pytest.raises((ValueError, TypeError), match="labels: .*expected"):
        stacked_weights(labels)


def test_true_stacked_digits_have_the_modes_that_the_weights_say():
    count = 25_600
    _, modes = stacked_mnist("train", count)
    weights = stacked_weights(mnist("train")[1])
    found = mode_statistics(modes, weights)
    expected = weights.numpy() * count
    assert stats.chisquare(found.counts.numpy(), expected).pvalue > 1e-6
    # A mode is missed with a chance of about e**-25.6.
    assert found.covered == 1000
