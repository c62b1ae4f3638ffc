"""The verdict that a record keeps: what the diagnosis said last, and of which step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from aetui.report import Report


class Judged(Struct, frozen=True, kw_only=True):
    """A report on a run, and of which step it is."""

    report: Report
    step: int
    probed: bool = False
    """Whether the findings were checked with probes."""


def judged_of(kept: Mapping[str, Any] | None) -> Judged | None:
    """What a record has of the diagnosis, None where it has nothing that this version can read."""
    if not kept:
        return None
    try:
        return msgspec.convert(kept, Judged)
    except msgspec.ValidationError:
        return None
