"""Ours beside the textbook way, in one run, as ratios: `python -m benchmarks`."""
