"""What one row of the table of benchmarks holds, however it was measured."""

import statistics
from collections.abc import Sequence


def row(name: str, pairs: Sequence[Sequence[float]], unit: str) -> dict:
    """The medians of ours and of the baseline over pairs measured in turn, and of their ratio."""
    return {
        "name": name,
        "ours": statistics.median(mine for mine, _ in pairs),
        "baseline": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(other / mine for mine, other in pairs),
        "unit": unit,
    }
