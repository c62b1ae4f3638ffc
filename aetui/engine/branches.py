"""The branches of a run as a screen is told of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from aetui import protocol as p
from aetui.runs.recording import Recording

_POINTS = 400
"""Points of a branch's curve at most."""
_MOST = 12
"""Branches that are shown, the latest."""


def stretches(recording: Recording) -> tuple[p.Stretch, ...]:
    """The path to where the run stands."""
    path = recording.path
    found: list[p.Stretch] = []
    for stretch in path:
        later = [one.seq for one in recording.tree.tweaks if one.branch == stretch.branch and one.seq > stretch.seq]
        here = stretch is path[-1] and recording.position.step >= recording.tree.end(stretch.branch)
        found.append(p.Stretch(stretch.branch, None if here else stretch.end, min(later) - 1 if later else None))
    return tuple(found)


def branches(recording: Recording) -> tuple[p.Branch, ...]:
    """What was trained and is not on the path."""
    on_path = {stretch.branch: stretch.end for stretch in recording.path}
    left: list[tuple[int, int, int]] = []
    for fork in recording.tree.forks.values():
        start, end = on_path.get(fork.id, fork.start), recording.tree.end(fork.id)
        if end - start >= 2:
            left.append((fork.id, start, end))
    return tuple(_branch(recording, *one) for one in left[-_MOST:])


def _branch(recording: Recording, number: int, start: int, end: int) -> p.Branch:
    loss = recording.read(lambda database: database.history(number, start, end)).loss
    chosen = _extremes(loss, _POINTS)
    return p.Branch(
        id=number, start=start, end=end, steps=p.Array.of(start + 1 + chosen), loss=p.Array.of(loss[chosen])
    )


def _extremes(values: np.ndarray, most: int) -> np.ndarray:
    """Indices of up to `most` values: the least and the greatest of each of as many parts, in order."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(np.int64)
    chosen = [0, len(values) - 1]
    for start, stop in pairwise(edges.tolist()):
        part = values[start:stop]
        finite = np.isfinite(part)
        least, greatest = np.where(finite, part, np.inf).argmin(), np.where(finite, part, -np.inf).argmax()
        chosen += [start + int(least), start + int(greatest)]
    return np.unique(chosen)
