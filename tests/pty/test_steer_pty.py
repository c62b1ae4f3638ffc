"""A script of somebody's own steered from the command line, beside a screen that only watches it."""

import sys
from pathlib import Path

import pytest

from aetui import protocol as p
from tests.pty.test_own_loop_pty import SCRIPT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def said(start):
    """What a command prints whose status is 0."""

    def say(*words: str) -> str:
        command = start(*words)
        assert command.wait_end() == 0, command.text
        return command.text

    return say


def test_a_command_steers_what_a_screen_that_only_watches_shows(start, said, tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(SCRIPT)
    script = start(script=file)
    script.wait_for("aetui attach mine")
    screen = start("attach", "mine", "--read-only")
    screen.wait_for("RUNNING", "READ-ONLY", "mine.py")
    assert "paused at step" in said("steer", "mine", "pause")
    screen.wait_for("PAUSED")
    screen.press("F5")
    screen.wait_for(p.READ_ONLY[:40])
    assert "optim.lr 0.001 -> 0.25 from step" in said("steer", "mine", "set", "optim.lr=0.25")
    screen.wait(lambda: screen.rate == pytest.approx(0.25), "the rate that the command set")
    shown = said("status", "mine")
    assert "optim.lr 0.25" in shown and "paused" in shown and "own loop" in shown
    assert "goes on from step" in said("steer", "mine", "go")
    screen.wait_for("RUNNING")
    screen.press("q")
    assert "trains on in the background" in screen.ended()
    said("stop", "mine")
    assert script.wait_end() == 0
    assert "saved by the script" in script.text
