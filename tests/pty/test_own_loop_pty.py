"""A script of somebody's own on real terminals: paused, steered, taken back, left, found again and ended by keys."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

SCRIPT = """
import time
import torch
from torch import nn
import aetui

torch.manual_seed(0)
rows = torch.randn(256, 3) @ torch.randn(3, 10)
model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3), nn.Linear(3, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
run = aetui.watch(model, probe=rows, loss="mse", code="2", name="mine")
try:
    while True:
        batch = rows[torch.randint(0, 256, (64,))]
        loss = nn.functional.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss)
        time.sleep(0.002)
except KeyboardInterrupt:
    print("saved by the script")
"""


def test_a_script_is_steered_and_ended_by_keys(start, tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(SCRIPT)
    script = start(script=file)
    script.wait_for("aetui attach mine")
    screen = start("attach", "mine")
    screen.wait_for("RUNNING", "mine.py")
    screen.wait(lambda: screen.step > 5, "some steps")
    screen.press("F5")
    step = screen.step_at_rest()
    screen.press("F7")
    screen.tweaked("optim.lr 0.001 -> 0.000562341")
    screen.press("F5")
    screen.wait(lambda: screen.step > step + 5, "training to go on")
    screen.wait(lambda: screen.rate == pytest.approx(0.000562, rel=1e-3), "the lower rate")
    screen.press("ctrl+z")
    screen.wait(lambda: screen.step == step and "PAUSED" in screen.text, "the step before the tweak")
    screen.wait(lambda: screen.rate == pytest.approx(0.001), "the rate before it")
    screen.press("F5")
    screen.wait_for("RUNNING")
    screen.press("d")
    assert "aetui attach mine shows it, aetui stop mine ends it" in screen.ended()

    again = start("attach", "mine", columns=80, rows=24)
    again.wait(lambda: again.step > step, "a later step")
    stop = start("stop", "mine")
    assert stop.wait_end() == 0
    assert script.wait_end() == 0
    assert "saved by the script" in script.text
    again.wait_for("ENDED")
    again.press("q")
    again.wait_end()


def test_ctrl_c_ends_a_script_that_is_paused(start, tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(SCRIPT)
    script = start(script=file)
    script.wait_for("aetui attach mine")
    screen = start("attach", "mine")
    screen.wait_for("RUNNING")
    screen.press("F5")
    screen.wait_for("PAUSED")
    script.press("ctrl+c")
    assert script.wait_end() == 0
    assert "saved by the script" in script.text
    screen.wait_for("ENDED")
