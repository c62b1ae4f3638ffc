"""Measures the diagnosis on cases that are written out: the reported ones, and those of the families."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence

import torch

from aetui.diagnosis import diagnose, preflight
from evaluation.reported import ReportedCase
from evaluation.tally import Result

SEED = 0


def score_written(cases: Sequence[ReportedCase], *, progress: bool = True) -> list[Result]:
    """Diagnose every case, in order.

    A cause that a fair reader of the report would accept as well counts as the case's own.

    Args:
        progress: write a line to the standard error stream after each case.
    """
    torch.set_num_threads(1)
    results: list[Result] = []
    for number, case in enumerate(cases, start=1):
        results.append(_judge(case))
        if progress:
            last = results[-1]
            print(f"{number}/{len(cases)} {last.seconds:.1f} s  {last.id}  {last.verdict}", file=sys.stderr, flush=True)
    return results


def _judge(case: ReportedCase) -> Result:
    settings = case.make(SEED)
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = diagnose(**settings)
        seconds = time.monotonic() - began
        early = preflight(**settings)
    named = {accepted: case.cause for accepted in case.also if case.cause}
    return Result(
        id=case.name,
        cause=case.cause,
        variant=case.story.split(".")[0],
        visible=False,
        verdict=report.verdict,
        headline=report.headline,
        ranked=tuple((named.get(one.cause) or one.cause, one.confidence) for one in report.findings),
        preflight=tuple((one.cause, one.confidence) for one in early),
        explained=report.explained_variance.whole,
        steps=report.steps,
        probe_steps=report.probe_steps,
        seconds=seconds,
    )
