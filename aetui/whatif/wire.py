"""What an experiment and its worker processes say to each other, over pipes: a length, then msgpack."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from aetui.whatif.forks import At, Ended, Horizon, Job, Saved

_HEADER = struct.Struct("<Q")


class Base(Struct, frozen=True, tag=True):
    """To a worker, before its first job: the checkpoint that forks continue from."""

    saved: Saved


class Do(Struct, frozen=True, tag=True):
    """To a worker: train this fork, and tell how it goes."""

    job: Job


class Leave(Struct, frozen=True, tag=True):
    """To a worker: leave off the fork of that name at its next point."""

    name: str


Order = Base | Do | Leave
News = At | Horizon | Ended

ORDERS, NEWS = msgspec.msgpack.Decoder(Order), msgspec.msgpack.Decoder(News)


def put(stream: BinaryIO, message: Order | News) -> None:
    """Write a message.

    Raises:
        OSError: whoever read it is gone.
    """
    body = msgspec.msgpack.encode(message)
    stream.write(_HEADER.pack(len(body)))
    stream.write(body)
    stream.flush()


def take(stream: BinaryIO, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
    """The next message; None where whoever wrote is gone."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    length = _HEADER.unpack(head)[0]
    body = stream.read(length)
    return decoder.decode(body) if len(body) == length else None
