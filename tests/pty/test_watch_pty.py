"""`aetui watch` on real terminals: an untouched script with the screen on it, from its first line to its exit code."""

import sys
from pathlib import Path

import pytest

from tests.pty.conftest import alive

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

SCRIPT = """
import os
import sys
import time
import torch
from torch import nn

print("rows are made")
os.write(1, b"by a library\\n")
if "--ask" in sys.argv:
    print("lr", float(input("rate? ")))
torch.manual_seed(0)
rows = torch.randn(256, 3) @ torch.randn(3, 10)
model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3), nn.Linear(3, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
steps = 0
try:
    while steps < int(sys.argv[1]):
        batch = rows[torch.randint(0, 256, (64,))]
        loss = nn.functional.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        print("step", steps, flush=True)
        time.sleep(0.002)
except KeyboardInterrupt:
    print("saved by the script")
    sys.exit(3)
if "--ask" in sys.argv:
    print("named", input("name? "))
raise ValueError("nothing left")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(SCRIPT)
    return file


def test_a_script_is_watched_steered_left_and_ended(start, file: Path):
    screen = start("watch", "--name", "mine", str(file), "1000000000")
    screen.wait_for("RUNNING", "mine.py", "Sequential")
    screen.press("F5")
    step = screen.step_at_rest()
    screen.press("F7")
    screen.tweaked("optim.lr 0.001 -> 0.000562341")
    screen.press("o")
    screen.wait_for("Output", "by a library", "rows are made") if step < 8 else screen.wait_for(f"step {step}")
    screen.press("F5")
    screen.wait(lambda: screen.step > step + 5, "training to go on")
    (script,) = [pid for pid in screen.children() if alive(pid)]
    screen.press("d")
    assert "the run mine trains on in the background" in screen.ended()
    assert alive(script)

    again = start("attach", "mine", columns=80, rows=24)
    again.wait(lambda: again.step > step, "a later step")
    again.press("q")
    again.wait_for("stop")
    again.press("c")
    again.wait_end()
    again.wait_gone(script)


def test_the_exit_code_is_that_of_the_script_which_the_user_ends(start, file: Path):
    screen = start("watch", "--name", "mine", str(file), "1000000000")
    screen.wait_for("RUNNING", "mine.py")
    screen.press("q")
    screen.wait_for("as Ctrl+C does")
    screen.press("c")
    assert "saved by the script" in screen.ended(3)


def test_a_script_that_asks_has_the_terminal_and_its_traceback_is_shown(start, file: Path):
    screen = start("watch", "--name", "mine", str(file), "60", "--ask", columns=80, rows=24)
    screen.wait_for("rate?")
    assert "by a library" in screen.text
    screen.press("0.5", "enter")
    # What the screen leaves behind on its lines is the terminal's to take away.
    screen.wait(lambda: "name?" in screen.text and "the end of it:" in screen.text, "the question")
    screen.press("it", "enter")
    assert "ValueError: nothing left" in screen.ended(1)


def test_ctrl_c_before_the_first_step_is_the_scripts(start, tmp_path: Path):
    file = tmp_path / "slow.py"
    file.write_text("import time\nprint('loads', flush=True)\ntime.sleep(1000)\n")
    program = start("watch", str(file))
    program.wait_for("loads")
    program.press("ctrl+c")
    assert program.wait_end() == 130
    assert "KeyboardInterrupt" in program.text
