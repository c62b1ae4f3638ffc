"""`aetui bench`: measure, and print as a table or JSON."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aetui.bench import forks, with_screen
from aetui.bench.cases import CASES
from aetui.bench.spread import Figure, median, percentiles, ratios
from aetui.openmp import bound_spin, unbound

BY_HAND = ("plain", "lean", "watched", "shown")
"""The loop that people write, the leanest, that of `plain` with `aetui.watch`, and the same with a screen attached."""
ENGINES = ("engine", "diagnosed", "stored")
PLACEMENTS = ("process", "thread")
KINDS = (*BY_HAND, *ENGINES, *PLACEMENTS)
RATIOS = (
    ("process", "lean"), ("process", "plain"), ("thread", "lean"), ("engine", "lean"), ("diagnosed", "engine"),
    ("stored", "engine"), ("watched", "plain"), ("shown", "plain"),
)  # fmt: skip
BUSY = ("plain", "engine")
"""What is measured beside as many spinning processes as there are cores."""
_TURNS = 2
"""Turns that the loops of one process take."""
_FORKS = 1.7 * forks.FORKS * forks.SECONDS
"""Seconds, about, of the forks and the runs one after another."""
_START, _START_BUSY, _SCREEN, _ATTACHED, _KEYS = 3.0, 8.0, 5.5, 3.0, 5.0
"""Seconds, about: until a process trains, the same on a busy machine, what a screen takes besides, one that is
attached, its keys."""


def bench_and_print(*, rounds: int, seconds: float, as_json: bool) -> int:
    """Measure everything and print it; what it does and how long it takes goes to stderr."""
    report = bench(rounds, seconds)
    print(json.dumps(report) if as_json else as_table(report))
    return 0


@dataclass
class _Case:
    """What the rounds found of one case."""

    rates: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """Steps per second of every turn."""
    by_round: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """The same, as medians of each round."""
    busy: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in BUSY})

    def add(self, rates: dict[str, list[float]]) -> None:
        for kind, found in rates.items():
            self.rates[kind] += found
            self.by_round[kind].append(statistics.median(found))

    def ratio(self, over: str, under: str) -> Figure:
        """Turn by turn where both took turns in one process, else round by round."""
        together = {over, under} <= set(ENGINES) or {over, under} <= set(BY_HAND)
        found = self.by_round if not together or "shown" in (over, under) else self.rates
        return ratios(found[over], found[under])


def bench(rounds: int, seconds: float) -> dict[str, Any]:
    """All figures: medians over `rounds` rounds of turns of `seconds` each, with the lowest and the highest."""
    progress = _Progress(rounds * _round_seconds(seconds) + _FORKS)
    cases = {case: _Case() for case in CASES}
    watched: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PLACEMENTS}
    first_frames: list[float] = []
    imports: list[float] = []
    for turn in range(rounds):
        where = f"round {turn + 1} of {rounds}"
        progress.say(f"{where}: first frame")
        imports.append(with_screen.import_torch())
        first_frames.append(with_screen.first_frame())
        for case, found in cases.items():
            progress.say(f"{where}: {case}, loops without a screen")
            found.add(loops(case, BY_HAND, seconds))
            found.add(loops(case, ENGINES, seconds))
            for kind in PLACEMENTS:
                progress.say(f"{where}: {case} with a screen, engine in a {kind}")
                run = with_screen.watched(case, kind, seconds, keys=case == "tiny")
                found.add({kind: [run["steps_per_second"]]})
                if case == "tiny":
                    watched[kind].append(run)
            progress.say(f"{where}: {case} on a busy machine")
            with _busy_machine():
                for kind in BUSY:
                    found.busy[kind].append(statistics.median(loops(case, (kind,), seconds)[kind]))
    progress.say(f"{forks.FORKS} forks, and as many runs one after another")
    beside = forks.measure()
    progress.say("")
    report = {
        "machine": _machine(),
        "cases": {case: {kind: Figure.of(found.rates[kind]) for kind in KINDS} for case, found in cases.items()},
        "busy": {case: {kind: Figure.of(found.busy[kind]) for kind in BUSY} for case, found in cases.items()},
        "ratios": {case: _ratios(found) for case, found in cases.items()},
        "first_frame_s": statistics.median(first_frames),
        "import_torch_s": statistics.median(imports),
        "key_ms": {kind: percentiles([ms for run in runs for ms in run["key_ms"]]) for kind, runs in watched.items()},
        "terminal_bytes_per_s": median(watched["process"], "bytes_per_second"),
        "screen_cpu_share": median(watched["process"], "cpu_share"),
        "screen_rss_mb": median(watched["process"], "rss_mb"),
        "forks": beside,
    }
    return msgspec.to_builtins(report)


def _ratios(found: _Case) -> dict[str, Figure]:
    named = {f"{over}_over_{under}": found.ratio(over, under) for over, under in RATIOS}
    return named | {"busy_engine_over_plain": ratios(found.busy["engine"], found.busy["plain"])}


def _round_seconds(seconds: float) -> float:
    """About how long a round takes, from what its parts take on two cores."""
    turns = seconds * (_TURNS + 0.5)
    by_hand_and_engines = 2 * _START + turns * (len(BY_HAND) - 1 + len(ENGINES)) + _ATTACHED + 1.5 * seconds
    screens = len(PLACEMENTS) * (_SCREEN + seconds)
    busy = len(BUSY) * (_START_BUSY + turns)
    return _START + len(PLACEMENTS) * _KEYS + len(CASES) * (by_hand_and_engines + screens + busy)


def loops(case: str, kinds: Sequence[str], seconds: float, device: str = "cpu") -> dict[str, list[float]]:
    """Steps per second of loops that take turns in a process of their own; those by hand find PyTorch as it comes."""
    command = [sys.executable, "-m", "aetui.bench.loops", case, ",".join(kinds), str(_TURNS), str(seconds), device]
    environment = dict(os.environ)
    (unbound if kinds[0] == "plain" else bound_spin)(environment)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout)


@contextmanager
def _busy_machine() -> Iterator[None]:
    """As many processes that never rest as there are cores."""
    others = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _machine() -> dict[str, Any]:
    from importlib.metadata import version

    packages = {name: version(name) for name in ("torch", "textual", "plotext", "numpy")}
    return {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version(), **packages}


class _Progress:
    """What is being measured, on stderr: one line that is drawn again on a terminal, else a line each."""

    def __init__(self, seconds: float) -> None:
        self._start, self._seconds = time.monotonic(), seconds
        self._terminal = sys.stderr.isatty()
        print(f"this takes about {max(1, round(seconds / 60))} min; let nothing else run", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Show what is measured now; '' takes the line away."""
        passed = f"[{time.monotonic() - self._start:.0f} of about {self._seconds:.0f} s] " if text else ""
        if self._terminal:
            print(f"\r\x1b[K{passed}{text}", end="", file=sys.stderr, flush=True)
        elif text:
            print(passed + text, file=sys.stderr, flush=True)


