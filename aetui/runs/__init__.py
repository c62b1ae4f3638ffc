"""The store of runs: what keeps a run safe, and brings it back."""
