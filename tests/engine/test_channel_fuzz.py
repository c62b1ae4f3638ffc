"""Whatever bytes come, a host lives, and a good screen goes on to be served."""

import logging
import random
import socket
import struct
import threading
import time
from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetui import protocol as p
from aetui.engine.channel import MAX_BYTES

REQUESTS: tuple[p.Request, ...] = (
    p.Look(run=1, since=3, have={"code": 2}),
    p.ListPlaces(),
    p.Run(id=1, steps=5),
    p.Set(id=2, changes={"optim.lr": "1e-3"}),
    p.Set(id=2),
    p.Undo(id=3),
    p.Rewind(id=4, checkpoint=2),
    p.Open(id=2**32 - 1, folder="/nowhere"),
)


def frame(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


valid = st.sampled_from(REQUESTS).map(lambda request: frame(msgspec.msgpack.encode(request)))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
tags = st.sampled_from(["run", "set", "look", "new", "open", "rewind", "stop", "hello", "view", "no-such", ""])
names = st.sampled_from(["type", "id", "steps", "changes", "run", "since", "have", "sample", "folder", "by", "x"])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid frame with some of its bytes changed, its length as well."""
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@st.composite
def mistyped(draw: st.DrawFn) -> bytes:
    """A well-formed frame with values of any type in fields that exist."""
    fields = draw(st.dictionaries(names, values, max_size=5))
    return frame(msgspec.msgpack.encode({**fields, "type": draw(tags | values)}))


@st.composite
def truncated(draw: st.DrawFn) -> bytes:
    data = draw(valid)
    return data[: draw(st.integers(0, len(data) - 1))]


pieces = st.one_of(
    valid,
    st.binary(max_size=300),
    st.binary(max_size=300).map(frame),
    st.integers(0, 2**32 - 1).map(lambda length: struct.pack("<I", length)),
    mutated(),
    mistyped(),
    truncated(),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(pieces, max_size=6), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_any_bytes_in_any_order_from_several_screens(hall, streams: list[list[bytes]], draw: random.Random):
    bad = [hall.bare() for _ in streams]
    turns = [(sock, piece) for sock, stream in zip(bad, streams, strict=True) for piece in stream]
    draw.shuffle(turns)
    for sock, piece in turns:
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(piece)
    good = hall.peer()
    assert good.answers()
    for sock in bad:
        sock.close()
    good.connection.close()
    good.wait_end()


@pytest.mark.parametrize("body", [b"\x91" * 3_000_000, b"\x81\xa1x" * 1_000_000, b"\x82\xa1x" + b"\x91" * 10**6])
def test_nesting_without_end_is_no_message(hall, body: bytes):
    bad = hall.bare()
    bad.sendall(frame(body))
    bad.settimeout(30)
    with suppress(ConnectionResetError):
        while bad.recv(2**16):
            pass
    bad.close()
    assert hall.peer().answers()


@pytest.mark.parametrize(
    "data",
    [
        frame(b""),
        struct.pack("<I", MAX_BYTES + 1),
        struct.pack("<I", 2**32 - 1),
        frame(msgspec.msgpack.encode({"type": "run", "id": "one"})),
        frame(msgspec.msgpack.encode({"type": "set", "id": 1, "changes": {"a": 1}})),
        frame(msgspec.msgpack.encode(p.Hello(version=99, pid=1))),
        frame(b"\x82\xa4type\xa3run\xa2id" + b"\xa2\xff\xfe"),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["empty", "too long", "longest", "text for a number", "number for a text", "a reply", "no utf-8", "http"],
)
def test_what_is_no_message_ends_its_sender_alone(hall, caplog, data: bytes):
    good, bad = hall.peer(), hall.bare()
    bad.settimeout(30)
    # An end that closes with bytes unread resets the connection.
    with suppress(ConnectionResetError, BrokenPipeError):
        bad.sendall(data)
        while bad.recv(2**16):
            pass
    bad.close()
    assert good.answers()
    said: list[str] = []
    end = time.monotonic() + 30
    while not said and time.monotonic() < end:  # the line is written by the thread of the one that left
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        time.sleep(0.01)
    assert len(said) == 1 and "\n" not in said[0] and len(said[0]) < 400


def test_screens_that_come_and_go_at_any_moment(hall):
    """Some say something, some nothing, some are gone before they are served."""
    draw = random.Random(5)

    def visit(seed: int) -> None:
        mine = random.Random(seed)
        for _ in range(15):
            ours, theirs = socket.socketpair()
            early = mine.random() < 0.3
            if early:
                ours.close()
            hall.host.add(theirs)
            if not early:
                with suppress(OSError):
                    ours.sendall(frame(msgspec.msgpack.encode(mine.choice(REQUESTS)))[: mine.randrange(1, 60)])
                ours.close()

    visitors = [threading.Thread(target=visit, args=(draw.randrange(10**6),)) for _ in range(4)]
    good = hall.peer()
    for visitor in visitors:
        visitor.start()
    assert good.answers()
    for visitor in visitors:
        visitor.join(60)
        assert not visitor.is_alive()
    assert good.answers()
