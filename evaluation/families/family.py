"""What a family of models is, and how the modules of this folder state theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from evaluation.reported.case import GOOD, LOST, ReportedCase, Settings, seeded


@dataclass(frozen=True)
class Bug:
    """One slip planted into a family's code."""

    name: str
    cause: str
    """One of `aetui.report.CAUSES`."""
    story: str
    also: tuple[str, ...] = ()
    """Causes that a fair reader would accept as well."""
    verdicts: tuple[str, ...] = LOST
    """Verdicts that are right."""


Build = Callable[[int, str], Settings]
"""(seed, name of the bug or '') -> arguments of `aetui.diagnose`."""


def family(
    cases: list[ReportedCase], *, story: str, bugs: Sequence[Bug], verdicts: tuple[str, ...] = GOOD
) -> Callable[[Build], Build]:
    """Adds what the decorated builder makes to `cases`: first as it should be, then once with each bug."""

    def add(build: Build) -> Build:
        name = getattr(build, "__name__", "family").replace("_", "-")
        right = partial(seeded, build, "")
        cases.append(
            ReportedCase(
                name=name, cause=None, also=(), verdicts=verdicts, story=story, source="", make=right, repair=None,
                code=0,
            )
        )  # fmt: skip
        cases.extend(
            ReportedCase(
                name=f"{name}.{bug.name}", cause=bug.cause, also=bug.also, verdicts=bug.verdicts, story=bug.story,
                source="", make=partial(seeded, build, bug.name), repair=right, code=0,
            )
            for bug in bugs
        )  # fmt: skip
        return build

    return add
