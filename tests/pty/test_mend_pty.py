"""A run that is beyond mending goes back and learns, on a real terminal with a real engine."""

import re
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def explained(text: str) -> float:
    found = re.search(r"expl\.(?: var\.)? (-?\d+\.\d+)", text)
    return float(found[1]) if found else float("nan")


def test_a_remedy_that_comes_too_late_is_applied_at_step_0(start):
    program = start("run", "clinic/high-rate", "--start", columns=120, rows=40)
    program.wait_for("FINISHED", "COLLAPSED")
    program.press("8")
    program.wait_for("Too late for a remedy", "go back and apply")
    program.resize(80, 24)
    program.wait_for("Too late for a remedy", "go back and apply")
    program.press("f", "enter")
    program.tweaked("optim.lr 0.1 -> 0.001")
    assert program.step == 0
    program.press("F5")
    program.wait_for("FINISHED", "HEALTHY")
    program.wait(lambda: program.step == 1000 and explained(program.text) > 0.75, "explained variance above 0.75")
    program.press("ctrl+q")
    assert program.wait_end() == 0
