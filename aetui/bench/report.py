"""`aetui bench`: measure, and print as a table or JSON."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aetui.bench.cases import CASES, case_arguments, case_spec
from aetui.bench.terminal import Terminal
from aetui.engine.steering import Ladder
from aetui.spec.fields import fields_of
from aetui.spec.sections import Optim

LOOPS = ("plain", "lean", "engine", "diagnosed")
PLACEMENTS = ("process", "thread")
_F5, _F7, _F8 = b"\x1b[15~", b"\x1b[18~", b"\x1b[19~"
_PRESSES = 20
RATIOS = {
    "process_over_lean": ("process", "lean"),
    "process_over_plain": ("process", "plain"),
    "thread_over_lean": ("thread", "lean"),
    "engine_over_lean": ("engine", "lean"),
    "diagnosed_over_engine": ("diagnosed", "engine"),
}


STORE = "stored_over_engine"
"""The ratio that is measured in turns within a process, not from the medians of two."""


def bench_and_print(*, rounds: int, seconds: float, as_json: bool) -> int:
    """Measure everything and print it; progress goes to stderr."""
    report = bench(rounds, seconds)
    print(json.dumps(report) if as_json else as_table(report))
    return 0


def bench(rounds: int, seconds: float) -> dict[str, Any]:
    """All figures: medians over `rounds` interleaved rounds of `seconds` each."""
    speeds: dict[str, dict[str, list[float]]] = {case: {kind: [] for kind in (*LOOPS, *PLACEMENTS)} for case in CASES}
    watched: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PLACEMENTS}
    stores: dict[str, list[float]] = {case: [] for case in CASES}
    first_frames: list[float] = []
    imports: list[float] = []
    for turn in range(rounds):
        imports.append(_import_torch())
        first_frames.append(_first_frame())
        for case in CASES:
            _say(f"round {turn + 1} of {rounds}: {case}")
            for kind in LOOPS:
                speeds[case][kind].append(*_loop(case, kind, seconds))
            without, with_store = _loop(case, "store", seconds)
            stores[case].append(with_store / without)
            for kind in PLACEMENTS:
                found = _watched(case, kind, seconds, keys=case == "tiny")
                speeds[case][kind].append(found["steps_per_second"])
                if case == "tiny":
                    watched[kind].append(found)
    _say("")
    cases = {
        case: {kind: statistics.median(values) for kind, values in kinds.items()} for case, kinds in speeds.items()
    }
    return {
        "machine": _machine(),
        "cases": cases,
        "ratios": {
            case: {name: found[over] / found[under] for name, (over, under) in RATIOS.items()}
            | {STORE: statistics.median(stores[case])}
            for case, found in cases.items()
        },
        "first_frame_s": statistics.median(first_frames),
        "import_torch_s": statistics.median(imports),
        "key_ms": {kind: _percentiles([ms for run in runs for ms in run["key_ms"]]) for kind, runs in watched.items()},
        "terminal_bytes_per_s": _median(watched["process"], "bytes_per_second"),
        "screen_cpu_share": _median(watched["process"], "cpu_share"),
        "screen_rss_mb": _median(watched["process"], "rss_mb"),
    }


def _loop(case: str, kind: str, seconds: float) -> list[float]:
    command = [sys.executable, "-m", "aetui.bench.loops", case, kind, str(seconds)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in printed.split()]


def _import_torch() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - start


def _first_frame() -> float:
    """Seconds from the start of the process until the workbench is drawn."""
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal([], Path(home))
        try:
            terminal.wait_for("F5")
            return time.perf_counter() - terminal.started
        finally:
            terminal.wait_for("PAUSED")
            terminal.close()


def _watched(case: str, placement: str, seconds: float, keys: bool) -> dict[str, Any]:
    """A run watched on a real terminal; the engine's log gives its speed.

    Two acknowledged tweaks of the rate, some seconds apart, bound the measurement; the keys are
    measured afterwards, so that they cost the speed nothing.
    """
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal(["run", *case_arguments(case), "--engine", placement, "--start"], Path(home))
        try:
            terminal.wait_for("RUNNING")
            terminal.read(max(2.0, seconds / 2))
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


def _percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": statistics.median(values), "p95": cuts[-1]}


def _median(runs: list[dict[str, Any]], name: str) -> float | None:
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.median(values) if values else None


def _machine() -> dict[str, Any]:
    from importlib.metadata import version

    packages = {name: version(name) for name in ("torch", "textual", "plotext", "numpy")}
    return {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version(), **packages}


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def as_table(report: dict[str, Any]) -> str:
    """The report as text."""
    kinds = (*LOOPS, *PLACEMENTS)
    lines = [f"{'steps/s':<10}" + "".join(f"{kind:>10}" for kind in kinds)]
    for case, found in report["cases"].items():
        lines.append(f"{case:<10}" + "".join(f"{found[kind]:>10,.0f}" for kind in kinds))
    names = (*RATIOS, STORE)
    lines += ["", f"{'ratio':<10}" + "".join(f"{name.replace('_over_', ' / '):>20}" for name in names)]
    for case, found in report["ratios"].items():
        lines.append(f"{case:<10}" + "".join(f"{found[name]:>20.2f}" for name in names))
    share = report["first_frame_s"] / report["import_torch_s"]
    lines += ["", f"first frame        {report['first_frame_s']:.2f} s, {share:.2f} of importing torch"]
    for kind, found in report["key_ms"].items():
        lines.append(f"key to effect      p50 {found['p50']:.0f} ms, p95 {found['p95']:.0f} ms ({kind})")
    lines.append(f"to the terminal    {report['terminal_bytes_per_s'] / 1e3:.1f} kB/s")
    if report["screen_cpu_share"] is not None:
        lines.append(f"screen's process   {report['screen_cpu_share']:.1%} of a core, {report['screen_rss_mb']:.0f} MB")
    return "\n".join(lines)
