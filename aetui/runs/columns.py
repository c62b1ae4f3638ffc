"""Per-step records as bytes, and back."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np

from aetui.training.records import Records

_MARK = b"PART"
"""Ends a block that has parts by name."""
_LENGTH = struct.Struct("<I")


def pack(columns: Records) -> bytes:
    """Loss, gradient norm, one bit of clipping, and the total where it is another than the loss: little-endian.

    Parts follow as float32, then their names as JSON, its length in bytes, and a mark.
    """
    data = b"".join(map(_plane, (columns.loss, columns.grad_norm)))
    data += np.packbits(columns.clipped.astype(bool)).tobytes()
    if not np.array_equal(columns.loss, columns.total, equal_nan=True):
        data += _plane(columns.total)
    if columns.parts:
        names = json.dumps(list(columns.parts)).encode()
        data += b"".join(map(_plane, columns.parts.values())) + names + _LENGTH.pack(len(names)) + _MARK
    return data


def unpack(data: bytes, count: int) -> Records | None:
    """What `pack` was given; None where the bytes are not those of `count` steps."""
    plane, bits = 4 * count, (count + 7) // 8
    sizes = 2 * plane + bits, 3 * plane + bits
    names, tail = ([], 0) if len(data) in sizes else _names_in(data)
    tail += len(names) * plane
    base = len(data) - tail
    if base not in sizes:
        return None
    loss = np.frombuffer(data, "<f4", count)
    norm = np.frombuffer(data, "<f4", count, plane)
    clipped = np.unpackbits(np.frombuffer(data, np.uint8, bits, 2 * plane), count=count).astype(bool)
    total = np.frombuffer(data, "<f4", count, 2 * plane + bits) if base == sizes[1] else loss
    parts = {name: np.frombuffer(data, "<f4", count, base + index * plane) for index, name in enumerate(names)}
    return Records(loss, total, norm, clipped, parts)


def _plane(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _names_in(data: bytes) -> tuple[list[str], int]:
    """The names of the parts of a block, and the bytes that they and what follows take; none where it has none."""
    end = len(data) - len(_MARK) - _LENGTH.size
    if end < 0 or not data.endswith(_MARK):
        return [], 0
    (length,) = _LENGTH.unpack_from(data, end)
    try:
        names = json.loads(data[max(0, end - length) : end])
    except ValueError:
        return [], 0
    sound = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return (names, len(data) - end + length) if sound else ([], 0)


def checksum(data: bytes) -> int:
    return zlib.crc32(data)
