"""Settings that a step on a device reads there, so that a change of one neither waits nor builds the step anew."""

import torch
from torch import Tensor


class Knob:
    """A number in a 0-dim tensor on a device, which is filled in place where it changes.

    Args:
        dtype: of the training; a narrower one than float32 would round the number.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self._tensor = torch.zeros((), dtype=wide, device=device)
        self._value = 0.0

    def at(self, value: float) -> Tensor:
        """The tensor, with this value from the next operation on."""
        if value != self._value:
            self._value = value
            self._tensor.fill_(value)
        return self._tensor
