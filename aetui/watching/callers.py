"""Who in the script calls what: read from the stack, which says more than any object that is passed around."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import nn

from aetui.watching.measured import unwrapped

_FRAMES = 40
"""How far up the stack is looked."""
_NOT_SCRIPT = ("torch", "aetui", "accelerate", "lightning", "pytorch_lightning", "lightning_fabric", "transformers")
"""Packages whose frames tell nothing of where in a script a loss is made: all of its backwards go through them."""


def objects(depth: int) -> Iterator[Any]:
    """The objects of which a method is being called, the nearest first; depth: calls to leave out."""
    seen: set[int] = set()
    frame: FrameType | None = sys._getframe(depth)
    for _ in range(_FRAMES):
        if frame is None:
            return
        if frame.f_code.co_varnames[:1] == ("self",):
            one = frame.f_locals.get("self")
            if id(one) not in seen:
                seen.add(id(one))
                yield one
        frame = frame.f_back


def root_of(module: nn.Module, depth: int) -> nn.Module | None:
    """The outermost module that has this one in it, and of which a method calls its forward."""
    holding = [
        one
        for one in objects(depth)
        if isinstance(one, nn.Module) and one is not module and any(part is module for part in one.modules())
    ]
    return holding[-1] if holding else None


def is_named(module: nn.Module, name: str, depth: int) -> bool:
    """Whether a module has a name: its class's, a variable's of the script, or an attribute's of who calls it."""
    if type(module).__name__ == name or vars(sys.modules["__main__"]).get(name) is module:
        return True
    return any(
        getattr(one, "__dict__", {}).get(name) is module
        or (isinstance(one, nn.Module) and one._modules.get(name) is module)
        for one in objects(depth)
    )


def lent(module: nn.Module) -> bool:
    """Whether a call of the module is one of another method, as where a trainer has DDP call a training step."""
    inner = unwrapped(module)
    own = vars(inner).get("forward")
    # What wraps the forward itself, as for half precision, says so.
    return own is not None and inspect.unwrap(getattr(own, "__func__", own)) is not type(inner).forward


def variable(module: nn.Module) -> str:
    """What the script calls a module, '' where it has no variable of its own."""
    found = (name for name, one in list(vars(sys.modules["__main__"]).items()) if one is module)
    return next((name for name in found if not name.startswith("_")), "")


def site(depth: int) -> tuple[Any, int]:
    """The place in the script that calls; frames of PyTorch, of trainers and of ours are none of it."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_SCRIPT:
        frame = frame.f_back
    return (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
