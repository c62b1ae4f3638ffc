"""Waiting for an engine to save its run and end: as long as it shows signs of work, and never without a word."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE = 20.0
"""Seconds without a sign of work until an engine is given up."""
AFTERMATH = 5.0
"""Seconds from the end of a connection to that of its process, and for one that has no run to save."""
_SILENCE = 1.5
"""Seconds until the user is told what is waited for."""
_GLANCE = 0.2


def wait_for_end(
    ended: Callable[[float], bool],
    process: int,
    say: Callable[[str], None] | None,
    patience: float | None = None,
    *,
    saves: bool = True,
) -> bool:
    """Whether the engine in `process` has ended; False when it shows no sign of work any more.

    `ended` waits for up to the seconds it is given. What the process writes, and a thread of it that waits for
    a disk, are signs of work: a large checkpoint takes its time. saves: whether there is a run to save.
    """
    began = quiet_since = time.monotonic()
    written, said = _written(process), say is None
    patience = PATIENCE if patience is None else patience
    while not ended(_GLANCE):
        now = time.monotonic()
        if not said and say is not None and now - began > _SILENCE:
            say(f"waiting for the engine to {'save the run' if saves else 'end'}; Ctrl+C leaves it to that")
            said = True
        before, written = written, _written(process)
        if written != before or _waits_for_disk(process):
            quiet_since = now
        if now - quiet_since > patience:
            return False
    return True


def _written(process: int) -> str:
    """What the process has written so far; the same text each time where the system does not tell."""
    with suppress(OSError):
        return "".join(line for line in Path(f"/proc/{process}/io").read_text().splitlines() if line.startswith("w"))
    return ""


def _waits_for_disk(process: int) -> bool:
    with suppress(OSError):
        for stat in Path(f"/proc/{process}/task").glob("*/stat"):
            with suppress(OSError):
                if stat.read_text().rpartition(")")[2].split()[0] == "D":
                    return True
    return False


def is_alive(process: int) -> bool:
    """Whether a process of this user runs; one that waits for its parent to take note of its end does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False
