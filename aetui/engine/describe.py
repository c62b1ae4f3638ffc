"""What the engine says about a run, in words."""

from __future__ import annotations

import math
import re

import msgspec
import torch

from aetui import protocol as p
from aetui.models.errors import ForwardError, message
from aetui.training.interface import Training
from aetui.training.records import Records

_FULL = re.compile(r"^(CUDA error: out of memory|MPS backend out of memory)|CUBLAS_STATUS_ALLOC_FAILED")
"""What PyTorch says of a full device in other errors than its own for it."""
_LOST = re.compile(r"^(CUDA|HIP|MPS) error: |^(cuDNN|CUDA driver|cuBLAS) error\b", re.IGNORECASE)
"""What it says of a device that takes nothing any more."""


def updated(info: p.RunInfo, training: Training) -> p.RunInfo:
    """The description after a live change."""
    settings = training.settings
    return msgspec.structs.replace(
        info,
        spec=settings.text,
        settings=settings.table(),
        goal=training.steps.goal,
        floors=training.measured.floors,
    )


def at_the_end(training: Training, path: str) -> str:
    """Why a key does not move a number any further."""
    value = next(setting.value for setting in training.settings.table() if setting.path == path)
    least, most = p.NUDGE_ENDS
    return f"nothing to change: {path} is {value}; its keys move it between {least:g} and {most:,.0f}"


def first_bad(records: Records) -> int | None:
    """Index of the first step whose loss or gradient norm is not finite."""
    bad = records.bad
    return int(bad.argmax()) if bad.any() else None


def non_finite(step: int, page: p.History, last: tuple[int, float, float] | None, then: str) -> str:
    """Where training stopped, what the last finite values were, and `then`: what became of the step's update."""
    loss, norm = float((page.total or page.loss).numpy()[0]), float(page.grad_norm.numpy()[0])
    before = "no step before it was finite"
    if last is not None:
        before = f"last finite at step {last[0]:,}: loss {last[1]:.3g}, gradient norm {last[2]:.3g}"
    now = f"step {step:,}: loss {_figure(loss)}, gradient norm {_figure(norm)}"
    return f"{now}; {before}; {then}"


def _figure(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else {True: "NaN"}.get(math.isnan(value), "infinite")


def finished(steps: int, *, asked: bool = False) -> str:
    return f"finished {steps:,} steps, as {'asked for' if asked else 'the spec says'}"


def failure(error: BaseException) -> str:
    """An unexpected error in one sentence."""
    text = message(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _FULL.search(text):
        return (
            "out of memory; take a smaller train.batch_size or model, or free what other programs hold, then train on "
            "from the step before"
        )
    if isinstance(error, RuntimeError) and _LOST.search(text):
        return f"the device failed: {text.split('; ')[0]}; leave, and aetui resume goes on from what is stored"
    if isinstance(error, ForwardError):
        return str(error)
    return f"{type(error).__name__}: {text or 'no message'}"


def log_line(event: p.Events) -> str:
    """An event as one line of the log."""
    match event:
        case p.StateChanged():
            return f"{event.state} {event.reason}".strip()
        case p.Ready():
            return f"ready: {event.info.source}, {event.info.architecture}, {event.info.device}"
        case p.Loading():
            return event.stage
        case p.Accepted() | p.Refused():
            return f"command {event.command} {type(event).__name__.lower()}: {event.text}"
        case _:
            return f"{type(event).__name__.lower()}: {getattr(event, 'text', '')}"
