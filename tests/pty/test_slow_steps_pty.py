"""Models of the user's whose steps take long, on real terminals: keys are acknowledged, nothing is lost."""

import os
import signal
import sys
from pathlib import Path

import pytest

from aetui.runs.folder import RunFolder
from aetui.runs.summary import summary
from tests.pty.conftest import Gated

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def run(start, folder: Path, steps: int):
    model = Gated(folder, steps)
    options = ("--set", "train.steps=0", "--set", "optim.lr=0.001", "--name", "slow")
    program = start("run", *model.arguments, *options, columns=80, rows=24)
    program.wait_for("PAUSED", "F5 starts training")
    return program, model


def test_keys_during_slow_steps_are_acknowledged_and_repeats_undo_nothing(start, tmp_path):
    program, model = run(start, tmp_path, 1)
    rates = ("0.001", "0.000562341", "0.000316228")
    for done, (columns, rows) in ((1, (80, 24)), (4, (120, 40))):
        program.resize(columns, rows)
        model.allow(done)
        program.press("F5")
        program.wait_for("RUNNING")
        program.wait(lambda done=done: program.step == done, "slow steps, each as it comes")
        program.press("F5")
        program.wait_for("PAUSING")
        program.press("F5")
        program.wait_for("pausing: waits for the step under way")
        program.press("F5")
        model.allow(done + 1)
        assert program.step_at_rest() == done + 1
        program.press("F6")
        program.wait_for("STEPPING")
        before, after, *_ = rates[done > 1 :]
        program.press("F7")
        program.wait_for(f"optim.lr {before} -> {after} ...")
        model.allow(done + 2)
        program.wait(lambda done=done: program.step == done + 2 and "PAUSED" in program.text, "one step")
        assert program.tweaked(f"optim.lr {before} -> {after}") == done + 3
    program.press("ctrl+q")
    assert program.wait_end() == 0


def test_a_step_that_hangs_is_said_to_and_costs_no_step_before_it(start, tmp_path, private_home):
    program, model = run(start, tmp_path, 49)
    program.press("F5")
    program.wait(lambda: program.step == 49, "the last whole step")
    program.wait_for("RUNNING no step for", "in forward of Net")
    program.resize(120, 40)
    program.wait_for("RUNNING no step for", f"in forward of Net (mine.py, line {model.line})")
    (engine,) = start.engines
    folder = RunFolder(Path(private_home, "runs", "slow"))
    program.wait(lambda: summary(folder).step == 49, "step 49 on the disk")
    os.kill(engine, signal.SIGKILL)
    program.wait_for("FAILED", "F5 resumes the run from the store")
    assert summary(folder).step == 49
    program.press("F5")
    program.wait_for("RUNNING no step for")
    assert program.step == 49
    program.process.send_signal(signal.SIGTERM)
    program.wait_end()
