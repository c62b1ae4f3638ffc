"""What the runner of a script has made ready for the run that will be watched; nothing here loads torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def off() -> bool:
    """Whether the environment says that nothing is watched."""
    return os.environ.get("AETUI_WATCH", "1").strip().lower() in ("0", "false", "no", "off")


@dataclass
class Prepared:
    """Taken by the first run that begins, whether the runner finds it or the script calls `watch` itself.

    folder: an empty one; None for one that is made as ever. output: file that gets what the script prints, '' where
    that goes where it always does. began: told of the name and the folder of the run.
    """

    folder: Path | None = None
    output: str = ""
    began: Callable[[str, str], None] | None = None


_waiting: list[Prepared] = []


def prepare(one: Prepared) -> None:
    _waiting.append(one)


def taken() -> Prepared | None:
    """What is ready, once."""
    return _waiting.pop() if _waiting else None
