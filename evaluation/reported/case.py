"""What a reported case is, and how the modules of this folder state theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch

Settings = dict[str, Any]
"""Keyword arguments of `aetui.diagnosis.diagnose`."""

LOST = ("collapsed", "worse-than-linear", "partial")
"""Verdicts that fit outputs which follow the data too little."""
SLOW = ("under-trained", "collapsed", "worse-than-linear", "partial")
"""Verdicts that fit a run which hardly moved."""
BROKEN = ("diverged", "collapsed", "worse-than-linear", "partial")
"""Verdicts that fit a run which blew up, or came down somewhere useless."""
GOOD = ("healthy", "at-limit")


@dataclass(frozen=True)
class ReportedCase:
    """A model and its training as somebody reported them, with what was really wrong."""

    name: str
    cause: str | None
    """One of `aetui.report.CAUSES`; None where nothing is wrong."""
    also: tuple[str, ...]
    """Causes that a fair reader of the report would accept as well."""
    verdicts: tuple[str, ...]
    """Verdicts that are right."""
    story: str
    source: str
    """The report, or reports of this kind. Where a report leaves its cause open, the fault here is one that gives the
    same symptom."""
    make: Callable[[int], Settings]
    """seed -> settings of the run as reported; the same seed gives the same model and data."""
    repair: Callable[[int], Settings] | None
    """seed -> settings with the fault removed; None where nothing is wrong."""
    code: int
    """Units of the narrowest layer, where PCA with as many components is a fair yardstick; else 0."""


def run(**settings: Any) -> Settings:
    """The settings of a run."""
    return settings


Build = Callable[[int, bool], Settings]
"""(seed, fixed) -> settings."""


Which = TypeVar("Which")


def seeded(build: Callable[[int, Which], Settings], which: Which, seed: int) -> Settings:
    """What `build` makes of the seed, with the global generator seeded meanwhile."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(seed, which)


def reported(
    family: list[ReportedCase],
    *,
    cause: str,
    story: str,
    source: str,
    also: tuple[str, ...] = (),
    verdicts: tuple[str, ...] = LOST,
    code: int = 0,
) -> Callable[[Build], Build]:
    """Adds the decorated builder to `family` as a failure; the case is named after the function."""

    def add(build: Build) -> Build:
        family.append(
            ReportedCase(
                name=_name(build), cause=cause, also=also, verdicts=verdicts, story=story, source=source,
                make=partial(seeded, build, False), repair=partial(seeded, build, True), code=code,
            )
        )  # fmt: skip
        return build

    return add


def fine(
    family: list[ReportedCase],
    *,
    story: str,
    source: str,
    verdicts: tuple[str, ...] = GOOD,
    code: int = 0,
) -> Callable[[Callable[[int], Settings]], Callable[[int], Settings]]:
    """Adds the decorated builder (of a seed alone) to `family` as a run with which nothing is wrong."""

    def add(build: Callable[[int], Settings]) -> Callable[[int], Settings]:
        family.append(
            ReportedCase(
                name=_name(build), cause=None, also=(), verdicts=verdicts, story=story, source=source,
                make=partial(seeded, lambda seed, _fixed: build(seed), False), repair=None, code=code,
            )
        )  # fmt: skip
        return build

    return add


def _name(build: Callable[..., Settings]) -> str:
    return getattr(build, "__name__", "case").replace("_", "-")
