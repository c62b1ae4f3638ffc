"""Suspending the screen to the shell it was started from, as ctrl+z does elsewhere; training goes on."""

import os
import signal
from contextlib import suppress
from pathlib import Path

FAREWELL = "aetui is suspended and training goes on; fg brings the screen back\r\n"


def suspend() -> None:
    """Stop the job that this process belongs to, as the terminal does for ctrl+z elsewhere; returns after `fg`."""
    os.killpg(os.getpgrp(), signal.SIGTSTP)


def obstacle(placement: str) -> str:
    """Why it can't be suspended, '' if it can. placement: of the engine, `process` or `thread`."""
    if placement != "process":
        return "the engine is a thread of this program and would stop with it: that needs --engine process"
    return "" if _has_shell() else "there is no shell with job control that could bring it back"


def _has_shell() -> bool:
    """Whether somebody outside of this job, in the same session, waits for it: a shell that knows `fg`."""
    try:
        session, group = os.getsid(0), os.getpgrp()
        if session == os.getpid():
            return False
        parent = os.getppid() if group == os.getpid() else _parent(group)
        return bool(parent) and os.getsid(parent) == session and os.getpgid(parent) != group
    except OSError:
        return False


def _parent(process: int) -> int:
    """The parent of a process, 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
