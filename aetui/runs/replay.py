"""Training again what a record already has, and comparing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aetui.runs.lineage import Position, Tweak
from aetui.runs.tensorfile import DamagedFile, read
from aetui.training.interface import Checkpoint, Steps, Training
from aetui.training.records import Records

_SLICE = 256
"""Steps between two comparisons."""

Progress = Callable[[int, int, int], bool]
"""Told of steps trained again: the first, the present, the last; returns whether to leave off."""


class Interrupted(Exception):
    """Somebody asked to leave off."""


def never(_first: int, _now: int, _last: int) -> bool:
    """A progress that goes on to the end."""
    return False


def read_file(path: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """A checkpoint, and what its file says of the run.

    Raises:
        DamagedFile: it is not what was written.
    """
    tensors, text = read(path)
    try:
        found = json.loads(text)
        return Checkpoint(tensors, found["plain"]), found["about"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path.name} is no checkpoint") from error


def read_state(path: Path) -> tuple[Checkpoint, Position]:
    """A checkpoint, and the position that it was taken at.

    Raises:
        DamagedFile: it is not what was written.
    """
    checkpoint, about = read_file(path)
    return checkpoint, Position(**about["position"])


def train_on(
    training: Training, tweaks: Sequence[Tweak], recorded: Records, end: int, progress: Progress
) -> str | None:
    """Train up to step `end` with the tweaks that followed; a sentence where the record has other losses.

    Args:
        recorded: every step from the first on.

    Raises:
        Interrupted: `progress` asked for it.
    """
    first = training.steps.done
    for tweak in tweaks:
        differs = _train_to(training.steps, min(tweak.step, end), recorded, first, end, progress)
        if differs:
            return differs
        training.settings.put_in_force(tweak.changes)
    return _train_to(training.steps, end, recorded, first, end, progress)


def _train_to(steps: Steps, stop: int, recorded: Records, first: int, end: int, progress: Progress) -> str | None:
    while steps.done < stop:
        start = steps.done
        assert steps.advance is not None
        for _ in range(min(_SLICE, stop - start)):
            steps.advance()
        found = steps.drain()
        same = recorded[start : steps.done].agrees_until(found)
        if same < len(found):
            return (
                f"training again from step {first:,}, the losses differ from the record at step {start + same + 1:,}: "
                f"the machine, a library, the data or the model's file is not what it was; the run goes on from "
                f"step {first:,}, and what followed stays as a branch"
            )
        if progress(first, steps.done, end):
            raise Interrupted
    return None
