"""A case of the gallery is opened, diagnosed, forked and mended by keys alone, on a real terminal."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pty.conftest import alive

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_case_is_diagnosed_forked_adopted_and_ends_healthy(start):
    program = start("run", "clinic/low-rate", "--start", "--name", "case", columns=80, rows=24)
    program.wait_for("FINISHED", "COLLAPSED")
    program.press("y")
    program.wait_for("learning rate too low", "F2 what-if")
    program.press("F2")
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
    program.wait_for("undone; ^y returns to step 1,400", "step 1,000 of 1,000")
    program.press("ctrl+y")
    program.wait_for("HEALTHY", "step 1,400")
    program.press("q")
    assert program.wait_end() == 0
    program.assert_restored()
    assert "the run case is stored at step 1,400" in program.said


def workers(engine: int) -> list[int]:
    """The processes that train forks for an engine."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == engine and b"aetui.whatif" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("what", ["engine", "screen"])
def test_a_kill_in_the_middle_leaves_the_run_as_it_is(start, what):
    program = start(
        "run", "clinic/low-rate", "--set", "train.steps=20", "--start", "--name", "case", columns=80, rows=24
    )
    program.wait_for("FINISHED", "step 20 of 20")
    (engine,) = start.engines
    program.press("F2")
    program.wait_for("What-if at step 20")
    program.press(*"900000000", "enter")
    program.wait_for("TRYING")
    program.wait(lambda: bool(workers(engine)), "worker processes")
    found = workers(engine)
    # A record knows all up to the last second.
    record = Path(start.home, "runs", "case", "run.db-wal")
    program.wait(lambda: b"finished 20 steps" in record.read_bytes(), "the record of the end")
    if what == "engine":
        os.kill(engine, signal.SIGKILL)
        program.wait_gone(*found)
        program.press("escape")
        program.wait_for("FAILED", "F5 resumes the run from the store", "step 20")
        program.press("ctrl+q")
        program.wait_end()
    else:
        program.kill()
        # Nobody is there to wait for the forks, which go on until somebody comes back.
        assert all(map(alive, found)) and engine in start.engines
        program = start("attach", "case", columns=80, rows=24)
        program.wait_for("step 20")
        program.press("F")
        program.wait_for("TRYING")
        program.press("c")
        program.wait_for("CANCELLED")
        program.wait_gone(*found)
        program.press("ctrl+q")
        program.wait_for("write a checkpoint and stop")
        program.press("c")
        program.wait_end()
        program.wait_gone(engine)
    record = start("runs", "show", "case", columns=120, rows=40)
    record.wait_for("step                20")
