"""Values that messages are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

State = str
"""`loading`, `paused`, `running`, `finished`, `non-finite` or `failed`; all but the first two and
`running` are a kind of paused with the reason in the name."""


class Array(Struct, frozen=True):
    """A float32 array: little-endian bytes in C order."""

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, values: Any) -> Array:
        values = np.ascontiguousarray(values, dtype="<f4")
        return cls(values.shape, values.tobytes())

    def numpy(self) -> np.ndarray:
        """The values, read-only."""
        return np.frombuffer(self.data, dtype="<f4").reshape(self.shape)
