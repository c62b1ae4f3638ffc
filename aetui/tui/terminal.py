"""The terminal while the screen owns it.

Textual draws on the process's standard streams, and so does any library that prints. The terminal
gets a descriptor of its own for Textual; descriptors 1 and 2 go to the run's log meanwhile.
"""

import os
import select
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_RESET = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[<u\x1b[0m"
"""Main screen, cursor on, no mouse or focus reports, no bracketed paste, wrapping, plain keys and colors."""


@contextmanager
def owned_terminal(log: Path) -> Iterator[None]:
    """Hand the terminal to Textual alone, and give it back as it was, whatever happens inside."""
    terminal = 1 if os.isatty(1) else 2
    attributes = _attributes()
    saved = {fd: os.dup(fd) for fd in (1, 2)}
    streams = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
    sys.stdout.flush()
    drawing = os.fdopen(os.dup(terminal), "w", encoding="utf-8", errors="replace")
    sink = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(sink)
    sys.__stdout__ = sys.__stderr__ = drawing  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        # A stream that is closed or a terminal that has hung up must not hide what went on inside.
        with suppress(OSError, ValueError):
            drawing.write(_RESET)
            drawing.flush()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = streams  # pyright: ignore[reportAttributeAccessIssue]
        for fd, copy in saved.items():
            os.dup2(copy, fd)
            os.close(copy)
        with suppress(OSError, ValueError):
            drawing.close()
        _restore(attributes)


def hung_up() -> bool:
    """Whether the terminal of standard input is gone; nobody tells a process that it does not control."""
    poll = select.poll()
    poll.register(0, 0)
    try:
        return bool(poll.poll(0))
    except OSError:
        return True


def _attributes() -> list | None:
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def _restore(attributes: list | None) -> None:
    if attributes is not None:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, attributes)
