"""Values that messages are made of."""

from __future__ import annotations

from typing import Any, Literal

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


class Setting(Struct, frozen=True, kw_only=True):
    """One setting of a run and what it takes."""

    path: str
    """`optim.lr`; the kind of a section is `optim.kind`."""
    value: str
    """The one in force, as text that a change takes too."""
    type: Literal["number", "integer", "switch", "choice", "list", "text"]
    allowed: str
    """What it takes, in words."""
    low: float | None = None
    """Bound of a number from below, None for none."""
    high: float | None = None
    above_low: bool = False
    """Whether `low` itself is not allowed."""
    below_high: bool = False
    """Whether `high` itself is not allowed."""
    choices: tuple[str, ...] = ()
    help: str = ""
    live: bool = False
    """Whether it can change between two steps; others need a new run."""
    default: str | None = None
    """As text, None where it has to be given."""
