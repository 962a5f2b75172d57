"""All figures of merit of one generator, as the book's table of generators lists them."""

from typing import NamedTuple

from ganlib.metrics.features import Features
from ganlib.metrics.moments import frechet_distance_between
from ganlib.metrics.neighbours import density_coverage, precision_recall
from ganlib.metrics.scores import inception_score, kernel_distance


class Report(NamedTuple):
    """What `judge` measures; each as the function of that name, or of that field, defines it."""

    inception_score: float
    frechet_distance: float
    kernel_distance: float
    precision: float
    recall: float
    density: float
    coverage: float


def judge(real: Features, fake: Features, k: int = 5) -> Report:
    """Compare generated examples with real ones, by features of one extractor.

    k: the neighbour that the radii of precision, recall, density and coverage reach to. Compare
    only reports at one number of examples: a Fréchet distance falls as they grow. Raises TypeError
    for what is no `Features`, and otherwise as each of the metrics.
    """
    for name, side in (("real", real), ("fake", fake)):
        if not isinstance(side, Features):
            raise TypeError(f"{name}: {type(side).__name__}, expected Features, as `extract` gives")
    precision, recall = precision_recall(real.vectors, fake.vectors, k)
    density, coverage = density_coverage(real.vectors, fake.vectors, k)
    return Report(
        inception_score(fake.probabilities),
        frechet_distance_between(real.vectors, fake.vectors),
        kernel_distance(real.vectors, fake.vectors),
        precision,
        recall,
        density,
        coverage,
    )
