"""A case of the gallery is opened, diagnosed, forked and mended by keys alone, on a real terminal."""

import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_case_is_diagnosed_forked_adopted_and_ends_healthy(start):
    program = start("run", "clinic/low-rate", "--start", "--name", "case", columns=80, rows=24)
    program.wait_for("FINISHED", "COLLAPSED")
    program.press("y")
    program.wait_for("learning rate too low", "^t what-if")
    program.press("ctrl+t")
    program.wait_for("What-if at step 1,000", "[x] lr-too-low: optim.lr 1e-6 -> 0.001")
    # The random draw is left out.
    program.press("down", " ")
    program.wait_for("[ ] drawn at random")
    program.press("4", "0", "0", "enter")
    program.wait_for("TRYING", "compared at steps 1,200 and 1,400")
    program.wait_for("DONE", "lr-0.001 fixes it", "›C  lr-0.001")
    program.press("a")
    program.wait_for("adopt lr-0.001", "undo")
    program.press("enter")
    program.wait_for("HEALTHY", "step 1,400", "bit for bit")
    program.press("ctrl+z")
    program.wait_for("undone: optim.lr 1e-6", "step 1,000 of 1,000")
    program.press("ctrl+y")
    program.wait_for("HEALTHY", "step 1,400")
    program.press("q")
    assert program.wait_end() == 0
    program.assert_restored()
    assert "the run case is stored at step 1,400" in program.said
