"""The socket in a run's folder, by which screens come to an engine: its owner's, and nobody else's.

Both ends look before they trust: at the folder through a descriptor that stays open, so that what was
checked is what is used, at the socket, and at who is on the other side of it.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

NAME = "engine.sock"
_BACKLOG = 16
_LONGEST = 103
"""Bytes of a socket's path that every system takes."""
_DESCRIPTORS = Path("/proc/self/fd")
_TICK = 1.0
_RETRY = 0.02
"""Seconds between two attempts at a socket whose queue is full."""


class SocketError(ConnectionError):
    """There is no socket, or none that may be used; one sentence says why."""


class Listener:
    """A socket that listens in a run's folder until it is closed."""

    def __init__(self, folder: Path) -> None:
        """Listen; a socket that a dead engine left behind is replaced.

        The caller holds the run's lock, so that no living engine listens there.

        Raises:
            SocketError: the folder or what is in it can't be trusted, or can't hold a socket.
        """
        self._folder = _opened(folder)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._closed = False
        try:
            if _checked(self._folder, folder) is not None:
                os.unlink(NAME, dir_fd=self._folder)
            self._socket.bind(_address(self._folder, folder))
            os.chmod(NAME, 0o600, dir_fd=self._folder)
            self._identity = _identity(self._folder)
            self._socket.listen(_BACKLOG)
            if not sys.platform.startswith("linux"):
                self._socket.settimeout(_TICK)  # nothing else wakes a thread there that waits for a peer
        except OSError as error:
            self._socket.close()
            os.close(self._folder)
            if isinstance(error, SocketError):
                raise
            raise SocketError(f"no socket can be made in {folder}: {error.strerror or error}") from error

    def accept(self) -> socket.socket | None:
        """The next peer, once there is one; None when the listener has been closed.

        Raises:
            SocketError: the peer is another user.
            OSError: this one could not be taken, such as for want of descriptors.
        """
        while True:
            try:
                peer, _ = self._socket.accept()
                break
            except TimeoutError:
                continue
            except OSError:
                if self._closed:
                    return None
                raise
        if self._closed:
            peer.close()
            return None
        try:
            check_peer(peer)
        except OSError:
            peer.close()
            raise
        return peer

    def close(self) -> None:
        """Listen no more, and remove the socket, unless another engine's has taken its place."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):
            if _identity(self._folder) == self._identity:
                os.unlink(NAME, dir_fd=self._folder)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.close(self._folder)


def connect(folder: Path, timeout: float = 5.0) -> socket.socket:
    """A socket to the engine that listens in `folder`; tries for `timeout` seconds.

    Raises:
        SocketError: no engine listens there, or folder, socket or peer can't be trusted.
    """
    directory = _opened(folder)
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _checked(directory, folder) is None:
            raise SocketError(f"no engine runs in {folder}")
        _reach(peer, _address(directory, folder), folder, time.monotonic() + timeout)
        check_peer(peer)
    except OSError as error:
        peer.close()
        if isinstance(error, SocketError):
            raise
        raise SocketError(f"the engine in {folder} can't be reached: {error.strerror or error}") from error
    finally:
        os.close(directory)
    return peer


def peer_process(peer: socket.socket) -> int | None:
    """The process that listened on the other side; None where the system does not tell."""
    credentials = _credentials(peer)
    return credentials[0] if credentials else None


def check_peer(peer: socket.socket) -> None:
    """Raises:
    SocketError: the other side belongs to another user.
    """
    credentials = _credentials(peer)
    if credentials and credentials[1] != os.geteuid():
        raise SocketError(f"the other side of the socket is user {credentials[1]}, not {os.geteuid()}")


def _credentials(peer: socket.socket) -> tuple[int, int] | None:
    """Process and user on the other side."""
    if not sys.platform.startswith("linux"):
        return None
    form = struct.Struct("3i")
    process, user, _ = form.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
    return process, user


def _opened(folder: Path) -> int:
    """A descriptor of a folder that is this user's alone."""
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        why = "is a link, or no folder" if Path(folder).exists() else (error.strerror or str(error)).lower()
        raise SocketError(f"{folder} {why}" if why.startswith("is ") else f"{folder}: {why}") from error
    try:
        _check_owner(os.fstat(directory), folder)
    except SocketError:
        os.close(directory)
        raise
    return directory


def _checked(directory: int, folder: Path) -> os.stat_result | None:
    """The socket in the folder, which is this user's alone; None where there is none."""
    try:
        found = os.stat(NAME, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{folder / NAME} is no socket; move it away")
    _check_owner(found, folder / NAME)
    return found


def _check_owner(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid():
        raise SocketError(f"{path} belongs to user {found.st_uid}, not {os.geteuid()}, and is not used")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise SocketError(f"{path} is open to other users (mode {mode:03o}) and is not used; chmod go= {path}")


def _identity(directory: int) -> tuple[int, int]:
    found = os.stat(NAME, dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _address(directory: int, folder: Path) -> str:
    """What bind and connect take: by way of the open folder, or else its plain path."""
    if _DESCRIPTORS.is_dir():
        return str(_DESCRIPTORS / str(directory) / NAME)
    path = os.path.abspath(folder / NAME)
    if (length := len(os.fsencode(path))) > _LONGEST:
        raise SocketError(
            f"{path} has {length} bytes, and a socket's path at most {_LONGEST}; AETUI_HOME can name a shorter folder"
        )
    return path


def _reach(peer: socket.socket, address: str, folder: Path, end: float) -> None:
    """Connect; an engine whose queue of peers is full gets until `end`."""
    while True:
        peer.settimeout(max(end - time.monotonic(), _RETRY))
        try:
            peer.connect(address)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise SocketError(f"the engine in {folder} is gone; it left its socket behind") from error
        except (BlockingIOError, TimeoutError) as error:
            if time.monotonic() >= end:
                raise SocketError(f"the engine in {folder} does not answer") from error
            time.sleep(_RETRY)
        else:
            peer.settimeout(None)
            return