def as_table(report: dict[str, Any]) -> str:
    """The report as text: medians, with lowest and highest where it was measured more than once."""
    found = msgspec.convert(report["cases"], dict[str, dict[str, Figure]])
    busy = msgspec.convert(report["busy"], dict[str, dict[str, Figure]])
    quotients = msgspec.convert(report["ratios"], dict[str, dict[str, Figure]])
    speeds = [
        *((kind, [found[case][kind].text() for case in CASES]) for kind in KINDS),
        *((f"{kind}, busy", [busy[case][kind].text() for case in CASES]) for kind in BUSY),
    ]
    names = list(next(iter(quotients.values())))
    shares = [(ratio_name(name), [quotients[case][name].text(2) for case in CASES]) for name in names]
    lines = [*_columns("steps/s", speeds), "", *_columns("ratio", shares)]
    share = report["first_frame_s"] / report["import_torch_s"]
    lines += ["", f"first frame        {report['first_frame_s']:.2f} s, {share:.2f} of importing torch"]
    for kind, times in report["key_ms"].items():
        lines.append(f"key to effect      p50 {times['p50']:.0f} ms, p95 {times['p95']:.0f} ms ({kind})")
    lines.append(f"to the terminal    {report['terminal_bytes_per_s'] / 1e3:.1f} kB/s")
    if report["screen_cpu_share"] is not None:
        lines.append(f"screen's process   {report['screen_cpu_share']:.1%} of a core, {report['screen_rss_mb']:.0f} MB")
    lines.append(forks.text(report["forks"]))
    return "\n".join(lines)


def ratio_name(name: str) -> str:
    """`engine / plain, busy` for `busy_engine_over_plain`."""
    text = name.removeprefix("busy_").replace("_over_", " / ")
    return f"{text}, busy" if name.startswith("busy_") else text


def _columns(corner: str, rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    head = corner, list(CASES)
    return [f"{name:<21}" + "".join(f"{text:>25}" for text in texts) for name, texts in (head, *rows)]
