"""How a generator is judged from its samples: features, and distances between sets of them."""

from ganlib.metrics.features import (
    Extractor,
    Features,
    classifier_features,
    digit_features,
    extract,
    inception_features,
)
from ganlib.metrics.matching import Matching, best_matching
from ganlib.metrics.modes import (
    ModeStatistics,
    mixture_modes,
    mode_statistics,
    stacked_modes,
    stacked_weights,
)
from ganlib.metrics.moments import Moments, frechet_distance, frechet_distance_between
from ganlib.metrics.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    nearest_neighbours,
    precision_recall,
)
from ganlib.metrics.parzen import parzen_log_likelihood
from ganlib.metrics.report import Report, judge
from ganlib.metrics.representations import linear_probe, neighbour_accuracy
from ganlib.metrics.scores import inception_score, kernel_distance
from ganlib.metrics.strokes import breadth, slant, stroke_width
from ganlib.metrics.translations import (
    PairedErrors,
    Translation,
    emoji_reader,
    found_within,
    judge_translation,
    paired_errors,
    partner_ranks,
)
from ganlib.metrics.two_sample import TwoSampleTest, classifier_two_sample_test

__all__ = [
    "DensityCoverage",
    "Extractor",
    "Features",
    "Matching",
    "ModeStatistics",
    "Moments",
    "PairedErrors",
    "PrecisionRecall",
    "Report",
    "Translation",
    "TwoSampleTest",
    "best_matching",
    "breadth",
    "classifier_features",
    "classifier_two_sample_test",
    "density_coverage",
    "digit_features",
    "emoji_reader",
    "extract",
    "found_within",
    "frechet_distance",
    "frechet_distance_between",
    "inception_features",
    "inception_score",
    "judge",
    "judge_translation",
    "kernel_distance",
    "linear_probe",
    "mixture_modes",
    "mode_statistics",
    "nearest_neighbours",
    "neighbour_accuracy",
    "paired_errors",
    "partner_ranks",
    "parzen_log_likelihood",
    "precision_recall",
    "slant",
    "stacked_modes",
    "stacked_weights",
    "stroke_width",
]
