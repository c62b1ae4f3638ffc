"""Event files, read back by a reader of their own, and by TensorBoard's where it is installed."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetui.runs.export.history_table import Points, Table
from aetui.runs.export.tensorboard import write_events

STEPS = 20_000
"""Numbers of steps of one, two and three bytes."""


@pytest.fixture
def table() -> Table:
    random = np.random.default_rng(0)
    loss = random.random(STEPS).astype(np.float32)
    loss[5:7] = np.nan, np.inf
    return Table(
        steps=np.arange(1, STEPS + 1),
        loss=loss,
        total=loss,
        grad_norm=random.random(STEPS).astype(np.float32),
        clipped=np.zeros(STEPS),
        points=Points(np.array([0, 300]), np.array([np.nan, 0.5]), np.array([0.25, 0.75])),
        tweaks=[(0, "optim.lr 0.01 -> 0.001"), (300, "loss.kind mse -> mae")],
    )


def crc32c(data: bytes) -> int:
    """Bit by bit, as RFC 3720 defines it; masked as TFRecords have it."""
    check = 0xFFFFFFFF
    for byte in data:
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x82F63B78 if check & 1 else 0)
    check ^= 0xFFFFFFFF
    return ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data: bytes) -> Iterator[tuple[bytes, tuple[bytes, int, int]]]:
    place = 0
    while place < len(data):
        head = data[place : place + 8]
        (size,) = struct.unpack("<Q", head)
        body = data[place + 12 : place + 12 + size]
        (of_head,) = struct.unpack("<I", data[place + 8 : place + 12])
        (of_body,) = struct.unpack("<I", data[place + 12 + size : place + 16 + size])
        yield body, (head, of_head, of_body)
        place += 16 + size


def fields(data: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer by number."""
    found: dict[int, list[Any]] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        number = shift = 0
        while True:
            byte = data[place]
            place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    while place < len(data):
        key = varint()
        if key & 7 == 0:
            value: Any = varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            value = data[place : place + size]
            place += size
        found.setdefault(key >> 3, []).append(value)
    return found


def test_every_value_is_there_and_every_check_holds(tmp_path: Path, table: Table) -> None:
    path = write_events(tmp_path / "events", table, started=1.5e9)
    assert path.name == "events.out.tfevents.1500000000.aetui"
    scalars: dict[str, list[tuple[int, float]]] = {}
    texts: list[tuple[int, bytes]] = []
    for number, (body, (head, of_head, of_body)) in enumerate(records(path.read_bytes())):
        if number % 997 < 2:
            assert (crc32c(head), crc32c(body)) == (of_head, of_body)
        event = fields(body)
        assert struct.unpack("<d", event[1][0]) == (1.5e9,)
        if number == 0:
            assert event[3] == [b"brain.Event:2"]
            continue
        for value in fields(event[5][0])[1]:
            parts = fields(value)
            if 2 in parts:
                one = (event[2][0], struct.unpack("<f", parts[2][0])[0])
                scalars.setdefault(parts[1][0].decode(), []).append(one)
            else:
                texts.append((event[2][0], fields(parts[8][0])[8][0]))
    assert set(scalars) == {"loss", "grad_norm", "validation_loss", "explained_variance"}
    for name in ("loss", "grad_norm"):
        steps, values = zip(*scalars[name], strict=True)
        assert np.array_equal(steps, table.steps)
        assert np.array_equal(np.array(values, np.float32), getattr(table, name), equal_nan=True)
    assert scalars["validation_loss"] == [(300, 0.5)]
    assert scalars["explained_variance"] == [(0, 0.25), (300, 0.75)]
    assert texts == [(step, text.encode()) for step, text in table.tweaks]


def test_tensorboard_reads_it(tmp_path: Path, table: Table) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_events(tmp_path, table)
    events = accumulator.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    read = events.Scalars("loss")
    assert [one.step for one in read] == table.steps.tolist()
    assert np.array_equal(np.array([one.value for one in read], np.float32), table.loss, equal_nan=True)
    assert [one.step for one in events.Tensors("tweaks/text_summary")] == [0, 300]
