"""What on the machine slows a run: other processes on its cores or on its GPU, and a GPU that is too hot."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import psutil

log = logging.getLogger(__name__)

_APART = 5.0
"""Seconds between two looks, at least."""
_SHARE = 0.01
"""Share of the time that looking may take: a machine with thousands of processes is looked at less often."""
_BUSY = 0.5
"""Part of a core, or of its fair share where that is less, that a process uses which counts."""


class Cores:
    """Which processes besides this one and those it has started keep cores busy."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._seen: dict[int, float] = {}
        """Seconds of processor time, by process."""
        self._at = 0.0

    def look(self, threads: int) -> str:
        """What slows a run of so many threads, since the last look; '' where all have room."""
        cores, load = available(), os.getloadavg()[0]
        # The load average costs nothing; only where it says that cores are short is each process looked at.
        if load <= cores:
            self._seen = {}
            return ""
        before, self._seen = self._seen, self._times()
        passed, self._at = time.monotonic() - self._at, time.monotonic()
        if not before or passed <= 0:
            return ""
        used = [(spent - before[pid]) / passed for pid, spent in self._seen.items() if pid in before]
        # Where many want a core, each gets a small part of it.
        busy = [share for share in used if share >= _BUSY * min(1.0, cores / load)]
        return crowd(len(busy), cores) if sum(used) + threads > cores + _BUSY and busy else ""

    def _times(self) -> dict[int, float]:
        """Processor time of every other process."""
        own = {self._own.pid, *(child.pid for child in self._own.children(recursive=True))}
        found: dict[int, float] = {}
        for process in psutil.process_iter(["cpu_times"]):
            times = process.info["cpu_times"]  # None where the system does not tell of others'
            if process.pid not in own and times is not None:
                found[process.pid] = times.user + times.system
        return found


def available() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def crowd(others: int, cores: int) -> str:
    """That so many other processes want so many cores."""
    return f"{others} other process{'es' * (others > 1)} on {cores} core{'s' * (cores > 1)}"


class Gpu:
    """Other processes on a GPU, and whether it is throttled, as the driver tells by NVML."""

    def __init__(self, uuid: str) -> None:
        """uuid: of the card, as CUDA has it, so that CUDA_VISIBLE_DEVICES does not matter.

        Raises:
            Exception: there is no driver, or it does not know the card.
        """
        import pynvml

        self._nvml: Any = pynvml
        pynvml.nvmlInit()
        self._card = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")

    def look(self) -> str:
        """What slows a run on this card, '' for nothing."""
        nvml, card = self._nvml, self._card
        found: list[str] = []
        # In a container the driver has other numbers; one of them is this process then.
        others = len({one.pid for one in nvml.nvmlDeviceGetComputeRunningProcesses(card)}) - 1
        if others > 0 and nvml.nvmlDeviceGetUtilizationRates(card).gpu >= 90:
            found.append(f"{others} other process{'es' * (others > 1)} on the GPU")
        hot = nvml.nvmlClocksThrottleReasonHwThermalSlowdown | nvml.nvmlClocksThrottleReasonSwThermalSlowdown
        if nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card) & hot:
            degrees = nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU)
            found.append(f"the GPU is throttled at {degrees} °C")
        return ", ".join(found)


class Machine:
    """Looks now and then, from one thread; `slowed` may be read from any."""

    def __init__(self) -> None:
        self.slowed = ""
        """What slows the run, in a few words; '' for nothing."""
        self._cores: Cores | None = Cores() if hasattr(os, "getloadavg") else None
        self._gpu: Gpu | None = None
        self._card = ""
        self._next = 0.0

    def look(self, threads: int, card: Callable[[], str]) -> None:
        """Look again, where that is due. threads: of the run on the processor. card: UUID of its GPU, '' for none.

        Raises nothing: what can't be looked at is logged once and left out.
        """
        began = time.monotonic()
        if began < self._next:
            return
        found: list[str] = []
        if self._cores is not None:
            try:
                found.append(self._cores.look(threads))
            except (psutil.Error, OSError, ValueError):
                log.info("other processes can't be looked at", exc_info=True)
                self._cores = None
        found.append(self._of_gpu(card))
        self.slowed = ", ".join(filter(None, found))
        now = time.monotonic()
        self._next = now + max(_APART, (now - began) / _SHARE)

    def _of_gpu(self, card: Callable[[], str]) -> str:
        try:
            uuid = card()
            if uuid != self._card:
                self._card, self._gpu = uuid, None
                self._gpu = Gpu(uuid) if uuid else None
            return self._gpu.look() if self._gpu is not None else ""
        except Exception:
            # Without the driver's library, or with one of another version, the errors are NVML's own.
            log.info("the GPU can't be looked at", exc_info=True)
            self._gpu = None
            return ""
