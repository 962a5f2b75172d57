"""Divergences between distributions that are known exactly: on finite tables and on grids.

What must be estimated from samples is in `metrics`.
"""

from ganlib.divergences.f_divergences import F_DIVERGENCES, FDivergence, f_divergence
from ganlib.divergences.information import information_bound, mutual_information
from ganlib.divergences.tables import grid, jensen_shannon, kullback_leibler, total_variation
from ganlib.divergences.transport import (
    Transport,
    lipschitz_potential,
    optimal_transport,
    wasserstein_line,
    wasserstein_of_samples,
)

__all__ = [
    "F_DIVERGENCES",
    "FDivergence",
    "Transport",
    "f_divergence",
    "grid",
    "information_bound",
    "jensen_shannon",
    "kullback_leibler",
    "lipschitz_potential",
    "mutual_information",
    "optimal_transport",
    "total_variation",
    "wasserstein_line",
    "wasserstein_of_samples",
]
