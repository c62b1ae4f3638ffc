"""The program with a screen, measured on a pseudo-terminal."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aetui.bench.cases import case_arguments, case_spec
from aetui.bench.pseudo_terminal import Terminal
from aetui.engine.steering import Ladder
from aetui.spec.fields import fields_of
from aetui.spec.sections import Optim

_F5, _F7, _F8 = b"\x1b[15~", b"\x1b[18~", b"\x1b[19~"
_PRESSES = 20


def import_torch() -> float:
    """Seconds that a process takes to import torch and nothing else."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - start


def first_frame() -> float:
    """Seconds from the start of the process until the workbench is drawn."""
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal([], Path(home))
        try:
            terminal.wait_for("F5")
            return time.perf_counter() - terminal.started
        finally:
            terminal.wait_for("PAUSED")
            terminal.close()


def watched(case: str, placement: str, seconds: float, keys: bool) -> dict[str, Any]:
    """A run watched on a real terminal; the engine's log gives its speed.

    Two acknowledged tweaks of the rate, some seconds apart, bound the measurement; the keys are
    measured afterwards, so that they cost the speed nothing.
    """
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal(["run", *case_arguments(case), "--engine", placement, "--start"], Path(home))
        try:
            terminal.wait_for("RUNNING")
            terminal.read(max(1.5, seconds / 2))
            terminal.press(_F7)
            terminal.read(0.5)
            cpu, drawn, start = terminal.cpu_seconds(), terminal.bytes, time.perf_counter()
            terminal.read(seconds)
            elapsed = time.perf_counter() - start
            spent = terminal.cpu_seconds()
            found: dict[str, Any] = {
                "bytes_per_second": (terminal.bytes - drawn) / elapsed,
                "cpu_share": None if cpu is None or spent is None else (spent - cpu) / elapsed,
                "rss_mb": terminal.resident_mb(),
            }
            terminal.press(_F8)
            terminal.read(0.5)
            found["key_ms"] = _key_times(terminal, case_spec(case).optim) if keys else []
            terminal.press(_F5)
            terminal.wait_for("PAUSED")
            found["steps_per_second"] = _speed(terminal)
        finally:
            terminal.close()
        return found


def _speed(terminal: Terminal) -> float:
    """Steps per second between the first two tweaks in the engine's log."""
    (start, first, _), (end, last, _) = [event for event in terminal.log_events() if "optim.lr" in event[2]][:2]
    return (last - first) / (end - start)


def _key_times(terminal: Terminal, optim: Optim) -> list[float]:
    """Milliseconds from a press of F7 or F8 until the new rate is on the screen."""
    ladder, field = Ladder(), fields_of(type(optim))["lr"]
    rate = optim.lr
    times = []
    for press in range(_PRESSES):
        rung = -1 if press % 4 < 2 else 1
        rate = ladder.moved(rate, rung)
        # Presses at regular times would always meet the same phase of the frame timer.
        terminal.read(0.15 + 0.037 * (press % 5))
        start = time.perf_counter()
        terminal.press(_F7 if rung < 0 else _F8)
        terminal.wait_for(f"-> {field.format(rate)}", timeout=20)
        times.append((time.perf_counter() - start) * 1e3)
    return times
