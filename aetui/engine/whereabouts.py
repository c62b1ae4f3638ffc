"""What a thread is doing at this moment, in words: looked up from another thread, at no cost to the one that works."""

from __future__ import annotations

import sys
from types import FrameType

from aetui import protocol as p
from aetui.engine import crash

_WRAPPERS = ("aetui.models.",)
"""Modules whose forward only hands on to the forward that is of interest."""
_PHASES = (
    ("torch._tensor", "backward", "backward"),
    ("torch.autograd", "backward", "backward"),
    ("torch.autograd", "grad", "backward"),
    ("torch.optim.", "step", "the optimizer"),
    ("aetui.training.batches", "", "fetching a batch"),
    ("aetui.training.losses", "", "the loss"),
    ("aetui.training.clipping", "", "clipping"),
    ("aetui.gauges.floors", "", "computing the floors"),
    ("aetui.data.", "", "reading the data"),
    ("aetui.models.userfile", "", "making the model"),
    ("aetui.models.", "", "the model"),
    ("aetui.runs.", "", "the store"),
    ("aetui.gauges.", "", "measuring"),
)
"""Beginning of a module's name, function or '' for any, and what is done there; an earlier entry is the closer word."""


def stall(thread: int, seconds: float, context: str = "") -> p.Stall:
    """What a thread has been busy with for so long. context: what it is part of, '' for a training step."""
    frame = sys._current_frames().get(thread)
    stack: list[FrameType] = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    doing = _phase(stack)
    if context:
        doing = f"{context}, {doing}" if doing else context
    place = crash.own_place(crash.stack_of(stack[0] if stack else None))
    return p.Stall(seconds=int(seconds), doing=doing, place="" if place is None else crash.said(place))


def _phase(stack: list[FrameType]) -> str:
    """The phase of a stack, innermost frame first; '' where it says nothing."""
    best: tuple[int, str] | None = None
    for frame in reversed(stack):
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        if code.co_name == "forward" and not module.startswith(_WRAPPERS) and "." in code.co_qualname:
            return f"forward of {code.co_qualname.split('.')[-2]}"
        for rank, (start, name, words) in enumerate(_PHASES):
            if module.startswith(start) and name in ("", code.co_name):
                if words == "backward":
                    return words
                if best is None or rank < best[0]:
                    best = rank, words
    return "" if best is None else best[1]
