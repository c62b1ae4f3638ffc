"""The socket in a run's folder: used by its owner alone, found behind any path, replaced where its engine is dead."""

import os
import socket
import sys
from pathlib import Path

import pytest

from aetui.engine import sockets
from aetui.engine.sockets import Listener, SocketError, connect, peer_process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


def _meet(folder: Path, listener: Listener) -> None:
    ours = connect(folder)
    theirs = listener.accept()
    assert theirs is not None
    with ours, theirs:
        ours.sendall(b"hello")
        assert theirs.recv(5) == b"hello"


def test_two_ends_meet_and_know_each_other(folder: Path):
    listener = Listener(folder)
    assert (folder / "engine.sock").stat().st_mode & 0o777 == 0o600
    _meet(folder, listener)
    with connect(folder) as ours:
        assert peer_process(ours) in (os.getpid(), None)
    listener.close()
    assert not (folder / "engine.sock").exists()
    assert listener.accept() is None
    with pytest.raises(SocketError, match="no engine runs in"):
        connect(folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="goes by way of /proc")
def test_a_path_longer_than_a_socket_may_have(folder: Path):
    for _ in range(5):
        folder = folder / ("n" * 60)
        folder.mkdir(mode=0o700)
    listener = Listener(folder)
    _meet(folder, listener)
    listener.close()


def test_a_path_that_is_too_long_for_the_system_is_named(folder: Path, monkeypatch):
    monkeypatch.setattr(sockets, "_DESCRIPTORS", folder / "none")
    long = folder / ("n" * 100)
    long.mkdir(mode=0o700)
    with pytest.raises(SocketError, match="AETUI_HOME"):
        Listener(long)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o755, 0o711])
def test_a_folder_that_is_open_to_others_is_refused(folder: Path, mode: int):
    listener = Listener(folder)
    folder.chmod(mode)
    for use in (connect, Listener):
        with pytest.raises(SocketError, match="open to other users"):
            use(folder)
    listener.close()


def test_a_socket_that_is_open_to_others_is_refused(folder: Path):
    listener = Listener(folder)
    (folder / "engine.sock").chmod(0o666)
    with pytest.raises(SocketError, match="open to other users"):
        connect(folder)
    listener.close()


def test_a_folder_or_socket_of_another_user_is_refused(folder: Path, monkeypatch):
    listener = Listener(folder)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    for use in (connect, Listener):
        with pytest.raises(SocketError, match="belongs to user"):
            use(folder)
    listener.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs SO_PEERCRED")
def test_a_peer_of_another_user_is_refused(folder: Path, monkeypatch):
    listener = Listener(folder)
    ours = connect(folder)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with ours, pytest.raises(SocketError, match="the other side"):
        listener.accept()
    listener.close()


def test_links_and_files_are_refused(folder: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    for use in (connect, Listener):
        with pytest.raises(SocketError, match="is a link"):
            use(link)
        with pytest.raises(SocketError, match="no such file"):
            use(tmp_path / "none")
    (folder / "engine.sock").write_text("a file")
    for use in (connect, Listener):
        with pytest.raises(SocketError, match="is no socket"):
            use(folder)
    (folder / "engine.sock").unlink()
    (folder / "engine.sock").symlink_to(tmp_path / "elsewhere")
    for use in (connect, Listener):
        with pytest.raises(SocketError, match="is no socket"):
            use(folder)


def test_a_socket_left_behind_is_named_and_replaced(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("engine.sock")
    (folder / "engine.sock").chmod(0o600)
    with pytest.raises(SocketError, match="is gone"):
        connect(folder)
    listener = Listener(folder)
    _meet(folder, listener)
    listener.close()


def test_an_engine_that_takes_nobody_in_is_given_up(folder: Path):
    listener = Listener(folder)
    waiting = []

    def fill() -> None:
        while len(waiting) < 1000:
            waiting.append(connect(folder, timeout=0.1))

    with pytest.raises(SocketError, match="does not answer"):
        fill()
    for sock in waiting:
        sock.close()
    listener.close()


def test_a_closed_listener_leaves_its_successor_alone(folder: Path):
    first = Listener(folder)
    second = Listener(folder)
    first.close()
    _meet(folder, second)
    second.close()
