"""What the steps of somebody else's loop leave behind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from aetui.training.recorder import Recorder
from aetui.training.records import Records
from aetui.watching.gradients import Figure
from aetui.watching.parts import NamedParts

RECONSTRUCTION = ("reconstruction", "recon", "rec", "reconstruction_loss", "recon_loss", "rec_loss")
"""Names of a part of the loss that is compared with the floors."""
_SKIPPED = -1.0
"""In the place of the clipped flag: a step that its scaler has the optimizer skip, known on the device alone."""


class WatchedSteps:
    """Counts optimizer steps, and pairs each with what was logged of it.

    Some loops log before the step and some after, some now and then. What was logged since the step before belongs to a
    step; where that is nothing, the step stays open until something is logged, or until the next one is about to begin.
    """

    goal = None
    advance = advance_measured = None
    after_non_finite = "what becomes of it is up to your loop"

    def __init__(self, device: torch.device, say: Callable[[str], None]) -> None:
        """`say` gets a sentence about what can't be recorded."""
        self.done = 0
        self._named = NamedParts(_mean, say)
        self._draining = threading.Lock()
        self._recorder = Recorder(device)
        self._on_host = device.type == "cpu"
        self._device = device
        self._losses: list[Figure] = []
        self._parts: list[Figure] = []
        self.together: Callable[[int, Records], Records] = lambda _first, records: records
        """What is made of records where other processes have theirs of the same steps; first: steps recorded before."""
        self._drained = 0
        self._open: tuple[Figure, Figure, Figure] | None = None
        """Norm, clipped and skipped of the step that waits for its loss."""
        self.per_epoch = math.inf
        self.first_rest: Figure | None = None
        self.rest: Figure | None = None
        """Of the first and the last loss, what is not its reconstruction; None where the loop does not tell."""

    @property
    def epoch(self) -> float:
        return self.done / self.per_epoch

    # --- what was logged ------------------------------------------------------------------------

    def log(self, loss: Any, parts: dict[str, Any]) -> None:
        """Take note of a loss, a tensor or a number, and of what it is made of."""
        self._losses.append(self._figure(loss))
        for name, part in parts.items():
            self._named.note(name, lambda part=part: self._figure(part))
        compared = next((name for name in parts if name.lower() in RECONSTRUCTION), None)
        if compared is not None:
            self._parts.append(self._figure(parts[compared]))

    def _figure(self, value: Any) -> Figure:
        if not isinstance(value, Tensor):
            return float(value)
        if value.numel() != 1:
            value = value.detach().float().mean()
        # A tensor may be written to later, such as a running sum; on the host reading it costs nothing.
        return float(value.item()) if value.is_cpu else value.detach().reshape(()).clone()

    @property
    def logged(self) -> bool:
        return bool(self._losses)

    @property
    def is_open(self) -> bool:
        """Whether a step waits for its loss."""
        return self._open is not None

    # --- steps ----------------------------------------------------------------------------------

    def add(self, norm: Figure, clipped: Figure, skipped: Figure = 0.0) -> None:
        """A step was taken. skipped: where known on the device alone, more than 0 if its update was left out."""
        self.close()
        self.done += 1
        self._open = norm, clipped, skipped
        if self._losses:
            self.close()

    def skip(self) -> None:
        """A step was about to be taken and left out: nothing of it counts."""
        self._losses.clear()
        self._parts.clear()
        self._named.clear()

    def close(self) -> bool:
        """Record the open step with what was logged by now; False where none is open."""
        if self._open is None:
            return False
        (norm, clipped, skipped), self._open = self._open, None
        losses = self._losses
        known = bool(losses)
        total = losses[0] if len(losses) == 1 else _mean(losses)
        loss = _mean(self._parts) if self._parts else total
        if self._parts and known:
            self.rest = total - loss
            self.first_rest = self.rest if self.first_rest is None else self.first_rest
        self._losses = []
        if self._parts:
            self._parts = []
        # Before the step is recorded: whoever drains meanwhile finds no step without what belongs to it.
        self._named.close(known=known)
        if self._on_host:
            self._recorder.add_values(float(loss), float(total), float(norm), float(clipped))
        else:
            mark = self._on_device(clipped)
            if isinstance(skipped, Tensor):
                mark = torch.where(skipped.to(mark.device) > 0, torch.full_like(mark, _SKIPPED), mark)
            self._recorder.add_tensors(
                self._on_device(loss), self._on_device(total), self._on_device(norm), mark
            )  # fmt: skip
        return True

    def _on_device(self, value: Figure) -> Tensor:
        if isinstance(value, Tensor):
            return value.to(self._device, torch.float32, non_blocking=True)
        return torch.full((), value, device=self._device)

    def drain(self) -> Records:
        with self._draining:
            records = self._recorder.drain()
            if len(records):
                first, self._drained = self._drained, self._drained + len(records)
                records = self.together(first, records)
            parts, known = self._named.take(len(records))
        counted = records.clipped >= 0
        if not counted.all():
            self.done -= int((~counted).sum())
            parts = {name: values[counted] for name, values in parts.items()}
        loss, total, norm, clipped = (column[counted] for column in _columns(records))
        return Records(loss, total, norm, clipped, parts, known[counted])

    def stand_at(self, step: int) -> None:
        """Go on counting from another step; what was recorded since is dropped."""
        self._open = None
        self.skip()
        self.drain()
        self.done = step


def _columns(records: Records) -> tuple[Any, ...]:
    return records.loss, records.total, records.grad_norm, records.clipped


def _mean(values: list[Figure]) -> Figure:
    """The mean of the finite ones, so that a step that a scaler left out spoils no other; NaN for none."""
    if not values:
        return math.nan
    if len(values) == 1:
        return values[0]
    if all(isinstance(value, float) for value in values):
        finite = [value for value in values if math.isfinite(value)]
        return sum(finite) / len(finite) if finite else values[-1]
    device = next(value.device for value in values if isinstance(value, Tensor))
    stacked = torch.stack([torch.as_tensor(value, device=device, dtype=torch.float32) for value in values])
    finite = torch.isfinite(stacked)
    return torch.where(finite, stacked, 0.0).sum() / finite.sum()
