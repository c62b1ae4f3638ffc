"""What training steps leave behind, as arrays; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Records:
    """What consecutive steps recorded, each array of shape (steps,).

    loss: reconstruction term. total: loss with penalties (equal to loss where there are none).
    grad_norm: joint norm before clipping, all float32. clipped: 1 where clipping changed the gradient.
    parts: what else a loop of the user's own logged, by name, float32, NaN where it logged nothing of that name.
    """

    loss: np.ndarray
    total: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    known: np.ndarray | None = None
    """False where a loop of the user's own told no loss of a step, which is NaN there; None where all are known."""

    @property
    def bad(self) -> np.ndarray:
        """Whether loss or gradient norm of a step are known not to be finite, bool of shape (steps,)."""
        lost = ~np.isfinite(self.total)
        return (lost if self.known is None else lost & self.known) | ~np.isfinite(self.grad_norm)

    def __len__(self) -> int:
        return len(self.loss)

    def __getitem__(self, part: slice) -> Records:
        parts = {name: values[part] for name, values in self.parts.items()}
        return Records(self.loss[part], self.total[part], self.grad_norm[part], self.clipped[part], parts)

    def agrees_until(self, other: Records) -> int:
        """The number of first steps in which `other` has the same values, to the last bit, where these are known."""
        count = min(len(self), len(other))
        same = np.ones(count, dtype=bool)
        for name in ("loss", "total", "grad_norm"):
            known, found = getattr(self, name)[:count], getattr(other, name)[:count]
            same &= (known == found) | np.isnan(known)
        return count if same.all() else int(np.argmin(same))

    @staticmethod
    def joined(parts: list[Records]) -> Records:
        if not parts:
            empty = np.empty(0, dtype=np.float32)
            return Records(empty, empty, empty, empty.astype(bool))
        return Records(
            np.concatenate([part.loss for part in parts]),
            np.concatenate([part.total for part in parts]),
            np.concatenate([part.grad_norm for part in parts]),
            np.concatenate([part.clipped for part in parts]),
            {
                name: np.concatenate([part.parts.get(name, _nan(len(part))) for part in parts])
                for name in dict.fromkeys(name for part in parts for name in part.parts)
            },
        )

    @staticmethod
    def gap(count: int) -> Records:
        """Steps of which nothing is known: NaN."""
        nan = _nan(count)
        return Records(nan, nan, nan, np.zeros(count, dtype=bool))


def _nan(count: int) -> np.ndarray:
    return np.full(count, np.nan, dtype=np.float32)
