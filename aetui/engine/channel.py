"""Messages over a socket: a length, then msgpack. Bounded, typed, no pickle."""

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

_HEADER = struct.Struct("<I")
MAX_BYTES = 64 * 2**20
"""A longer frame ends the connection: no message of ours comes near it."""
_LONGEST_REASON = 200


class ChannelError(ConnectionError):
    """The peer sent something that is no message."""


class Connection:
    """One end of a channel: a reader thread that delivers messages, a writer thread that sends them.

    `send` never blocks and never raises. What the peer doesn't read is kept up to `MAX_QUEUED` messages and
    `MAX_QUEUED_BYTES` bytes; then the connection ends, since a peer that stalls for that long must come
    back and look anew.
    """

    MAX_QUEUED = 10_000
    MAX_QUEUED_BYTES = MAX_BYTES

    def __init__(self, sock: socket.socket, incoming: Any, name: str, longest: int = MAX_BYTES) -> None:
        """Messages that arrive are decoded as the type `incoming`; one of more than `longest` bytes ends it."""
        self._socket = sock
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._longest = longest
        self._name = name
        self._outbox: deque[bytes] = deque()
        self._queued = 0
        """Bytes that the peer has not been handed yet."""
        self._changed = threading.Condition()
        self._closed = False
        self._fault = ""
        self._threads = 0
        self._writer = threading.Thread(target=self._write, name=f"{name}-write", daemon=True)

    def start(self, deliver: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        """Write and read; see `start_writing` and `start_reading`."""
        self.start_writing()
        self.start_reading(deliver, ended)

    def start_writing(self) -> None:
        """Send what is and will be in the outbox, from another thread."""
        self._enter()
        self._writer.start()

    def start_reading(self, deliver: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        """Deliver messages from another thread; `ended` gets the reason, '' for an orderly end."""
        self._enter()
        threading.Thread(target=self._read, args=(deliver, ended), name=f"{self._name}-read", daemon=True).start()

    def wait_written(self, timeout: float = 1.0) -> None:
        """Wait until a closed connection has sent what it still had."""
        self._writer.join(timeout)

    def send(self, message: msgspec.Struct) -> None:
        body = _encoded(message)
        with self._changed:
            if self._closed:
                return
            self._queued += _HEADER.size + len(body)
            stalled = len(self._outbox) >= self.MAX_QUEUED or self._queued > self.MAX_QUEUED_BYTES
            if not stalled:
                self._outbox.append(_HEADER.pack(len(body)) + body)
                self._changed.notify()
        if stalled:
            self.abort("the peer does not read what it is sent")

    def close(self) -> None:
        """End the connection; what was sent before is still written if the peer reads."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abort(self, reason: str = "") -> None:
        """End the connection at once, whatever is still to be sent."""
        with self._changed:
            self._fault = self._fault or reason
            self._closed = True
            self._outbox.clear()
            self._changed.notify()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        try:
            while (frame := self._next()) is not None:
                self._socket.sendall(frame)
                with self._changed:
                    self._queued -= len(frame)
        except OSError:
            # The peer reads no more; what it said before it left is still to be read.
            with self._changed:
                self._closed, given_up = True, self._closed
                self._outbox.clear()
            if given_up:
                self.abort()
        else:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        finally:
            self._leave()

    def _next(self) -> bytes | None:
        """The next frame to send; None when the connection has been closed and all was sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._outbox or self._closed)
            return self._outbox.popleft() if self._outbox else None

    def _read(self, deliver: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        reason = ""
        try:
            while (message := self._receive()) is not None:
                deliver(message)
            self.close()
        except ChannelError as error:
            reason = f"the channel got something that is no message: {error}"
        except ConnectionResetError:
            pass  # the peer is gone, without having read all it was sent
        except OSError as error:
            reason = "" if self._closed else f"the channel broke: {error}"
        finally:
            if reason:
                self.abort()
            else:
                self.close()
            self._leave()
            ended(self._fault or reason)

    def _receive(self) -> Any:
        header = self._exactly(_HEADER.size, at_start=True)
        if header is None:
            return None
        (length,) = _HEADER.unpack(header)
        if length > self._longest:
            raise ChannelError(f"a frame of {length} bytes")
        frame = self._exactly(length)
        try:
            return self._decoder.decode(frame or b"")
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
            text = f"{error or type(error).__name__}"[:_LONGEST_REASON]
            raise ChannelError("".join(char if char.isprintable() else "?" for char in text)) from error

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

    def _enter(self) -> None:
        with self._changed:
            self._threads += 1

    def _leave(self) -> None:
        """The last thread to go gives the descriptor back: one in use by another must not be closed."""
        with self._changed:
            self._threads -= 1
            last = self._threads == 0 and self._closed
        if last:
            self._socket.close()


def _encoded(message: msgspec.Struct) -> bytes:
    try:
        return msgspec.msgpack.encode(message)
    except UnicodeEncodeError:
        # Names of files may hold bytes that are no text; they must not end who mentions them.
        return msgspec.msgpack.encode(_as_text(msgspec.to_builtins(message, builtin_types=(bytes,))))


def _as_text(value: Any) -> Any:
    """A message's values with every string made encodable."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return value
