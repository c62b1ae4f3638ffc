"""Kinds of autoencoders as their authors publish them, each right and with bugs planted.

Model, loss and step are written from scratch in the style that is usual for the kind, and given to `aetui.diagnose` as
they are, with a few lines of glue. `python -m evaluation.score --split families` measures the diagnosis on them.
"""

from evaluation.families import discrete, frameworks, plain, structured, variational
from evaluation.reported.case import ReportedCase

__all__ = ["cases"]


def cases() -> tuple[ReportedCase, ...]:
    """All families, each first as it should be and then with its bugs; names are unique."""
    return (*plain.CASES, *variational.CASES, *discrete.CASES, *structured.CASES, *frameworks.CASES)
