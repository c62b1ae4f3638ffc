"""The two functions of PyTorch that tell which tensor is the loss: `backward` and a scaler's `scale`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def patch(backward: Callable[[Any], None], scaled: Callable[[Any, Any, Any], None]) -> Callable[[], None]:
    """Have both told of; returns what takes that back.

    backward: gets the tensors whose backward is about to run. scaled: the scaler, what it made, and of what.
    """
    scaler_type = torch.amp.grad_scaler.GradScaler
    run_backward, scale = torch.autograd.backward, scaler_type.scale

    @wraps(run_backward)
    def told_backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        backward(tensors)
        return run_backward(tensors, *args, **kwargs)

    @wraps(scale)
    def told_scale(scaler: Any, outputs: Any) -> Any:
        made = scale(scaler, outputs)
        scaled(scaler, made, outputs)
        return made

    # Hooks of ours are global for a few steps, and where a script compiles its model that is nothing to warn it of.
    warnings.filterwarnings("ignore", message="Using `torch.compile")
    quiet = warnings.filters[0]
    torch.autograd.backward = told_backward
    scaler_type.scale = told_scale  # pyright: ignore[reportAttributeAccessIssue]

    def restore() -> None:
        if quiet in warnings.filters:
            warnings.filters.remove(quiet)  # pyright: ignore[reportAttributeAccessIssue]
        # Whoever has put theirs around ours since keeps it.
        if torch.autograd.backward is told_backward:
            torch.autograd.backward = run_backward
        if scaler_type.scale is told_scale:
            scaler_type.scale = scale

    return restore
