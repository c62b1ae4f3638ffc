"""Loss and gradient norm of every step, without waiting for the device at each."""

import threading

import numpy as np
import torch
from torch import Tensor

from aetui.training.records import Records

_CAPACITY = 4096


class Recorder:
    """Collects 0-dim tensors of each step and hands them over in bulk.

    On a CPU reading a number costs nothing, so values are kept as floats. On other devices they
    go to a ring on the device, which is read when it is drained or full. One thread adds; any may drain,
    also while a step is being computed.

    Args:
        device: of the ring; None for no ring, where values come as floats.
    """

    def __init__(self, device: torch.device | None) -> None:
        self._rows: list[tuple[float, float, float, float]] = []
        self._slots: list[tuple[Tensor, ...]] = []
        self._used = self._read = 0
        """Slots of the ring that are filled, by the thread that adds alone, and how many of them were read."""
        self._draining = threading.Lock()
        if device is not None:
            self._ring = torch.zeros(4, _CAPACITY, device=device)
            self._slots = list(zip(*(row.unbind(0) for row in self._ring), strict=True))

    def add_values(self, loss: float, total: float, norm: float, clipped: float) -> None:
        self._rows.append((loss, total, norm, clipped))

    def add_tensors(self, loss: Tensor, total: Tensor | None, norm: Tensor, clipped: Tensor | None) -> None:
        """Record without waiting; every 4096th call reads the ring."""
        loss_slot, total_slot, norm_slot, clipped_slot = self._slots[self._used]
        loss_slot.copy_(loss)
        total_slot.copy_(loss if total is None else total)
        norm_slot.copy_(norm)
        clipped_slot.copy_(clipped) if clipped is not None else clipped_slot.zero_()
        self._used += 1
        if self._used == _CAPACITY:
            with self._draining:
                self._read_ring()
                self._used = self._read = 0

    def _read_ring(self) -> None:
        used = self._used
        if used > self._read:
            self._rows.extend(map(tuple, self._ring[:, self._read : used].cpu().numpy().T.tolist()))
            self._read = used

    def drain(self) -> Records:
        """All whole steps recorded since the last call."""
        with self._draining:
            self._read_ring()
            # Taken off the list and not with it: the thread that adds may be about to append to this very one.
            rows = self._rows[: len(self._rows)]
            del self._rows[: len(rows)]
        columns = np.array(rows, dtype=np.float32).reshape(-1, 4).T
        loss, total, norm, clipped = map(np.ascontiguousarray, columns)
        return Records(loss, total, norm, clipped)
