"""Small running measures of the loop itself: speed, clipped share, memory."""

import os
import time
from collections import deque

import numpy as np
import torch

_WINDOW = 2.0
_WARM_UP = 3.0
"""Seconds from the first step on that tell nothing of those that follow: caches, kernels and gauges come into being."""
_STEADY_WINDOW = 60.0
_APART = 1.0
"""Seconds between two marks of the last minute."""
_RECENT_STEPS = 100

_Marks = deque[tuple[float, int]]


class SpeedMeter:
    """Steps per second of one stretch of training, from its beginning on: a pause ends it."""

    def __init__(self) -> None:
        self._marks: _Marks = deque()
        self._steady: _Marks = deque()
        self._began = time.perf_counter()

    def add(self, step: int) -> None:
        """Take note that `step` steps are done now."""
        now = time.perf_counter()
        self._marks.append((now, step))
        _forget(self._marks, now - _WINDOW)
        apart = not self._steady or now - self._steady[-1][0] >= _APART
        if now - self._began >= _WARM_UP and apart:
            self._steady.append((now, step))
            _forget(self._steady, now - _STEADY_WINDOW)

    @property
    def rate(self) -> float | None:
        """Over the last two seconds, None before there is one."""
        return _rate(self._marks[0], self._marks[-1]) if self._marks else None

    def seconds_left(self, goal: int | None) -> float | None:
        """Seconds up to step `goal` at the speed of the last minute; None without a goal, and while it warms up."""
        if goal is None or not self._steady or self._marks[-1][0] - self._steady[0][0] < _WINDOW:
            return None
        rate, (_, done) = _rate(self._steady[0], self._marks[-1]), self._marks[-1]
        return (goal - done) / rate if rate and goal > done else None


def _forget(marks: _Marks, before: float) -> None:
    while len(marks) > 2 and marks[1][0] <= before:
        marks.popleft()


def _rate(first: tuple[float, int], last: tuple[float, int]) -> float | None:
    seconds = last[0] - first[0]
    return (last[1] - first[1]) / seconds if seconds > 0 else None


class ClippedShare:
    """Share of the last 100 steps in which clipping changed the gradient."""

    def __init__(self) -> None:
        self._recent = np.empty(0, dtype=np.float32)

    def add(self, clipped: np.ndarray) -> None:
        self._recent = np.concatenate([self._recent, clipped[-_RECENT_STEPS:]])[-_RECENT_STEPS:]

    @property
    def share(self) -> float | None:
        return float(self._recent.mean()) if len(self._recent) else None


def crowded() -> bool:
    """Whether others want all cores while the calling thread trains with several, which then wait for each other.

    By the load average of the last minute. With two busy programs beside it on two cores, a run with two threads has
    half the speed of one with a single thread (docs/measurements.md).
    """
    threads = torch.get_num_threads()
    if threads < 2 or not hasattr(os, "getloadavg"):
        return False
    return os.getloadavg()[0] - threads >= (os.cpu_count() or 1)


def card_of(device: torch.device) -> str:
    """The UUID of a CUDA device, as its driver has it; '' for any other."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""


def memory_in_use(device: torch.device) -> int | None:
    """Bytes that tensors hold on a GPU; on a CPU the process's resident memory, None where unknown."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
