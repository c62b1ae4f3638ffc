"""The channel: typed, bounded frames; garbage ends a connection and nothing else."""

import socket
import struct
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetui import protocol as p
from aetui.engine.channel import MAX_BYTES, Connection


class End:
    """One end of a socket pair and what arrived at it."""

    def __init__(self, sock: socket.socket, incoming) -> None:
        self.connection = Connection(sock, incoming, "test")
        self.got: list = []
        self.reason: list[str] = []
        self.over = threading.Event()
        self.arrived = threading.Condition()

    def start(self) -> "End":
        self.connection.start(self._deliver, self._ended)
        return self

    def _deliver(self, message) -> None:
        with self.arrived:
            self.got.append(message)
            self.arrived.notify_all()

    def _ended(self, reason: str) -> None:
        self.reason.append(reason)
        self.over.set()

    def wait(self, count: int) -> list:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, 10)
        return self.got


def test_messages_arrive_in_order_both_ways():
    ours, theirs = socket.socketpair()
    screen, engine = End(ours, p.Reply).start(), End(theirs, p.Request).start()
    commands = [p.Run(id=1, steps=5), p.Set(id=2, changes={"optim.lr": "1"}), p.Look(run=1, have={"code": 3})]
    for command in commands:
        screen.connection.send(command)
    replies = [p.Hello(version=1, pid=2), p.View(run=1, status=p.Status(step=3)), p.Noted(text="x" * 300_000)]
    for reply in replies:
        engine.connection.send(reply)
    assert engine.wait(3) == commands
    assert screen.wait(3) == replies
    screen.connection.close()
    assert engine.over.wait(10)
    assert engine.reason == [""]


@given(st.binary(min_size=1, max_size=200))
def test_garbage_ends_the_connection_with_a_reason(data: bytes):
    ours, theirs = socket.socketpair()
    engine = End(theirs, p.Request).start()
    with ours:
        ours.sendall(struct.pack("<I", len(data)) + data + b"\x00")
        ours.shutdown(socket.SHUT_WR)
        assert engine.over.wait(10)
    assert engine.reason[0]
    assert all(isinstance(message, msgspec.Struct) for message in engine.got)


@pytest.mark.parametrize("data", [struct.pack("<I", MAX_BYTES + 1), b"\x05\x00", struct.pack("<I", 10) + b"abc"])
def test_oversized_and_truncated_frames_are_named(data: bytes):
    ours, theirs = socket.socketpair()
    engine = End(theirs, p.Request).start()
    with ours:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        assert engine.over.wait(10)
    assert "no message" in engine.reason[0]


def test_a_peer_that_never_reads_does_not_block_the_sender(monkeypatch):
    monkeypatch.setattr(Connection, "MAX_QUEUED", 50)
    ours, theirs = socket.socketpair()
    engine = End(theirs, p.Request).start()
    with ours:
        for _ in range(500):
            engine.connection.send(p.Noted(text="x" * 10_000))
        assert engine.over.wait(10)


def test_what_was_sent_before_the_end_still_arrives():
    ours, theirs = socket.socketpair()
    screen, engine = End(ours, p.Reply).start(), End(theirs, p.Request).start()
    for step in range(100):
        engine.connection.send(p.Noted(text=str(step)))
    engine.connection.close()
    assert [message.text for message in screen.wait(100)] == [str(step) for step in range(100)]
