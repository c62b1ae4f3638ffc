"""Small running measures of the loop itself: speed, clipped share, memory."""

import os
import time
from collections import deque

import numpy as np
import torch

_WINDOW = 2.0
_RECENT_STEPS = 100


class SpeedMeter:
    """Steps per second over the last two seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def add(self, step: int) -> None:
        now = time.perf_counter()
        self._marks.append((now, step))
        while len(self._marks) > 2 and self._marks[1][0] <= now - _WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float | None:
        if len(self._marks) < 2:
            return None
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - start) if end > start else None


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
