"""Trainings side by side: what a row of a comparison holds, and what can be said of several together.

Plain data without torch: stored runs and forks of a run are compared by the same table and the same chart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

YARDSTICKS = ("loss.", "data.")
"""Beginnings of the settings that decide what a loss is measured in."""
_TEST = re.compile(r"(?P<name>[^=<>!]+)(?P<sign>!=|<=|>=|=|<|>)(?P<value>.*)")


def _nothing() -> Floats:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training of a comparison.

    loss: reconstruction term of every step after `start`, or of the steps `recorded_at`, shape (n,), NaN where it is
    not known.
    measured_at, explained: steps and explained variance of the measurements, ascending, shape (m,).
    """

    name: str
    state: str
    kind: str = "spec"
    """`spec`, `own loop` where a script trains it, or `fork`."""
    source: str = ""
    goal: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Those in force, by path."""
    change: str = ""
    """What was changed of the run that it is a fork of; '' for a run."""
    start: int = 0
    loss: Floats = field(default_factory=_nothing)
    recorded_at: NDArray[np.int64] | None = None
    done: int | None = None
    """Steps taken, where `loss` does not tell."""
    measured_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    explained: Floats = field(default_factory=_nothing)
    floors: Mapping[str, float | None] = field(default_factory=dict)
    """Losses that need no training: mean, linear, entropy."""
    linear_explained: float | None = None
    """What PCA as wide as the code explains."""
    verdict: str = ""
    """One word or two, '' where there is none."""
    verdict_step: int | None = None
    told: str = ""
    """One sentence about it: the verdict's headline, or why there is none."""
    variance_ratio: float | None = None
    """Of the median feature, its output's variance to the data's."""
    lost: int | None = None
    """Features whose outputs vary less than a tenth as much as the data."""
    dead: int | None = None
    """Units that do not vary."""

    @property
    def step(self) -> int:
        return self.start + len(self.loss) if self.done is None else self.done

    def loss_at(self, step: int | None = None) -> tuple[int, float] | None:
        """Step and loss of a step, of the last one without; where not every step is recorded, of the one before it.

        None where there is none; the loss is NaN where it is not finite.
        """
        step = self.step if step is None else step
        if self.recorded_at is not None:
            return self._newest(self.recorded_at, self.loss, step)
        index = step - self.start - 1
        return (step, float(self.loss[index])) if 0 <= index < len(self.loss) else None

    def explained_at(self, step: int | None = None) -> tuple[int, float] | None:
        """Step and explained variance of the newest measurement up to a step, None outside of the training."""
        return self._newest(self.measured_at, self.explained, self.step if step is None else step)

    def _newest(self, steps: NDArray[np.int64], values: Floats, step: int) -> tuple[int, float] | None:
        count = int(np.searchsorted(steps, step, "right"))
        if not count or step > self.step or step < self.start:
            return None
        return int(steps[count - 1]), float(values[count - 1])


def differing(rows: Sequence[Row]) -> list[str]:
    """The settings in which the rows differ, in the order of the settings.

    What only some have, with one value, is left out where the kind of its section differs: it comes with the kind.
    """
    paths = list(dict.fromkeys(path for row in rows for path in row.settings))
    given = {path: [row.settings.get(path) for row in rows] for path in paths}
    found = [path for path in paths if len(set(given[path])) > 1]
    kinds = {path.rpartition(".")[0] for path in found if path.endswith(".kind")}

    def implied(path: str) -> bool:
        present = {value for value in given[path] if value is not None}
        return None in given[path] and len(present) == 1 and path.rpartition(".")[0] in kinds

    return [path for path in found if path.endswith(".kind") or not implied(path)]


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """The settings' last names by path, with their section where another has the same or it is a kind."""
    paths = list(paths)
    last = [path.rpartition(".")[2] for path in paths]
    return {
        path: path if name == "kind" or last.count(name) > 1 else name for path, name in zip(paths, last, strict=True)
    }


def difference_text(row: Row, paths: Sequence[str]) -> str:
    """The values of one row where the rows differ: `lr 0.001, code 3`; a fork's change where it is one."""
    if row.change:
        return row.change
    names = short_names(paths)
    return ", ".join(f"{names[path]} {row.settings[path] or '-'}" for path in paths if path in row.settings)


def yardsticks(rows: Sequence[Row]) -> list[str]:
    """The settings for which the rows' losses can't be compared; none where they can, or that is not known."""

    def values(path: str) -> set[str]:
        return {row.settings[path] for row in rows if path in row.settings}

    return [path for path in differing(rows) if path.startswith(YARDSTICKS) and len(values(path)) > 1]


def matches(row: Row, wanted: str) -> bool:
    """Whether a row fits every word of `wanted`: part of its name, or a test of a setting such as `lr<0.01`.

    A setting is named by its path or the end of that; `=` compares numbers as numbers and finds part of a text.
    """
    return all(_fits(row, word) for word in wanted.split())


def _fits(row: Row, word: str) -> bool:
    test = _TEST.fullmatch(word)
    if test is None:
        return word.lower() in row.name.lower()
    name, sign, value = test["name"].lower(), test["sign"], test["value"]
    found = [text for path, text in row.settings.items() if f".{path.lower()}".endswith(f".{name}")]
    if sign == "!=":
        return bool(found) and not any(_holds(text, "=", value) for text in found)
    return any(_holds(text, sign, value) for text in found)


def _holds(text: str, sign: str, value: str) -> bool:
    one, other = _number(text), _number(value)
    if one is None or other is None:
        return sign == "=" and value.lower() in text.lower()
    return {"=": one == other, "<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[sign]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def plain(rows: Sequence[Row], at: int | None = None) -> dict[str, Any]:
    """The comparison as values of JSON; figures that are not finite are None. at: the step that they are of."""
    paths = differing(rows)
    return {
        "at": at,
        "differing": paths,
        "losses_not_comparable": yardsticks(rows),
        "runs": [_plain(row, paths, at) for row in rows],
    }


def _plain(row: Row, paths: Sequence[str], at: int | None) -> dict[str, Any]:
    loss, measured = row.loss_at(at), row.explained_at(at)
    return {
        "run": row.name,
        "kind": row.kind,
        "state": row.state,
        "source": row.source,
        "step": row.step,
        "goal": row.goal,
        "loss": _finite(loss[1]) if loss else None,
        "explained_variance": _finite(measured[1]) if measured else None,
        "explained_step": measured[0] if measured else None,
        "floors": {name: _finite(value) for name, value in row.floors.items()},
        "linear_explained": _finite(row.linear_explained),
        "verdict": row.verdict or None,
        "verdict_step": row.verdict_step,
        "headline": row.told,
        "differences": {path: row.settings.get(path) for path in paths},
        "settings": dict(row.settings),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
