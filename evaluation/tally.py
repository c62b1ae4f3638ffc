"""What the diagnoses of a set of cases add up to."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

UNFLAGGED = ("healthy", "at-limit", "trivial-data")
"""Verdicts under which a report flags nothing, unless a finding is confident."""
CONFIDENT = 0.5

_One = TypeVar("_One")


class Result(Struct, frozen=True, kw_only=True):
    """One case and what was said about it."""

    id: str
    cause: str | None
    """What was planted; None where nothing is wrong."""
    variant: str
    visible: bool
    """Whether the fault can be seen before the first step."""
    verdict: str = ""
    headline: str = ""
    ranked: tuple[tuple[str, float], ...] = ()
    """Causes with their confidences, best first."""
    preflight: tuple[tuple[str, float], ...] = ()
    """The same before the first step."""
    explained: float | None = None
    figures: dict[str, float] = {}
    """Explained variance of broken and repaired run by the plain loop, where it was checked."""
    attempt: int = 0
    steps: int = 0
    probe_steps: int = 0
    seconds: float = 0.0
    error: str = ""
    """The exception, if the diagnosis raised one."""
    contradictions: tuple[str, ...] = ()
    """What does not go together in the report."""

    @property
    def flagged(self) -> bool:
        """Whether the report says that something is wrong."""
        confident = bool(self.ranked) and self.ranked[0][1] >= CONFIDENT
        return bool(self.error) or self.verdict not in UNFLAGGED or confident

    def named(self, within: int) -> bool:
        """Whether the planted cause is among the first `within` findings."""
        return self.cause in [cause for cause, _ in self.ranked[:within]]

    def foreseen(self, within: int) -> bool:
        """Whether the planted cause is among the first `within` findings before the first step."""
        return self.cause in [cause for cause, _ in self.preflight[:within]]


class Share(Struct, frozen=True):
    """A count out of a number of cases."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """NaN where there are no cases."""
        return self.count / self.of if self.of else math.nan

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927), Journal of the American Statistical Association 22."""
        if not self.of:
            return math.nan, math.nan
        z, n, p = 1.959964, self.of, self.share
        center, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (center - half) / (1 + z * z / n)), min(1.0, (center + half) / (1 + z * z / n))

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.interval()
        return f"{100 * self.share:5.1f} %  {self.count}/{self.of}  ({100 * low:.1f} to {100 * high:.1f} %)"


def count(flags: Iterable[bool]) -> Share:
    """How many are true."""
    flags = list(flags)
    return Share(sum(flags), len(flags))


def summary(results: Sequence[Result]) -> dict[str, Share]:
    """The figures of the score, by name."""
    faults = [r for r in results if r.cause is not None]
    visible = [r for r in faults if r.visible]
    return {
        "detection": count(r.flagged for r in faults),
        "false alarms": count(r.flagged for r in results if r.cause is None),
        "top-1 cause": count(r.named(1) for r in faults),
        "top-3 cause": count(r.named(3) for r in faults),
        "pre-flight names it first": count(r.foreseen(1) for r in visible),
        "pre-flight, first three": count(r.foreseen(3) for r in visible),
        "pre-flight alarms on healthy": count(
            bool(r.preflight) and r.preflight[0][1] >= CONFIDENT for r in results if r.cause is None
        ),
    }


def confusion(results: Iterable[Result]) -> dict[str, Counter[str]]:
    """What each planted cause (or `healthy`) was named first; `-` for no finding."""
    table: dict[str, Counter[str]] = {}
    for result in results:
        named = result.ranked[0][0] if result.ranked else "-"
        if result.cause is None and not result.flagged:
            named = "not flagged"
        table.setdefault(result.cause or "healthy", Counter())[named] += 1
    return table


def text(results: Sequence[Result]) -> str:
    """The score as lines of text."""
    lines = [f"{name:29} {share}" for name, share in summary(results).items()]
    seconds = [r.seconds for r in results]
    if seconds:
        slowest = max(results, key=lambda r: r.seconds)
        lines.append(f"{'seconds per case':29} {median(seconds):5.1f}    longest {slowest.seconds:.1f} ({slowest.id})")
    lines += ["", f"{'cause':22} {'cases':>5} {'found':>6} {'top-1':>6} {'top-3':>6}  first named instead"]
    table = confusion(results)
    for cause in sorted({r.cause for r in results if r.cause}):
        these = [r for r in results if r.cause == cause]
        found, first, third = (sum(flags) for flags in zip(*(_marks(r) for r in these), strict=True))
        others = ", ".join(f"{name} {n}" for name, n in table[cause].most_common() if name != cause)
        lines.append(f"{cause:22} {len(these):5} {found:6} {first:6} {third:6}  {others}")
    torn = [f"  {r.id}: {sentence}" for r in results for sentence in r.contradictions]
    lines += ["", "reports that contradict themselves", *torn] if torn else []
    lines += ["", "verdicts"]
    for kind in ("healthy", "faults"):
        verdicts = Counter(r.verdict or "error" for r in results if (r.cause is None) == (kind == "healthy"))
        lines.append(f"  {kind:10} " + ", ".join(f"{verdict} {n}" for verdict, n in verdicts.most_common()))
    missed = [r for r in results if r.error or (r.flagged if r.cause is None else not r.named(1))]
    lines += ["", "not as planted"] if missed else []
    for r in missed:
        said = ", ".join(f"{cause} {confidence:.2f}" for cause, confidence in r.ranked[:3]) or "no finding"
        lines.append(f"  {r.id:42} {r.variant}\n      {r.verdict}: {said}{'  ' + r.error if r.error else ''}")
    return "\n".join(lines)


def builtins(results: Sequence[Result]) -> dict[str, Any]:
    """The score for JSON: figures, confusion table and every case."""
    figures: dict[str, Any] = {}
    for name, share in summary(results).items():
        low, high = share.interval()
        figures[name] = {"count": share.count, "of": share.of, "share": _known(share.share)}
        figures[name]["interval"] = [_known(low), _known(high)]
    return {
        "summary": figures,
        "seconds_median": median(r.seconds for r in results) if results else None,
        "confusion": {cause: dict(named) for cause, named in confusion(results).items()},
        "cases": [
            msgspec.to_builtins(r) | {"flagged": r.flagged, "figures": {k: _known(v) for k, v in r.figures.items()}}
            for r in results
        ],
    }


def _marks(result: Result) -> tuple[bool, bool, bool]:
    return result.flagged, result.named(1), result.named(3)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def until_interrupted(results: Iterator[_One]) -> Iterator[_One]:
    """The cases that are done when the user presses ctrl+c still count."""
    try:
        yield from results
    except KeyboardInterrupt:
        print("\nstopped; the score is of the cases before", file=sys.stderr)
