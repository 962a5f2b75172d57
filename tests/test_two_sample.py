"""The classifier two-sample test: valid on equal distributions, sharp on others, reproducible."""

import math

import pytest
import torch
from scipy import stats

from ganlib.metrics import classifier_two_sample_test

pytestmark = pytest.mark.usefixtures("one_thread")


def normal(count, dimensions=3, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) + shift


def test_equal_distributions_are_seldom_told_apart():
    runs = 40
    found = [
        classifier_two_sample_test(
            normal(60, seed=2 * seed), normal(60, seed=2 * seed + 1), seed, rounds=15
        )
        for seed in range(runs)
    ]
    for level in (0.05, 0.2):
        rejected = sum(result.p_value < level for result in found)
        # Each run rejects with a chance of the level or less.
        assert rejected <= stats.binom.ppf(0.9999, runs, level)
    # The answers are right half of the time on average, with at most the variance of fair coins.
    error = 0.5 / math.sqrt(60 * runs)
    assert sum(result.accuracy for result in found) / runs == pytest.approx(0.5, abs=5 * error)


def test_what_was_memorised_is_no_help():
    # Few examples in many dimensions: the halves that were seen are told apart without fault.
    runs = 10
    found = [
        classifier_two_sample_test(
            normal(16, 200, seed=2 * seed), normal(16, 200, seed=2 * seed + 1), seed, rounds=40
        )
        for seed in range(runs)
    ]
    rejected = sum(result.p_value < 0.05 for result in found)
    assert rejected <= stats.binom.ppf(0.9999, runs, 0.05)


def test_a_shift_is_found():
    found = classifier_two_sample_test(normal(300), normal(300, shift=1.5, seed=1), rounds=100)
    # The best classifier is right with the chance that a normal number is below half the distance.
    best = stats.norm.cdf(1.5 * math.sqrt(3) / 2)
    error = math.sqrt(best * (1 - best) / 300)
    assert best - 0.05 - 5 * error <= found.accuracy <= best + 5 * error
    assert found.p_value < 1e-20


def test_a_difference_without_a_shift_is_found():
    found = classifier_two_sample_test(normal(400), 3 * normal(400, seed=1), rounds=150)
    assert found.p_value < 1e-6


def test_the_scale_and_place_of_a_feature_do_not_hide_a_difference():
    a, b = normal(200, 2), normal(200, 2, seed=1)
    b[:, 1] += 3
    scale, place = torch.tensor([1e6, 1e-4]), torch.tensor([-1e7, 5.0])
    found = classifier_two_sample_test(a * scale + place, b * scale + place, rounds=100)
    assert found.p_value < 1e-10


@pytest.mark.parametrize("powers", [(-900, -900), (900, 900), (-600, 0), (0, 800)])
def test_the_ends_of_the_range_change_no_answer(powers):
    a, b = normal(60, 2).double(), normal(60, 2, shift=0.5, seed=1).double()
    scale = 2.0 ** torch.tensor(powers, dtype=torch.float64)
    exact = classifier_two_sample_test(a, b, rounds=20)
    assert classifier_two_sample_test(a * scale, b * scale, rounds=20) == exact


@pytest.mark.parametrize("named", [{"seed": -1}, {"seed": 1.0}, {"rounds": 0}, {"rounds": True}])
def test_a_seed_or_a_number_of_rounds_that_is_none_is_refused(named):
    with pytest.raises(ValueError, match=f"{next(iter(named))}=.*expected a whole number"):
        classifier_two_sample_test(normal(20), normal(20), **named)


@pytest.mark.parametrize("shift, size", [(0.0, 20), (0.3, 50), (1.0, 50), (3.0, 9), (5.0, 100)])
def test_the_p_value_is_scipys(shift, size):
    found = classifier_two_sample_test(normal(size), normal(size, shift=shift, seed=1), rounds=20)
    right = round(found.accuracy * found.held_out)
    assert found.accuracy == right / found.held_out
    exact = stats.binomtest(right, found.held_out, 0.5, alternative="greater").pvalue
    assert found.p_value == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("sizes, held_out", [((8, 8), 8), ((9, 11), 8), ((50, 21), 20)])
def test_the_smaller_set_says_how_many_are_held_out(sizes, held_out):
    a, b = normal(sizes[0]), normal(sizes[1], shift=4.0, seed=1)
    assert classifier_two_sample_test(a, b, rounds=2).held_out == held_out
    assert classifier_two_sample_test(b, a, rounds=2).held_out == held_out


def test_a_seed_fixes_the_result_whatever_torch_drew():
    a, b = normal(60), normal(60, shift=0.3, seed=1)
    found = []
    for drawn in range(6):
        torch.manual_seed(drawn)
        found.append(classifier_two_sample_test(a, b, seed=5, rounds=10))
    assert len(set(found)) == 1


def test_another_seed_is_another_split():
    a, b = normal(60), normal(60, shift=0.5, seed=1)
    torch.manual_seed(0)
    found = {classifier_two_sample_test(a, b, seed, rounds=10).accuracy for seed in range(8)}
    assert len(found) > 1


def test_torchs_generator_and_the_features_are_left_as_they_were():
    torch.manual_seed(7)
    a, b = normal(20).requires_grad_(), normal(20, seed=1)
    before, state = a.detach().clone(), torch.get_rng_state()
    classifier_two_sample_test(a, b, rounds=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.detach(), before) and a.grad is None


def test_features_that_are_all_constant_tell_nothing():
    constant = torch.full((30, 2), 0.1)
    found = classifier_two_sample_test(constant, constant.clone(), rounds=5)
    # One answer for all is right for just half of them.
    assert found.accuracy == 0.5 and found.p_value > 0.5


@pytest.mark.parametrize("value", [0.0, 0.1, -7.7, 1e6])
def test_a_constant_feature_is_no_hindrance(value):
    a, b = normal(100), normal(100, shift=2.0, seed=1)
    a[:, 1] = b[:, 1] = value
    assert classifier_two_sample_test(a, b, rounds=80).p_value < 1e-10


def test_copies_of_one_set_are_not_told_apart():
    a = normal(100, 2)
    assert classifier_two_sample_test(a, a.clone(), rounds=100).p_value > 0.05


def test_whole_numbers_and_double_precision_will_do():
    a, b = torch.arange(40).reshape(20, 2), torch.arange(40, 80).reshape(20, 2).double()
    assert classifier_two_sample_test(a, b, rounds=60).accuracy > 0.8


@pytest.mark.parametrize("first, second", [((7, 3), (50, 3)), ((50, 3), (7, 3)), ((0, 3), (9, 3))])
def test_too_few_examples_are_counted(first, second):
    with pytest.raises(ValueError, match="features_[ab]: [07] examples, expected 8 or more"):
        classifier_two_sample_test(torch.zeros(first), torch.zeros(second))
