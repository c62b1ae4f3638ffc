"""Failures of autoencoders that people reported, written anew in PyTorch, with what was really wrong.

They measure the diagnosis on what users meet; `python -m evaluation.reported.check` shows that each really fails and
that its repair really repairs.
"""

from evaluation.reported import dead, healthy, initial, kl, output_range, rates, scaling, training, wiring
from evaluation.reported.case import ReportedCase

__all__ = ["ReportedCase", "cases"]


def cases() -> tuple[ReportedCase, ...]:
    """All cases, failures first and what is fine last; names are unique."""
    return (
        *output_range.CASES,
        *scaling.CASES,
        *kl.CASES,
        *dead.CASES,
        *rates.CASES,
        *wiring.CASES,
        *initial.CASES,
        *training.CASES,
        *healthy.CASES,
    )
