"""Where in the caller's own code something is computed."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path

import torch

_TORCH = os.path.dirname(torch.__file__) + os.sep
_HOME = str(Path(__file__).parent.parent) + os.sep
_DIAGNOSIS = str(Path(__file__).parent) + os.sep
_MODES = ("modes.py", "codebook.py", "touched.py", os.path.basename(__file__))
_WIDEST = 60
"""Letters of a line of code that are shown."""


def own_line() -> str:
    """`file.py:14: x = torch.sigmoid(x)` of the innermost function on the stack that is the caller's own, where the
    diagnosis has called it; '' where all that it has called is PyTorch's or aetui's."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_DIAGNOSIS):
            if not path.endswith(_MODES):
                return ""
        elif not path.startswith((_TORCH, _HOME, "<")):
            return _shown(path, frame.f_lineno)
        frame = frame.f_back
    return ""


def _shown(path: str, number: int) -> str:
    here = os.getcwd() + os.sep
    text = linecache.getline(path, number).strip()
    code = text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
    return f"{path.removeprefix(here)}:{number}" + (f": {code}" if code else "")
