"""Per-step records as bytes, and back."""

from __future__ import annotations

import zlib

import numpy as np

from aetui.training.records import Records


def pack(columns: Records) -> bytes:
    """Loss, gradient norm, one bit of clipping, and the total where it is another than the loss: little-endian."""
    parts = [columns.loss, columns.grad_norm]
    data = b"".join(np.ascontiguousarray(part, dtype="<f4").tobytes() for part in parts)
    data += np.packbits(columns.clipped.astype(bool)).tobytes()
    if not np.array_equal(columns.loss, columns.total, equal_nan=True):
        data += np.ascontiguousarray(columns.total, dtype="<f4").tobytes()
    return data


def unpack(data: bytes, count: int) -> Records | None:
    """What `pack` was given; None where the bytes are not those of `count` steps."""
    plane, bits = 4 * count, (count + 7) // 8
    if len(data) not in (2 * plane + bits, 3 * plane + bits):
        return None
    loss = np.frombuffer(data, "<f4", count)
    norm = np.frombuffer(data, "<f4", count, plane)
    clipped = np.unpackbits(np.frombuffer(data, np.uint8, bits, 2 * plane), count=count).astype(bool)
    total = np.frombuffer(data, "<f4", count, 2 * plane + bits) if len(data) > 2 * plane + bits else loss
    return Records(loss, total, norm, clipped)


def checksum(data: bytes) -> int:
    return zlib.crc32(data)
