"""A run without a screen is attached to, steered, left and stopped like any other."""

import re
import subprocess
import sys

import pytest

from tests.pty.conftest import Gated, alive

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def headless(private_home):
    """`headless("--steps", "100")`: `aetui train` with its standard error in a pipe."""
    started = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "aetui", "train", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def reads(process: subprocess.Popen[str], text: str) -> str:
    """The first line from here on that has the text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"{text!r} never came")


def test_a_screen_pauses_tweaks_leaves_and_stops_it(start, headless):
    process = headless("--name", "job", "--steps", "1000000000", "--set", "optim.lr=0.001")
    reads(process, "aetui attach job shows it")
    program = start("attach", "job", columns=100, rows=30)
    program.wait_for("RUNNING", "F5 pause")
    program.press("F5")
    program.wait_for("PAUSED")
    reads(process, "paused from a screen at step")
    program.press("F7")
    program.tweaked("optim.lr 0.001 -> 0.000562341")
    program.press("F5")
    program.wait_for("RUNNING")
    reads(process, "goes on from step")
    program.press("ctrl+d")
    program.ended()
    assert process.poll() is None

    stop = start("stop", "job")
    assert stop.wait_end() == 0
    assert re.search(r"the run job is stored at step [\d,]+", stop.said)
    assert reads(process, "stopped from a screen").startswith("aetui: stopped from a screen: the run job is stored")
    assert process.wait(60) == 143 and not alive(process.pid)


def test_it_ends_at_its_steps_whoever_watches_and_takes_no_other_run(start, headless, tmp_path):
    model = Gated(tmp_path, 5)
    process = headless("--name", "job", "--steps", "20", *model.arguments)
    reads(process, "aetui attach job shows it")
    program = start("attach", "job", columns=100, rows=30)
    program.wait_for("RUNNING", "of 20")
    program.press("F5")
    program.wait_for("PAUSING")
    model.allow(20)
    program.wait_for("PAUSED")
    program.press("3", "down", "down", "down", "/", *"code", "enter", "7", "enter", "\x13")
    program.wait_for("These changes need a new run")
    program.press("n")
    program.wait_for("this engine trains the run job and ends with it")
    program.press("F5")
    program.wait_for("ENDED", "the run job is stored at step 20")
    assert process.wait(60) == 0
    assert "20 (" in process.stdout.read()
    program.press("q")
    program.ended()
