"""What is read from codes: matching by brute force, probes, strokes of known shape, information."""

import math
from itertools import permutations

import pytest
import torch
from scipy.optimize import minimize

from ganlib.divergences import information_bound, mutual_information
from ganlib.metrics import (
    best_matching,
    breadth,
    linear_probe,
    neighbour_accuracy,
    slant,
    stroke_width,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("seed", range(20))
def test_the_matching_is_the_best_of_all(seed):
    generator = torch.Generator().manual_seed(seed)
    found, labels = torch.randint(0, 5, (2, 40), generator=generator)
    best = max(
        sum(order[int(f)] == int(y) for f, y in zip(found, labels, strict=True))
        for order in permutations(range(5))
    )
    matching = best_matching(found, labels, 5)
    assert matching.accuracy == best / 40
    assert sorted(matching.label_of.tolist()) == list(range(5))
    assert float((matching.label_of[found] == labels).double().mean()) == matching.accuracy


def test_a_renaming_is_undone():
    labels = torch.randint(0, 10, (500,), generator=torch.Generator().manual_seed(0))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    matching = best_matching(order[labels], labels, 10)
    assert matching.accuracy == 1.0
    assert torch.equal(matching.label_of[order], torch.arange(10))


@pytest.mark.parametrize(
    ("found", "labels", "groups"),
    [([0, 1], [0], 2), ([0, 2], [0, 1], 2), ([0, -1], [0, 1], 2), ([], [], 2), ([0], [0], 0)],
)
def test_what_cannot_be_matched_is_refused(found, labels, groups):
    with pytest.raises(ValueError, match="expected"):
        best_matching(torch.tensor(found).long(), torch.tensor(labels).long(), groups)


def blobs(count, seed, classes=3, dimensions=4, apart=2.0):
    generator = torch.Generator().manual_seed(seed)
    centres = apart * torch.randn(classes, dimensions, generator=torch.Generator().manual_seed(9))
    labels = torch.randint(0, classes, (count,), generator=generator)
    return centres[labels] + torch.randn(count, dimensions, generator=generator), labels


def test_the_nearest_neighbours_label_counts():
    (known, labels), (asked, truth) = blobs(60, 0), blobs(40, 1)
    right = 0
    for point, label in zip(asked, truth, strict=True):
        nearest = min(range(60), key=lambda i: float((known[i] - point).norm()))
        right += int(labels[nearest] == label)
    assert neighbour_accuracy((known, labels), (asked, truth)) == right / 40
    assert neighbour_accuracy((known, labels), (known, labels)) == 1.0


def test_the_probe_is_the_regression_that_scipy_finds():
    (known, labels), (asked, truth) = blobs(80, 0, apart=0.7), blobs(400, 1, apart=0.7)
    weight = 0.05
    mean, deviation = known.double().mean(0), known.double().std(0)
    x, t = ((a.double() - mean) / deviation for a in (known, asked))

    def loss(flat):
        w = torch.from_numpy(flat).view(5, 3)
        logits = x @ w[:4] + w[4]
        penalty = weight / 2 * w[:4].square().sum()
        return float(torch.nn.functional.cross_entropy(logits, labels) + penalty)

    w = torch.from_numpy(minimize(loss, torch.zeros(15).double().numpy(), tol=1e-10).x).view(5, 3)
    expected = float(((t @ w[:4] + w[4]).argmax(1) == truth).double().mean())
    assert linear_probe((known, labels), (asked, truth), weight) == pytest.approx(
        expected, abs=0.01
    )


def test_the_probe_reads_what_is_linear_and_only_that():
    known, asked = (torch.randn(500, 2, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    linear = [(x, (x[:, 0] > 0).long()) for x in (known, asked)]
    assert linear_probe(*linear) > 0.97
    crossed = [(x, (x.prod(1) > 0).long()) for x in (known, asked)]
    assert linear_probe(*crossed) < 0.65
    assert neighbour_accuracy(*crossed) > 0.9


@pytest.mark.parametrize("read", [linear_probe, neighbour_accuracy])
def test_features_without_labels_are_refused(read):
    known = torch.zeros(4, 2), torch.zeros(3).long()
    with pytest.raises(ValueError, match="expected a label"):
        read(known, known)


def bar(lean, width=4.0, size=61, reach=20, samples=24):
    """A bar of that width that leans so far, drawn by averaging over each pixel."""
    offsets = (torch.arange(samples) + 0.5) / samples - 0.5
    rows = (torch.arange(size)[:, None] + offsets).reshape(-1) - size // 2
    y, x = torch.meshgrid(rows, rows, indexing="ij")
    # Upwards is negative y; the width is measured across the bar.
    across = (x + lean * y) / math.sqrt(1 + lean**2)
    ink = ((across.abs() <= width / 2) & (y.abs() <= reach)).double()
    return ink.view(size, samples, size, samples).mean((1, 3))[None, None]


@pytest.mark.parametrize("lean", [-0.8, -0.3, 0.0, 0.5])
def test_the_slant_is_the_shear_of_a_bar(lean):
    assert float(slant(bar(lean))) == pytest.approx(lean, abs=0.01)


def test_the_slant_knows_neither_place_nor_amount_of_ink():
    image = bar(0.4)
    moved = 0.3 * image.roll((3, -5), (2, 3))
    assert float(slant(moved)) == pytest.approx(float(slant(image)), abs=1e-9)


@pytest.mark.parametrize("lean", [0.0, 0.5])
@pytest.mark.parametrize("width", [4.0, 9.0])
def test_the_breadth_is_that_of_a_bar_set_upright(lean, width):
    # Across a row a bar that leans is wider; its ink there is even.
    across = width * (1 + lean**2) ** 0.5
    assert float(breadth(bar(lean, width))) == pytest.approx(across / 12**0.5, rel=0.07)


@pytest.mark.parametrize("width", [2.0, 4.0, 6.0])
def test_the_stroke_width_is_that_of_a_bar(width):
    # Twice the area over the perimeter of a rectangle of width by 41.
    expected = width * 41 / (width + 41)
    assert float(stroke_width(bar(0.0, width))) == pytest.approx(expected, rel=0.06)
    assert float(stroke_width(bar(0.4, width))) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("measure", [slant, breadth, stroke_width])
def test_strokes_of_what_is_no_drawing(measure):
    for image in (torch.zeros(2, 3, 4, 4), torch.zeros(4, 4), -torch.ones(1, 1, 4, 4)):
        with pytest.raises(ValueError, match="expected"):
            measure(image)
    assert bool(measure(torch.zeros(1, 1, 4, 4)).isnan())


def test_information_by_a_loop():
    torch.manual_seed(0)
    joint = torch.rand(3, 4, dtype=torch.float64)
    joint[1, 2] = 0
    joint = joint / joint.sum()
    total = 0.0
    for c in range(3):
        for x in range(4):
            p = float(joint[c, x])
            if p:
                total += p * math.log(p / float(joint[c].sum()) / float(joint[:, x].sum()))
    assert float(mutual_information(joint)) == pytest.approx(total, abs=1e-12)
    posterior = torch.rand(3, 4, dtype=torch.float64) + 0.1
    posterior = posterior / posterior.sum(0)
    bound = sum(
        float(joint[c, x]) * (math.log(float(posterior[c, x])) - math.log(float(joint[c].sum())))
        for c in range(3)
        for x in range(4)
    )
    assert float(information_bound(joint, posterior)) == pytest.approx(bound, abs=1e-12)


def test_information_of_extreme_tables():
    even = torch.full((5, 5), 1 / 25, dtype=torch.float64)
    assert float(mutual_information(even)) == pytest.approx(0.0, abs=1e-12)
    assert float(mutual_information(torch.eye(5) / 5)) == pytest.approx(math.log(5))
    sure = torch.eye(5).roll(1, 0)
    assert float(information_bound(torch.eye(5) / 5, sure)) == -math.inf


@pytest.mark.parametrize(
    "joint", [torch.ones(2, 2), torch.tensor([0.5, 0.5]), torch.tensor([[1.5, -0.5]])]
)
def test_tables_that_are_none_are_refused(joint):
    with pytest.raises(ValueError, match="expected"):
        mutual_information(joint)


def test_posteriors_that_are_none_are_refused():
    joint = torch.full((2, 2), 0.25)
    for posterior in (torch.ones(2, 2), torch.full((2, 3), 0.5), torch.tensor([[2.0, 1], [-1, 0]])):
        with pytest.raises(ValueError, match="expected"):
            information_bound(joint, posterior)
