"""Measures the diagnosis on generated cases and on those that people reported: `python -m evaluation.score`."""
