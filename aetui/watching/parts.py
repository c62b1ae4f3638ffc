"""What else a loop logs with its losses: a curve for each name."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from aetui.watching.gradients import Figure

_LARGEST = float(np.finfo(np.float32).max)
_NONE: dict[str, Figure] = {}
MOST = 16
"""Names that are kept; a loop that makes up new ones all the time must not fill the memory."""


class NamedParts:
    """Collects figures by name for each step, and hands them over in bulk; nothing waits for a device before that.

    One thread adds; any may take, also while a step is being computed.
    """

    def __init__(self, mean: Callable[[list[Figure]], Figure], say: Callable[[str], None]) -> None:
        """mean: of what was logged of one name for one step. say: gets what is to be said of a name, once."""
        self._mean, self._say = mean, say
        self._names: set[str] = set()
        self._refused: set[str] = set()
        self._open: dict[str, list[Figure]] = {}
        self._rows: list[tuple[bool, dict[str, Figure]]] = []
        self._taking = threading.Lock()

    def note(self, name: str, figure: Callable[[], Figure]) -> None:
        """Take note of a figure of the step that is open."""
        if name in self._refused:
            return
        if name not in self._names and len(self._names) >= MOST:
            self._refuse(name, f"{MOST} names are curves already, so {name!r} of run.log is not kept")
            return
        try:
            value = figure()
        except (TypeError, ValueError, RuntimeError):
            self._refuse(name, f"{name!r} of run.log is no number, so it is no curve")
            return
        self._names.add(name)
        self._open.setdefault(name, []).append(value)

    def _refuse(self, name: str, text: str) -> None:
        # Of names without end, those beyond the first few are refused without a word.
        if len(self._refused) < MOST:
            self._refused.add(name)
            self._say(text)

    def clear(self) -> None:
        """What was noted belongs to no step."""
        self._open = {}

    def close(self, *, known: bool) -> None:
        """The step that is open has all that it will get. known: whether its loss is."""
        if not self._open:
            self._rows.append((known, _NONE))
            return
        self._rows.append((known, {name: self._mean(values) for name, values in self._open.items()}))
        self._open = {}

    def take(self, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The first `count` steps that were closed and not taken: each array of shape (count,), NaN where none was.

        Besides, of which of them the loss is known, bool of shape (count,).
        """
        with self._taking:
            closed = self._rows[:count]
            del self._rows[: len(closed)]
        known, rows = np.array([one[0] for one in closed], dtype=bool), [one[1] for one in closed]
        names = dict.fromkeys(name for row in rows for name in row)
        found = {name: np.full(count, np.nan, np.float32) for name in names}
        waiting: list[tuple[str, int]] = []
        tensors: list[Tensor] = []
        for at, row in enumerate(rows):
            for name, value in row.items():
                if isinstance(value, Tensor):
                    waiting.append((name, at))
                    tensors.append(value.reshape(()).float())
                else:
                    found[name][at] = _as_float32(value)
        # One transfer for all steps of each device.
        for device in {tensor.device for tensor in tensors}:
            here = [index for index, tensor in enumerate(tensors) if tensor.device == device]
            values = torch.stack([tensors[index] for index in here]).cpu().numpy()
            for index, value in zip(here, values.tolist(), strict=True):
                name, at = waiting[index]
                found[name][at] = value
        return found, known


def _as_float32(value: float) -> float:
    """A number as it fits in float32; beyond its range it is infinite."""
    return math.copysign(math.inf, value) if abs(value) > _LARGEST else value
