"""A screen on a training of two processes: paused, steered, left, found again and ended by keys."""

import sys

import pytest

from tests.torchrun import job

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
__all__ = ["job"]


def test_a_screen_steers_both_ranks(start, job):
    running = job("--tells", "after")
    running.trains()
    screen = start("attach", "several")
    screen.wait_for("RUNNING", "several.py")
    screen.press("F5")
    step = screen.step_at_rest()
    assert running.taken(0) == running.taken(1) == step
    screen.press("F7")
    screen.tweaked("optim.lr 0.01 -> 0.00562341")
    screen.press("c")
    screen.wait_for("Gradient clipping", "Joint gradient norm")
    screen.press("down", "ctrl+u", "0.01", "enter")
    screen.tweaked("clip.kind none -> per-tensor")
    screen.press("F5")
    screen.wait(lambda: screen.step > step + 5, "training to go on")
    screen.press("d")
    assert "aetui attach several shows it" in screen.ended()

    again = start("attach", "several", columns=80, rows=24)
    again.wait(lambda: again.step > step + 5, "a later step")
    again.wait(lambda: again.rate == pytest.approx(0.00562, rel=1e-2), "the lower rate")
    again.press("q")
    again.wait_for("as Ctrl+C does")
    again.press("c")
    again.wait_end()
    assert running.end() == 0, running.printed
    notes = running.check_equal()
    assert [line.split()[2] for line in notes[step - 1 : step + 1]] == ["0.01", "0.00562341"]
