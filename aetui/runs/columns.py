"""Per-step records as bytes, and back."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Columns:
    """Consecutive steps of a run, each array of shape (steps,).

    loss: reconstruction term. total: loss with penalties. grad_norm: joint norm before clipping, all
    float32. clipped: whether clipping changed the gradient.
    """

    loss: np.ndarray
    total: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray

    def __len__(self) -> int:
        return len(self.loss)

    def __getitem__(self, part: slice) -> Columns:
        return Columns(self.loss[part], self.total[part], self.grad_norm[part], self.clipped[part])

    def agrees_until(self, other: Columns) -> int:
        """The number of first steps in which `other` has the same values, to the last bit, where these are known."""
        count = min(len(self), len(other))
        same = np.ones(count, dtype=bool)
        for name in ("loss", "total", "grad_norm"):
            known, found = getattr(self, name)[:count], getattr(other, name)[:count]
            same &= (known == found) | np.isnan(known)
        return count if same.all() else int(np.argmin(same))

    @staticmethod
    def joined(parts: list[Columns]) -> Columns:
        if not parts:
            empty = np.empty(0, dtype=np.float32)
            return Columns(empty, empty, empty, empty.astype(bool))
        return Columns(
            np.concatenate([part.loss for part in parts]),
            np.concatenate([part.total for part in parts]),
            np.concatenate([part.grad_norm for part in parts]),
            np.concatenate([part.clipped for part in parts]),
        )

    @staticmethod
    def gap(count: int) -> Columns:
        """Steps of which nothing is known: NaN."""
        nan = np.full(count, np.nan, dtype=np.float32)
        return Columns(nan, nan, nan, np.zeros(count, dtype=bool))


def pack(columns: Columns) -> bytes:
    """Loss, gradient norm, one bit of clipping, and the total where it is another than the loss: little-endian."""
    parts = [columns.loss, columns.grad_norm]
    data = b"".join(np.ascontiguousarray(part, dtype="<f4").tobytes() for part in parts)
    data += np.packbits(columns.clipped.astype(bool)).tobytes()
    if not np.array_equal(columns.loss, columns.total, equal_nan=True):
        data += np.ascontiguousarray(columns.total, dtype="<f4").tobytes()
    return data


def unpack(data: bytes, count: int) -> Columns | None:
    """What `pack` was given; None where the bytes are not those of `count` steps."""
    plane, bits = 4 * count, (count + 7) // 8
    if len(data) not in (2 * plane + bits, 3 * plane + bits):
        return None
    loss = np.frombuffer(data, "<f4", count)
    norm = np.frombuffer(data, "<f4", count, plane)
    clipped = np.unpackbits(np.frombuffer(data, np.uint8, bits, 2 * plane), count=count).astype(bool)
    total = np.frombuffer(data, "<f4", count, 2 * plane + bits) if len(data) > 2 * plane + bits else loss
    return Columns(loss, total, norm, clipped)


def checksum(data: bytes) -> int:
    return zlib.crc32(data)
