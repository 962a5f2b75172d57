"""What a classifier can read from features that were learned without labels."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganlib.metrics.inputs import feature_matrix, whole_numbers
from ganlib.metrics.neighbours import nearest_neighbours

Labelled = tuple[Any, Any]


def neighbour_accuracy(training: Labelled, test: Labelled) -> float:
    """The share of test examples whose nearest training example has their label, from 0 to 1.

    training, test: features (count, dimensions) and labels (count,). Distances are Euclidean.
    Raises ValueError where features or labels are none, or do not fit.
    """
    (known, labels), (asked, truth) = _checked(training), _checked(test)
    # Features come from float32 networks, and a table in float64 takes twice as long.
    _, nearest = nearest_neighbours(asked.float(), known.float())
    return float((labels[nearest.cpu()] == truth).double().mean())


def linear_probe(training: Labelled, test: Labelled, weight: float = 1e-3) -> float:
    """The accuracy on test examples of a logistic regression fitted to training examples.

    Features are standardized by the training examples' mean and deviation. weight: of half the
    squared coefficients beside the mean cross-entropy; the loss is then strictly convex in them,
    and is minimized by L-BFGS. Other arguments and errors as for `neighbour_accuracy`; ValueError
    for a weight that is not above 0.
    """
    if not weight > 0:
        raise ValueError(f"weight={weight}: expected more than 0")
    (known, labels), (asked, truth) = _checked(training), _checked(test)
    mean, deviation = known.mean(0), known.std(0).clamp_min(1e-12)
    known, asked = (known - mean) / deviation, (asked - mean) / deviation
    classes = int(labels.max()) + 1
    slope = torch.zeros(known.shape[1], classes, dtype=known.dtype, requires_grad=True)
    offset = torch.zeros(classes, dtype=known.dtype, requires_grad=True)
    fit = torch.optim.LBFGS([slope, offset], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        fit.zero_grad()
        value = cross_entropy(known @ slope + offset, labels)
        value = value + weight / 2 * slope.square().sum()
        value.backward()
        return value

    fit.step(loss)
    answered = (asked @ slope + offset).argmax(1)
    return float((answered == truth).double().mean())


def _checked(examples: Labelled) -> tuple[Tensor, Tensor]:
    features, labels = examples
    features, labels = feature_matrix(features, "features"), whole_numbers(labels, "labels")
    if len(features) != len(labels) or int(labels.min()) < 0:
        raise ValueError(
            f"{len(features)} features and {len(labels)} labels from {int(labels.min())} up: "
            "expected a label of 0 or more for each"
        )
    return features, labels
