"""Both placements: the same commands, the same weights, an orderly end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from aetui import Trainer
from aetui import protocol as p
from aetui.engine.links import PLACEMENTS, ProcessLink
from aetui.engine.logs import new_log
from aetui.spec import RunSpec, changed, dumps

SPEC = changed(RunSpec(), {"data.rows": "0:300", "model.hidden": (16,), "train.batch_size": 32, "train.threads": 1})


class Screen:
    def __init__(self, placement: str) -> None:
        self.log = new_log("test")
        self.link = PLACEMENTS[placement]("test", str(self.log))
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
    assert "ready: digits" in screen.log.read_text()


def test_an_engine_that_is_killed_is_named_with_its_log():
    screen = Screen("process")
    assert isinstance(screen.link, ProcessLink)
    screen.wait(lambda reply: isinstance(reply, p.Hello))
    os.kill(screen.link.pid, signal.SIGKILL)
    with screen.arrived:
        assert screen.arrived.wait_for(lambda: screen.lost, 30)
    assert "SIGKILL" in screen.lost[0]
    assert str(screen.log) in screen.lost[0]
    screen.link.send(p.Run(id=1))
    screen.link.close()


def test_an_engine_ends_when_its_screen_is_killed():
    code = (
        "import os, sys, time\n"
        "from aetui.engine.links import ProcessLink\n"
        "link = ProcessLink('test', sys.argv[1])\n"
        "print(link.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    screen = subprocess.Popen([sys.executable, "-c", code, str(new_log("test"))], stdout=subprocess.PIPE, text=True)
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
