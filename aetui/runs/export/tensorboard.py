"""Event files for TensorBoard, written without it.

A file is a sequence of TFRecords, each an `Event` protocol buffer:
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto. The records of one
kind are alike but for their numbers, so they are laid out and checked (CRC-32C, masked) as arrays of bytes:
a million steps take seconds, where a call per number takes minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from aetui.runs.export.errors import ExportError
from aetui.runs.export.history_table import Table

_ROWS = 100_000
_MASK = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), bits reversed."""


def write_events(folder: Path, table: Table, *, started: float = 0.0) -> Path:
    """Write an event file into `folder`, which is made where it is missing; returns the file.

    Scalars, one per step: `loss`, `total` (where it differs), `grad_norm`, `clipped` (where any was), `lr`;
    where measured: `validation_loss`, `explained_variance`. Text: `tweaks`. TensorBoard shows a sample of
    1000 of each unless it is started with `--samples_per_plugin scalars=0`.

    Args:
        started: seconds since the epoch; all events have this time, since steps have none of their own.

    Raises:
        ExportError: the file can't be written.
    """
    path = folder / f"events.out.tfevents.{int(started):010d}.aetui"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(_record(_time(started) + _field(3, b"brain.Event:2")))
            for block in _scalars(table.steps, _per_step(table), started):
                file.write(block)
            points = table.points
            for name in ("validation_loss", "explained_variance"):
                values = getattr(points, name)
                known = ~np.isnan(values)
                for block in _scalars(points.steps[known], {name: values[known]}, started):
                    file.write(block)
            for step, text in table.tweaks:
                file.write(_record(_time(started) + b"\x10" + _varint(step) + _field(5, _text("tweaks", text))))
    except OSError as error:
        raise ExportError(f"{path}: can't be written: {error.strerror or error}") from error
    return path


def _per_step(table: Table) -> dict[str, np.ndarray]:
    found = {"loss": table.loss}
    if not np.array_equal(table.loss, table.total, equal_nan=True):
        found["total"] = table.total
    found["grad_norm"] = table.grad_norm
    if table.clipped.any():
        found["clipped"] = table.clipped
    if table.lr is not None:
        found["lr"] = table.lr
    return found


def _scalars(steps: np.ndarray, values: Mapping[str, np.ndarray], time: float) -> Iterator[bytes]:
    """Records of one event per step that holds every value, in order."""
    # The number of a step takes as many bytes as it has groups of 7 bits.
    bounds = [0, *(int(np.searchsorted(steps, 1 << bits)) for bits in (7, 14, 21, 28, 35))]
    for size, (first, last) in enumerate(itertools.pairwise(bounds), start=1):
        for start in range(first, last, _ROWS):
            part = slice(start, min(start + _ROWS, last))
            yield _alike(steps[part], size, {name: array[part] for name, array in values.items()}, time)


def _alike(steps: np.ndarray, size: int, values: Mapping[str, np.ndarray], time: float) -> bytes:
    """Records whose steps take `size` bytes each."""
    summary = b""
    places: list[int] = []
    for name in values:
        summary += _field(1, _field(1, name.encode()) + b"\x15" + bytes(4))
        places.append(len(summary) - 4)
    head = _time(time) + b"\x10"
    event = head + bytes(size) + _field(5, summary)
    rows = np.tile(np.frombuffer(event, np.uint8), (len(steps), 1))
    for byte in range(size):
        more = 0x80 if byte < size - 1 else 0
        rows[:, len(head) + byte] = (steps >> 7 * byte) & 0x7F | more
    for place, array in zip(places, values.values(), strict=True):
        start = len(event) - len(summary) + place
        rows[:, start : start + 4] = np.ascontiguousarray(array, "<f4").view(np.uint8).reshape(-1, 4)
    length = len(event).to_bytes(8, "little")
    front = np.frombuffer(length + _masked(np.frombuffer(length, np.uint8)[None]).tobytes(), np.uint8)
    whole = np.empty((len(rows), len(front) + len(event) + 4), np.uint8)
    whole[:, : len(front)] = front
    whole[:, len(front) : -4] = rows
    whole[:, -4:] = _masked(rows).view(np.uint8).reshape(-1, 4)
    return whole.tobytes()


def _record(event: bytes) -> bytes:
    length = len(event).to_bytes(8, "little")
    checks = [_masked(np.frombuffer(part, np.uint8)[None]).tobytes() for part in (length, event)]
    return length + checks[0] + event + checks[1]


def _text(tag: str, text: str) -> bytes:
    """A summary with one string, as the text dashboard takes it."""
    metadata = _field(9, _field(1, _field(1, b"text")))
    shape = _field(2, _field(2, b"\x08\x01"))
    tensor = _field(8, b"\x08\x07" + shape + _field(8, text.encode()))
    return _field(1, _field(1, f"{tag}/text_summary".encode()) + metadata + tensor)


def _time(seconds: float) -> bytes:
    return b"\x09" + np.array(seconds, "<f8").tobytes()


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE = _table()


def _masked(rows: np.ndarray) -> np.ndarray:
    """Masked CRC-32C of each row of bytes, [n, length], as little-endian uint32."""
    check = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in np.ascontiguousarray(rows.T):
        check = _TABLE[(check ^ column) & 0xFF] ^ check >> np.uint32(8)
    check = ~check
    rotated = check >> np.uint32(15) | check << np.uint32(17)
    return (rotated + np.uint32(_MASK)).astype("<u4")
