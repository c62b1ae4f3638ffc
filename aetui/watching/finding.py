"""The finder at work in a script's process: what it is told, and whom it tells."""

from __future__ import annotations

import atexit
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from aetui.watching import prepared
from aetui.watching.finder import Finder
from aetui.watching.prepared import off
from aetui.watching.ranks import follows
from aetui.watching.told import Told

_finder: Finder | None = None


def begin(told: dict[str, Any]) -> Finder:
    """Look on from now on; torch has just been imported."""
    global _finder
    wishes = Told(**told)

    def began_as(name: str, folder: str) -> None:
        if wishes.typed is not None:
            _read_from(wishes.typed, wishes.control)
        _tell(wishes.control, {"run": name, "folder": folder})

    prepared.prepare(
        prepared.Prepared(
            folder=Path(wishes.folder) if wishes.folder else None,
            output=wishes.output,
            began=None if wishes.control is None else began_as,
        )
    )

    _finder = Finder(wishes, lambda text: _say(f"the script is not watched: {text}; it trains on"))
    atexit.register(_say_if_early)
    return _finder


def begin_within(told: Told) -> Finder | None:
    """Look on from within a script, on the training that is about to begin; None where the runner does so already."""
    global _finder
    if off() or (_finder is not None and not _finder.within):
        return None
    if _finder is not None:
        # A training that broke off told nobody that it is over.
        end_within(_finder)
    _finder = Finder(told, lambda text: _say(f"this training is not watched: {text}; it trains on"))
    return _finder


def end_within(finder: Finder) -> None:
    """That training is over."""
    global _finder
    if finder is _finder:
        _say_if_early()
        _finder = None
    finder.remove()
    if finder.run is not None:
        finder.run.close()


def _say_if_early() -> None:
    if _finder is not None and _finder.early:
        _say(f"the script took {_finder.early} steps, too few for a run of it to begin")


def _say(text: str) -> None:
    """Of several processes, the first alone says it."""
    if follows():
        return
    print(f"aetui: {text}", file=sys.stderr, flush=True)


def note_end(error: BaseException) -> None:
    """The script raised something: the journal says what."""
    run = None if _finder is None else _finder.run
    if run is not None:
        run.note_end(error)


def _read_from(typed: int, control: int | None) -> None:
    """The terminal becomes the screen's: what the script reads from it comes by way of the command, which is told."""
    if not os.isatty(0):
        return
    os.dup2(typed, 0)

    def audit(event: str, _args: Any) -> None:
        if event == "builtins.input":
            _tell(control, {"asks": True})
        elif event == "builtins.input/result":
            _tell(control, {"asks": False})

    sys.addaudithook(audit)


def _tell(control: int | None, message: dict[str, Any]) -> None:
    """To the command that started this process, which may be gone."""
    if control is not None:
        with suppress(OSError):
            os.write(control, (json.dumps(message) + "\n").encode())
