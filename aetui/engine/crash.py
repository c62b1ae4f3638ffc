"""The stack of a process that ends without a chance to speak: into its log, and back out of it as a sentence."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

_PACKAGE = Path(__file__).parents[1]
_LIBRARIES = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})
_TAIL = 2**20
"""Bytes of a log that are searched for the last stack."""
_FATAL = "Fatal Python error: "
"""How faulthandler begins."""
_EXIT = "os._exit"
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
_file: IO[Any] | None = None
_log = ""
_exits = False

Place = tuple[str, int]
"""A file and a line in it."""


def log_crashes(file: str) -> None:
    """Have all stacks written to the end of `file` from now on where a fatal signal ends this process.

    Where faulthandler is on already, the user has asked for them elsewhere.
    """
    global _file, _log
    _log = file
    if not file or (faulthandler.is_enabled() and _file is None):
        return
    with suppress(OSError):
        former, _file = _file, open(file, "ab", buffering=0)  # noqa: SIM115 - as long as the process lives
        faulthandler.enable(_file)
        if former is not None:
            former.close()


def log_exits(say: Callable[[str], None] | None = None) -> None:
    """Have `os._exit` write all stacks to the end of the log before it ends this process; `say` gets a sentence.

    It is put in the place of the real one, since nothing else hears of that call: no signal is sent, no handler
    of `atexit` runs, no audit event is raised.
    """
    global _exits
    if _exits:
        return
    process, end, _exits = os.getpid(), os._exit, True

    def logged(status: int) -> NoReturn:
        # A fork, such as a loader of data, ends that way in good order.
        if os.getpid() == process:
            with suppress(Exception), open(_log, "ab", buffering=0) as log:
                log.write(f"{_FATAL}{_EXIT}({status})\n\n".encode())
                faulthandler.dump_traceback(log)
            if say is not None:
                with suppress(Exception):
                    place = own_place(stack_of(sys._getframe(1)))
                    where = f" in {said(place)}" if place else ""
                    say(f"{_EXIT}({status}) was called{where}, and ends the program; the stack is in {_log}")
        end(status)

    os._exit = logged


def stack_of(frame: FrameType | None) -> list[Place]:
    """The places of a stack, innermost first."""
    places: list[Place] = []
    while frame is not None:
        places.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return places


def size(log: str) -> int:
    """Where what a process is about to write to its log will begin."""
    with suppress(OSError):
        return os.path.getsize(log)
    return 0


def last_place(log: str, since: int) -> str:
    """` in mine.py, line 12`: what the last stack in `log` after byte `since` had come to, '' where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(since, size(log) - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    _, found, dump = text.rpartition(_FATAL)
    if not found:
        return ""
    stacks: list[tuple[bool, list[Place]]] = []
    for line in dump.splitlines():
        if "(most recent call first)" in line:
            stacks.append((line.startswith("Current thread"), []))
        elif (frame := _FRAME.fullmatch(line)) and stacks:
            stacks[-1][1].append((frame[1], int(frame[2])))
    stacks.sort(key=lambda stack: not stack[0])
    # A thread of a library may have no Python frame; the fault is then in what some other thread has begun.
    places = [place for _, stack in stacks if (place := own_place(stack)) is not None]
    places += [stack[0] for current, stack in stacks if current and stack]
    if not places:
        return ""
    by = f" by {_EXIT}" if dump.startswith(_EXIT) else ""
    return f"{by} in {said(places[0])}"


def own_place(stack: Iterable[Place]) -> Place | None:
    """The first place, innermost first, that is neither in this program nor in a library; None for none."""
    return next(((file, line) for file, line in stack if _is_own(file)), None)


def said(place: Place) -> str:
    return f"{Path(place[0]).name}, line {place[1]}"


def _is_own(file: str) -> bool:
    parents: Sequence[Path] = Path(file).parents
    within = any(folder in parents for folder in (_PACKAGE, *_LIBRARIES))
    return not (file.startswith("<") or within or {"site-packages", "dist-packages"} & set(Path(file).parts))
