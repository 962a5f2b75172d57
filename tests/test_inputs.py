"""What metrics take: tensors, arrays and lists alike; what they cannot use is refused by name."""

import math

import numpy
import pytest
import torch

from ganlib.datasets import gaussian_ring
from ganlib.metrics import (
    Features,
    Moments,
    classifier_features,
    classifier_two_sample_test,
    density_coverage,
    extract,
    frechet_distance,
    frechet_distance_between,
    inception_features,
    inception_score,
    judge,
    kernel_distance,
    mixture_modes,
    mode_statistics,
    nearest_neighbours,
    parzen_log_likelihood,
    precision_recall,
    stacked_modes,
    stacked_weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")

on_each = pytest.mark.parametrize(
    "metric", [frechet_distance_between, kernel_distance, classifier_two_sample_test]
)


@on_each
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "wrong, complaint",
    [
        (torch.zeros(6), r"features_X of shape \(6,\): expected \(count, dimensions\)"),
        (torch.zeros(6, 2, 1), r"features_X of shape \(6, 2, 1\): expected"),
        (torch.zeros(6, 0), r"features_X of shape \(6, 0\): expected"),
        (torch.zeros(1, 2), "features_X: 1 examples, expected . or more"),
        (
            torch.tensor([[0, 0]] * 8 + [[0, math.nan]]),
            "features_X: row 8 has a value that is not finite",
        ),
    ],
)
def test_what_are_no_features_is_named(metric, wrong, complaint, first):
    right = torch.zeros(8, 2)
    with pytest.raises(ValueError, match=complaint.replace("X", "a" if first else "b")):
        metric(*((wrong, right) if first else (right, wrong)))


@on_each
def test_features_of_other_dimensions_are_named(metric):
    with pytest.raises(ValueError, match="features_a have 2 dimensions and features_b 3: expected"):
        metric(torch.zeros(8, 2), torch.zeros(8, 3))


def features(count, dimensions=2, seed=0):
    return numpy.random.default_rng(seed).normal(size=(count, dimensions))


def first_pixels(images):
    return images.flatten(1), images.flatten(1).softmax(1)


def updated(batch):
    moments = Moments(2)
    moments.update(batch)
    return moments.mean, moments.covariance


# What each makes of arrays, and the arrays.
TAKEN = {
    "extract": (lambda x: extract(first_pixels, x), numpy.full((3, 1, 2, 2), 0.5)),
    "nearest_neighbours": (nearest_neighbours, features(5), features(7, seed=1)),
    "parzen": (parzen_log_likelihood, features(5), features(7, seed=1), numpy.array([0.5, 1.0])),
    "mixture_modes": (lambda x: mixture_modes(x, gaussian_ring()), features(5)),
    "stacked_modes": (lambda x: stacked_modes(x, lambda d: torch.eye(10)[[4] * len(d)]),)
    + (numpy.zeros((2, 3, 4, 4)),),
    "stacked_weights": (stacked_weights, numpy.array([0, 3, 9])),
    "mode_statistics": (mode_statistics,)
    + (numpy.array([0, 1]), numpy.array([0.1, 0.9]), numpy.array([True, False])),
    "Moments.of": (lambda x: (Moments.of(x).mean, Moments.of(x).covariance), features(5)),
    "Moments.update": (updated, features(5)),
    "frechet_distance": (frechet_distance,)
    + (numpy.array([0.1, 0.2]), numpy.eye(2), numpy.zeros(2), numpy.eye(2) * 2),
    "frechet_distance_between": (frechet_distance_between, features(5), features(7, seed=1)),
    "inception_score": (inception_score, numpy.array([[0.1, 0.9], [0.3, 0.7]])),
    "kernel_distance": (kernel_distance, features(5), features(7, seed=1)),
    "precision_recall": (precision_recall, features(8), features(9, seed=1)),
    "density_coverage": (density_coverage, features(8), features(9, seed=1)),
    "two_sample_test": (lambda a, b: classifier_two_sample_test(a, b, rounds=3),)
    + (features(8), features(9, seed=1)),
}


def plain(found):
    return [part.tolist() if isinstance(part, torch.Tensor) else part for part in found]


@pytest.mark.parametrize("name", TAKEN)
def test_tensors_arrays_and_lists_are_taken_alike(name):
    metric, *arrays = TAKEN[name]
    forms = (
        [torch.tensor(array) for array in arrays],
        [array.tolist() for array in arrays],
        [numpy.flip(numpy.flip(array).copy()) for array in arrays],
    )
    exact = metric(*arrays)
    for form in forms:
        found = metric(*form)
        if isinstance(exact, tuple):
            assert plain(found) == plain(exact)
        elif isinstance(exact, torch.Tensor):
            assert torch.equal(found, exact)
        else:
            assert found == exact


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("wrong", [None, "numbers", [[1.0], [1.0, 2.0]], [1j, 2j]])
def test_what_holds_no_numbers_is_named(name, wrong):
    metric, *arrays = TAKEN[name]
    with pytest.raises(TypeError, match="expected .*numbers"):
        metric(wrong, *arrays[1:])


def test_what_is_not_made_of_numbers_is_asked_for_by_its_name():
    with pytest.raises(TypeError, match="real: tuple, expected Features"):
        judge(
            (torch.zeros(9, 2), torch.zeros(9, 2)), Features(torch.zeros(9, 2), torch.zeros(9, 2))
        )
    with pytest.raises(TypeError, match="classifier: Linear, expected a DigitClassifier"):
        classifier_features(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="weights: NoneType, expected 'download'"):
        inception_features(None)
    with pytest.raises(TypeError, match="other: NoneType, expected Moments"):
        Moments(2).merge(None)
