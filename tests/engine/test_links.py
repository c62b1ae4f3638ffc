"""Both placements: the same commands, the same weights, an orderly end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetui import Trainer
from aetui import protocol as p
from aetui.engine import ending
from aetui.engine.links import PLACEMENTS, AttachLink, ProcessLink, start_engine
from aetui.engine.sockets import SocketError
from aetui.runs.folder import RunFolder
from aetui.spec import RunSpec, changed, dumps

SPEC = changed(RunSpec(), {"data.rows": "0:300", "model.hidden": (16,), "train.batch_size": 32, "train.threads": 1})


engines: list[int] = []
"""Processes that a test has started."""


@pytest.fixture(autouse=True)
def no_engine_is_left() -> Iterator[None]:
    yield
    for engine in engines:
        if _alive(engine):
            os.kill(engine, signal.SIGKILL)
    engines.clear()


class Screen:
    def __init__(self, placement: str) -> None:
        self.log = RunFolder.create("test").log
        self.link = PLACEMENTS[placement]("test", str(self.log))
        if isinstance(self.link, ProcessLink):
            engines.append(self.link.pid)
        self.got: list[p.Reply] = []
        self.lost: list[str] = []
        self.arrived = threading.Condition()
        self.link.connect(self._take, self._lose)

    def _take(self, reply: p.Reply) -> None:
        with self.arrived:
            self.got.append(reply)
            self.arrived.notify_all()

    def _lose(self, reason: str) -> None:
        with self.arrived:
            self.lost.append(reason)
            self.arrived.notify_all()

    def wait(self, found, timeout: float = 60):
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(map(found, self.got)), timeout), (self.got, self.log.read_text())
            return next(filter(found, self.got))


@pytest.mark.parametrize("placement", list(PLACEMENTS))
def test_a_placement_trains_the_same_weights(placement: str):
    screen = Screen(placement)
    try:
        # Sent at once, long before torch is loaded.
        for command in (p.New(id=1, spec=dumps(SPEC)), p.Nudge(id=2, by=-2), p.Run(id=3, steps=40)):
            screen.link.send(command)
        screen.wait(lambda r: isinstance(r, p.StateChanged) and r.state == "paused" and r.step == 40)
        screen.link.send(p.Look(have={"variance": 0}))
        view = screen.wait(lambda r: isinstance(r, p.View))
        assert isinstance(screen.got[0], p.Hello)
        assert any(isinstance(reply, p.Loading) for reply in screen.got)
    finally:
        screen.link.close()
    twin = Trainer(changed(SPEC, {"optim.lr": 0.000316228}))
    assert view.history.loss.numpy().tolist() == twin.run(40).loss.tolist()
    assert screen.lost == []
    assert screen.link.last_words == "the run test is stored at step 40; aetui resume test goes on"
    info = next(reply.info for reply in screen.got if isinstance(reply, p.Ready))
    assert "ready: digits" in Path(info.log).read_text()


class Guest(Screen):
    """A screen at an engine that runs already."""

    def __init__(self, folder: Path) -> None:
        self.link = AttachLink(folder)
        self.got, self.lost, self.arrived = [], [], threading.Condition()
        self.link.connect(self._take, self._lose)

    def wait(self, found, timeout: float = 60):
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(map(found, self.got)), timeout), self.got
            return next(filter(found, self.got))


def _folder(screen: Screen) -> Path:
    """Where the run of a screen is stored, once its engine listens there."""
    folder = Path(screen.wait(lambda reply: isinstance(reply, p.Ready)).info.folder)
    screen.wait(lambda reply: isinstance(reply, p.Accepted))
    return folder


def _wait_lost(screen: Screen) -> str:
    with screen.arrived:
        assert screen.arrived.wait_for(lambda: screen.lost, 60)
    return screen.lost[0]


def _status(screen: Screen) -> p.Status:
    """The status now."""
    seen = sum(isinstance(reply, p.View) for reply in screen.got)
    screen.link.send(p.Look(run=1))
    with screen.arrived:
        assert screen.arrived.wait_for(lambda: sum(isinstance(reply, p.View) for reply in screen.got) > seen, 60)
    return [reply for reply in screen.got if isinstance(reply, p.View)][-1].status


def test_an_engine_that_is_killed_is_named_with_its_log_and_the_way_on():
    screen = Screen("process")
    assert isinstance(screen.link, ProcessLink)
    screen.wait(lambda reply: isinstance(reply, p.Hello))
    os.kill(screen.link.pid, signal.SIGKILL)
    assert "SIGKILL" in _wait_lost(screen)
    assert str(screen.log) in screen.lost[0] and "resume" not in screen.lost[0]
    screen.link.send(p.Run(id=1))
    screen.link.close()

    screen = Screen("process")
    screen.link.send(p.New(id=1, spec=dumps(SPEC)))
    folder = _folder(screen)
    guest = Guest(folder)
    guest.wait(lambda reply: isinstance(reply, p.Ready))
    os.kill(screen.link.pid, signal.SIGKILL)
    for text in (_wait_lost(screen), _wait_lost(guest)):
        assert f"`aetui resume {folder.name}` goes on" in text
    with pytest.raises(SocketError, match="is gone"):
        AttachLink(folder)
    screen.link.close()
    guest.link.close()


def test_an_engine_trains_on_without_its_screen_and_ends_by_another():
    first = Screen("process")
    # Let go of at once: what was sent before is done all the same.
    for command in (p.New(id=1, spec=dumps(SPEC)), p.Run(id=2)):
        first.link.send(command)
    folder = _folder(first)
    first.link.detach()
    second = Guest(folder)
    second.wait(lambda reply: isinstance(reply, p.Past))
    step = _status(second).step
    while (status := _status(second)).step <= step + 100 or status.screens != 1:
        time.sleep(0.01)
    second.link.detach()
    third = Guest(folder)
    engine = third.link.pid
    said: list[str] = []
    third.link.close(said.append)
    assert "is stored at step" in third.link.last_words and third.lost == []
    assert not _alive(engine)
    with pytest.raises(SocketError, match="no engine runs in"):
        AttachLink(folder)
    assert first.lost == second.lost == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_have_the_engine_save_the_run_and_end(number: signal.Signals):
    screen = Screen("process")
    screen.link.send(p.New(id=1, spec=dumps(SPEC), start=True))
    folder = _folder(screen)
    os.kill(screen.link.pid, signal.SIGINT)
    while _status(screen).step < 10:
        time.sleep(0.01)
    os.kill(screen.link.pid, number)
    assert f"resume {folder.name}" in _wait_lost(screen)
    assert isinstance(screen.got[-1], p.Ended)
    screen.link.close()


def test_a_stored_run_goes_on_without_a_screen():
    screen = Screen("process")
    screen.link.send(p.New(id=1, spec=dumps(SPEC)))
    screen.link.send(p.Run(id=2, steps=5))
    folder = _folder(screen)
    screen.wait(lambda reply: isinstance(reply, p.StateChanged) and reply.step == 5)
    screen.link.close()
    engine = start_engine("test", str(screen.log), folder=folder, start=True)
    engines.append(engine.pid)
    end = time.monotonic() + 60
    while not (folder / "engine.sock").exists():
        assert time.monotonic() < end and engine.poll() is None
        time.sleep(0.05)
    guest = Guest(folder)
    while _status(guest).step <= 5:
        time.sleep(0.01)
    guest.link.close()
    assert engine.wait(60) == 0


def test_an_engine_that_hangs_is_killed_and_said_to_be(monkeypatch):
    monkeypatch.setattr(ending, "PATIENCE", 1.0)
    monkeypatch.setattr(ending, "_SILENCE", 0.0)
    screen = Screen("process")
    screen.link.send(p.New(id=1, spec=dumps(SPEC)))
    folder = _folder(screen)
    os.kill(screen.link.pid, signal.SIGSTOP)
    said: list[str] = []
    screen.link.close(said.append)
    assert len(said) == 1
    assert "was killed" in screen.link.last_words and f"resume {folder.name}" in screen.link.last_words
    assert not _alive(screen.link.pid)


def test_an_engine_ends_when_its_screen_is_killed():
    code = (
        "import os, sys, time\n"
        "from aetui.engine.links import ProcessLink\n"
        "link = ProcessLink('test', sys.argv[1])\n"
        "print(link.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    screen = subprocess.Popen(
        [sys.executable, "-c", code, str(RunFolder.create("test").log)], stdout=subprocess.PIPE, text=True
    )
    engine = int(screen.stdout.readline())
    screen.kill()
    screen.wait()
    end = time.monotonic() + 60
    while time.monotonic() < end and _alive(engine):
        time.sleep(0.05)
    assert not _alive(engine)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
