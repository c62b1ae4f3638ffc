"""The bell and the notification of a run that finishes, on a real terminal."""

import sys

import pytest

from aetui.paths import settings_path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_run_that_finishes_rings_and_notifies_once(start):
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    settings_path().write_text("[alerts]\nbell = true\ndesktop = 'osc9'\non = ['finish']\n")
    program = start("run", "digits", "--set", "train.steps=40", "--name", "otter", environment={"TMUX": "", "STY": ""})
    program.wait_for("PAUSED")
    assert b"\x1b]9;" not in program.raw
    program.press("F5")
    program.wait_for("FINISHED")
    program.wait(lambda: b"\x1b]9;" in program.raw, "the notification")
    assert program.raw.count(b"\a\x1b]9;otter at step 40: finished 40 steps") == 1
    program.press("q")
    program.wait_end()
