"""Keys that a line delivers together, and a form that is never shown, on a real terminal."""

import re
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_a_remedy_is_put_into_the_form_and_applied_by_keys_of_one_read(start, columns, rows):
    program = start("run", "clinic/high-rate", columns=columns, rows=rows)
    program.wait_for("PAUSED")
    program.press("n", *["backspace"] * 3, "3", "0", "0", "enter")
    program.wait(lambda: program.step == 300 and "PAUSED" in program.text, "300 steps")
    program.wait_for("COLLAPSED")
    program.press("8")
    program.wait_for("go back and apply")
    program.press("f", "f", "\x13")
    program.tweaked("optim.lr 0.1 -> 0.001")
    program.press("ctrl+q")
    assert program.wait_end() == 0


def test_a_new_run_keeps_data_scaling_and_model_where_the_form_was_never_shown(start, tmp_path):
    rng = np.random.default_rng(0)
    np.save(
        tmp_path / "mine.npy", (rng.normal(size=(400, 3)) @ rng.normal(size=(3, 12)) * 300 + 4000).astype("float32")
    )
    settings = ("--set", "data.scaling=none", "--set", "model.code=3", "--set", "train.steps=300")
    program = start("--data", str(tmp_path / "mine.npy"), *settings, "--start", columns=80, rows=24)
    program.wait_for("FINISHED", "the data are not scaled")
    program.press("8")
    program.wait_for("into the form")
    for _ in range(4):
        if re.search(r"scaling none -> ", program.text):
            break
        program.press("r")
    program.press("f", "\x13")
    program.wait_for("These changes need a new run", "data.scaling none -> ")
    program.press("n")
    program.wait_for("PAUSED", "step 0")
    assert "mine" in program.lines[0]
    assert "[3]" in program.lines[0]
    program.press("ctrl+q")
    assert program.wait_end() == 0


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (200, 50)])
def test_a_setting_found_by_name_and_a_threshold_chosen_by_keys_of_one_read(start, columns, rows):
    program = start("run", columns=columns, rows=rows)
    program.wait_for("PAUSED")
    program.press("F9", "down", "tab", "ctrl+u", "0", ".", "5", "enter")
    program.tweaked("clip.kind none -> per-tensor, clip.threshold - -> 0.5")
    program.press("/", *"code", "enter", "4", "enter", "\x13")
    program.wait_for("These changes need a new run", "model.code 10 -> 4")
    program.press("n")
    program.wait_for("PAUSED", "-[4]-")
    program.wait(lambda: re.search(r"per-tensor 0\.500|clip -", program.text) is not None, "the clipping kept")
    program.press("ctrl+q")
    assert program.wait_end() == 0
