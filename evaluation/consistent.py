"""Whether a report tells one story: its verdict, its figures and its findings speak of the same thing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aetui.report import FINE, LEARNING, Finding, Report

_SPREAD = re.compile(r"outputs vary ([\d.e+-]+) %")
_DEAD = re.compile(r"\d+ of \d+ code units are dead")
_FALL = "fall of the loss over the last quarter"
_KEPT = re.compile(r"a linear VAE would keep (\d+)%")
LIKELY = 0.3
"""Confidence of the first finding at least."""
FLAT = 30.0
"""Per cent of the data's variance up to which outputs are nearly the same for every input."""
CLEARLY = 0.05
"""Explained variance by which a probe does clearly better."""


def contradictions(report: Report) -> list[str]:
    """What does not go together in a report, a sentence each; empty where it tells one story."""
    return [*_verdict(report), *_findings(report)]


def _verdict(report: Report) -> Iterator[str]:
    spread = _SPREAD.search(report.headline)
    if report.verdict == "collapsed" and spread and float(spread[1]) > FLAT:
        yield f"collapsed, and the {spread[0]} of the data"
    if report.verdict == "under-trained":
        for one in (e for f in report.findings for e in f.evidence if e.measure == _FALL):
            if isinstance(one.value, int | float) and one.value < 0.0005:
                yield f"under-trained, and {one.text}"
    if report.verdict not in FINE and _DEAD.search(report.headline) and report.cause != "dead-units":
        yield f"dead code units in the verdict, and the first finding is {report.cause}"
    if report.verdict in FINE:
        made = report.explained_variance.whole
        for one in (e for f in report.findings for e in f.evidence if e.measure.startswith("probe:")):
            if made is not None and isinstance(one.value, int | float) and one.value > made + CLEARLY:
                yield f"{report.verdict} at {made:.3g}, and {one.text}"
    if report.verdict in FINE and report.ruled_out:
        yield f"{report.verdict}, and causes are ruled out"


def _findings(report: Report) -> Iterator[str]:
    if report.findings and report.verdict not in FINE and report.findings[0].confidence < LIKELY:
        yield f"the first finding has {report.findings[0].confidence}"
    if not report.findings and report.verdict not in (*FINE, LEARNING, "trivial-data") and not report.ruled_out:
        yield "no finding, and nothing is ruled out"
    for finding in report.findings:
        yield from _denied(finding)


def _denied(finding: Finding) -> Iterator[str]:
    """Evidence of a likely finding that speaks against it."""
    if finding.confidence < LIKELY:
        return
    probes = [one for one in finding.evidence if one.measure.startswith("probe:") and one.value != "skipped"]
    repaired = any("this repairs it" in one.text or "this helps" in one.text for one in probes)
    for one in finding.evidence:
        kept = _KEPT.search(one.text)
        if finding.cause == "posterior-collapse" and kept and int(kept[1]) >= 90 and not repaired:
            yield f"posterior-collapse at {finding.confidence}, and {one.text}"
