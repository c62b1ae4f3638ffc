"""Messages over a socket: a length, then msgpack. Bounded, typed, no pickle."""

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import msgspec

_HEADER = struct.Struct("<I")
MAX_BYTES = 64 * 2**20
"""A longer frame ends the connection: no message of ours comes near it."""


class ChannelError(ConnectionError):
    """The peer sent something that is no message."""


class Connection:
    """One end of a channel: a reader thread that delivers messages, a writer thread that sends them.

    `send` never blocks. What the peer doesn't read is kept up to `MAX_QUEUED` messages; then the
    connection ends, since a peer that stalls for that long must come back and look anew.
    """

    MAX_QUEUED = 10_000

    def __init__(self, sock: socket.socket, incoming: Any, name: str) -> None:
        """Messages that arrive are decoded as the type `incoming`."""
        self._socket = sock
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._outbox: queue.Queue[bytes | None] = queue.Queue(self.MAX_QUEUED)
        self._name = name
        self._writer = threading.Thread(target=self._write, name=f"{name}-write", daemon=True)
        self._closed = threading.Event()

    def start(self, deliver: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        """Write and read; see `start_writing` and `start_reading`."""
        self.start_writing()
        self.start_reading(deliver, ended)

    def start_writing(self) -> None:
        """Send what is and will be in the outbox, from another thread."""
        self._writer.start()

    def start_reading(self, deliver: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        """Deliver messages from another thread; `ended` gets the reason, '' for an orderly end."""
        threading.Thread(target=self._read, args=(deliver, ended), name=f"{self._name}-read", daemon=True).start()

    def wait_written(self, timeout: float = 1.0) -> None:
        """Wait until a closed connection has sent what it still had."""
        self._writer.join(timeout)

    def send(self, message: msgspec.Struct) -> None:
        frame = msgspec.msgpack.encode(message)
        try:
            self._outbox.put_nowait(_HEADER.pack(len(frame)) + frame)
        except queue.Full:
            self.close()

    def close(self) -> None:
        """End the connection; what was sent before is still written if the peer reads."""
        self._closed.set()
        with contextlib.suppress(queue.Full):
            self._outbox.put_nowait(None)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def _write(self) -> None:
        try:
            while (frame := self._outbox.get()) is not None:
                self._socket.sendall(frame)
        except OSError:
            self._closed.set()
        finally:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self, deliver: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        reason = ""
        try:
            while (message := self._receive()) is not None:
                deliver(message)
        except (ChannelError, msgspec.MsgspecError) as error:
            reason = f"the channel got something that is no message: {error}"
        except OSError as error:
            reason = "" if self._closed.is_set() else f"the channel broke: {error}"
        finally:
            self.close()
            ended(reason)

    def _receive(self) -> Any:
        header = self._exactly(_HEADER.size, at_start=True)
        if header is None:
            return None
        (length,) = _HEADER.unpack(header)
        if length > MAX_BYTES:
            raise ChannelError(f"a frame of {length} bytes")
        frame = self._exactly(length)
        return self._decoder.decode(frame or b"")

    def _exactly(self, count: int, at_start: bool = False) -> bytes | None:
        """`count` bytes; None where the peer ended before the first of a frame."""
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(min(count - len(parts), 2**18))
            if not part:
                if at_start and not parts:
                    return None
                raise ChannelError("a frame that ends early")
            parts += part
        return bytes(parts)
