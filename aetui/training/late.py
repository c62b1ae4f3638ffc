"""Losses that reach the host some steps late, so that no step waits for its own."""

import math

import torch
from torch import Tensor


class LateLosses:
    """The losses of the last steps on their way to the host, each handed over a fixed number of steps later.

    The number is fixed and not what happens to be there, so that the same training gives the same weights; the device
    has that many steps of work left where the host waits at all.
    """

    LAG = 16
    """Steps between a loss and its reading."""

    def __init__(self, device: torch.device) -> None:
        self._under_way: list[tuple[Tensor | float, torch.cuda.Event | None]] = []
        self._device = device
        self._slots: Tensor | None = None
        if device.type in ("cuda", "cpu"):
            # One more than are under way, since a slot is read after the next was written.
            self._slots = torch.zeros(self.LAG + 1, pin_memory=device.type == "cuda")
            self._values = self._slots.numpy()
        self._next = 0

    @torch.no_grad()
    def add(self, loss: Tensor, lost: Tensor) -> None:
        """Send the loss of a step on its way, 0-dim; where `lost`, 0-dim bool, it does not count."""
        value = torch.where(lost, torch.nan, loss.float())
        if self._slots is None:
            self._under_way.append((value, None))
            return
        self._slots[self._next].copy_(value, non_blocking=True)
        event = torch.cuda.Event() if self._device.type == "cuda" else None
        if event is not None:
            event.record(torch.cuda.current_stream(self._device))
        self._under_way.append((self._next, event))
        self._next = (self._next + 1) % len(self._values)

    def due(self) -> list[float]:
        """The losses whose time has come; one that does not count is left out."""
        found: list[float] = []
        while len(self._under_way) > self.LAG:
            found.append(self._read(*self._under_way.pop(0)))
        return [loss for loss in found if not math.isnan(loss)]

    def known(self) -> list[float | None]:
        """All that are under way, None for one that does not count; waits for the device."""
        losses = [self._read(*one) for one in self._under_way]
        return [None if math.isnan(loss) else loss for loss in losses]

    def restore(self, losses: list[float | None]) -> None:
        """Have these under way and no others, as `known` told them."""
        self._under_way = [(math.nan if loss is None else loss, None) for loss in losses]

    def _read(self, where: Tensor | float, event: torch.cuda.Event | None) -> float:
        if event is not None:
            event.synchronize()
        if isinstance(where, int):
            return float(self._values[where])
        return float(where)
