"""Features that no metric of two sets can use are refused by name."""

import math

import pytest
import torch

from ganlib.metrics import frechet_distance_between, kernel_distance

on_each = pytest.mark.parametrize("metric", [frechet_distance_between, kernel_distance])


@on_each
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "wrong, complaint",
    [
        (torch.zeros(6), r"features_X of shape \(6,\): expected \(count, dimensions\)"),
        (torch.zeros(6, 2, 1), r"features_X of shape \(6, 2, 1\): expected"),
        (torch.zeros(6, 0), r"features_X of shape \(6, 0\): expected"),
        (torch.zeros(1, 2), "features_X: 1 examples, expected 2 or more"),
        (torch.tensor([[0, 0], [0, math.nan]]), "features_X: row 1 has a value that is not finite"),
    ],
)
def test_what_are_no_features_is_named(metric, wrong, complaint, first):
    right = torch.zeros(6, 2)
    with pytest.raises(ValueError, match=complaint.replace("X", "a" if first else "b")):
        metric(*((wrong, right) if first else (right, wrong)))


@on_each
def test_features_of_other_dimensions_are_named(metric):
    with pytest.raises(ValueError, match="features_a have 2 dimensions and features_b 3: expected"):
        metric(torch.zeros(6, 2), torch.zeros(6, 3))
