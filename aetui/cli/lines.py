"""How commands print text, and the status that ctrl+c gives them."""

import os
import shutil
import sys

INTERRUPTED = 130
"""Status of a command that ctrl+c ended."""
_WIDEST = 100
"""Longer lines are hard to read, however wide the terminal."""


def line_width() -> int:
    """Cells of a line of text: the terminal's, up to what reads well."""
    return min(_WIDEST, shutil.get_terminal_size((88, 24)).columns)


def colored() -> bool:
    """Whether stdout is a terminal that takes colors (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
