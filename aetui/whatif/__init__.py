"""Experiments on forks of a run: remedies tried side by side, beside controls."""
