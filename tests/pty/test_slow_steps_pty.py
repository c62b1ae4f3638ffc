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
            if self.steps >= {first}:
                time.sleep({seconds})  # here
        return self.decoder(torch.relu(self.encoder(x)))
"""
LINE = 1 + next(i for i, line in enumerate(MODEL.splitlines()) if line.endswith("# here"))


def run(start, folder: Path, first: int, seconds: float, columns: int, rows: int):
    (folder / "mine.py").write_text(MODEL.format(first=first, seconds=seconds))
    options = ("--set", "data.rows=0:300", "--set", "train.steps=0", "--set", "optim.lr=0.001", "--name", "slow")
    model = ("--model", f"{folder}/mine.py:Net")
    return start("run", *model, *options, columns=columns, rows=rows)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_keys_during_slow_steps_are_acknowledged_and_repeats_undo_nothing(start, tmp_path, columns, rows):
    program = run(start, tmp_path, 1, 3.0, columns, rows)
    program.wait_for("PAUSED", "F5 starts training")
    program.press("F5")
    program.wait_for("RUNNING")
    program.wait(lambda: program.step >= 1, "slow steps, each as it comes")
    program.press("F5")
    program.wait_for("PAUSING")
    program.press("F5")
    program.wait_for("pausing: waits for the step under way")
    program.press("F5")
    step = program.step_at_rest()
    program.press("F6")
    program.wait_for("STEPPING")
    program.press("F7")
    program.wait_for("optim.lr 0.001 -> 0.000562341 ...")
    program.wait(lambda: program.step == step + 1 and "PAUSED" in program.text, "one step")
    assert program.tweaked("optim.lr 0.001 -> 0.000562341") == step + 2
    program.press("ctrl+q")
    assert program.wait_end() == 0


def test_a_step_that_hangs_is_said_to_and_costs_no_step_before_it(start, tmp_path, private_home):
    program = run(start, tmp_path, 50, 3600.0, 80, 24)
    program.wait_for("PAUSED", "F5 starts training")
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
