"""Models of the user's whose steps take long, on real terminals: keys are acknowledged, nothing is lost."""

import os
import signal
import sys
from pathlib import Path

import pytest

from aetui.runs.folder import RunFolder
from aetui.runs.summary import summary

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

MODEL = """
import time
from pathlib import Path
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 4), nn.Linear(4, features)
        self.steps = 0

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            while self.steps > int(Path({allowed!r}).read_text()):
                time.sleep(0.01)  # here
        return self.decoder(torch.relu(self.encoder(x)))
"""
LINE = 1 + next(i for i, line in enumerate(MODEL.splitlines()) if line.endswith("# here"))


class Allowed:
    """How many steps the model may compute; the next one takes until it may."""

    def __init__(self, file: Path, steps: int) -> None:
        self.file = file
        self(steps)

    def __call__(self, steps: int) -> None:
        written = self.file.with_suffix(".new")
        written.write_text(str(steps))
        written.replace(self.file)


def run(start, folder: Path, steps: int):
    allowed = Allowed(folder / "allowed", steps)
    (folder / "mine.py").write_text(MODEL.format(allowed=str(allowed.file)))
    options = ("--set", "data.rows=0:300", "--set", "train.steps=0", "--set", "optim.lr=0.001", "--name", "slow")
    program = start("run", "--model", f"{folder}/mine.py:Net", *options, columns=80, rows=24)
    program.wait_for("PAUSED", "F5 starts training")
    return program, allowed


def test_keys_during_slow_steps_are_acknowledged_and_repeats_undo_nothing(start, tmp_path):
    program, allowed = run(start, tmp_path, 1)
    rates = ("0.001", "0.000562341", "0.000316228")
    for done, (columns, rows) in ((1, (80, 24)), (4, (120, 40))):
        program.resize(columns, rows)
        allowed(done)
        program.press("F5")
        program.wait_for("RUNNING")
        program.wait(lambda done=done: program.step == done, "slow steps, each as it comes")
        program.press("F5")
        program.wait_for("PAUSING")
        program.press("F5")
        program.wait_for("pausing: waits for the step under way")
        program.press("F5")
        allowed(done + 1)
        assert program.step_at_rest() == done + 1
        program.press("F6")
        program.wait_for("STEPPING")
        before, after, *_ = rates[done > 1 :]
        program.press("F7")
        program.wait_for(f"optim.lr {before} -> {after} ...")
        allowed(done + 2)
        program.wait(lambda done=done: program.step == done + 2 and "PAUSED" in program.text, "one step")
        assert program.tweaked(f"optim.lr {before} -> {after}") == done + 3
    program.press("ctrl+q")
    assert program.wait_end() == 0


def test_a_step_that_hangs_is_said_to_and_costs_no_step_before_it(start, tmp_path, private_home):
    program, _ = run(start, tmp_path, 49)
    program.press("F5")
    program.wait(lambda: program.step == 49, "the last whole step")
    program.wait_for("RUNNING no step for", "in forward of Net")
    program.resize(120, 40)
    program.wait_for("RUNNING no step for", f"in forward of Net (mine.py, line {LINE})")
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
