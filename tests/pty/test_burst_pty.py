"""Keys that a line delivers together, and a form that is never shown, on a real terminal."""

import re
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_remedy_is_put_into_the_form_and_applied_by_keys_of_one_read(start):
    program = start("run", "clinic/high-rate", columns=80, rows=24)
    program.wait_for("PAUSED")
    program.press("n", *["backspace"] * 3, "3", "0", "0", "enter")
    program.wait(lambda: program.step == 300 and "PAUSED" in program.text, "300 steps")
    for columns, rows in ((80, 24), (120, 40)):
        program.resize(columns, rows)
        program.wait_for("COLLAPSED")
        program.press("8")
        program.wait_for("go back and apply")
        program.press("f", "f", "\x13")
        program.tweaked("optim.lr 0.1 -> 0.001")
        program.press("u")
        program.wait_for("undone: optim.lr 0.1")
        program.wait(lambda: program.step == 300 and "PAUSED" in program.text, "the step before the tweak")
        program.press("1")
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


def test_a_setting_found_by_name_and_a_threshold_chosen_by_keys_of_one_read(start):
    program = start("run", columns=80, rows=24)
    program.wait_for("PAUSED")
    width, threshold = "10", None
    for columns, rows, wider, looser in ((80, 24, "4", "0.5"), (120, 40, "5", "0.6"), (200, 50, "6", "0.7")):
        program.resize(columns, rows)
        program.wait_for("PAUSED", "F5 run")
        # Behind the first kind is the next one; later the kind that is in force stays.
        program.press("F9", *([] if threshold else ["down"]), "tab", "ctrl+u", *looser, "enter")
        first = "clip.kind none -> per-tensor, clip.threshold - -> 0.5"
        program.tweaked(f"clip.threshold {threshold} -> {looser}" if threshold else first)
        program.press("/", *"code", "enter", wider, "enter", "\x13")
        program.wait_for("These changes need a new run", f"model.code {width} -> {wider}")
        program.press("n")
        program.wait_for("PAUSED", f"-[{wider}]-")
        kept = rf"per-tensor {looser}00|clip -"
        program.wait(lambda kept=kept: re.search(kept, program.text) is not None, "the clipping kept")
        width, threshold = wider, looser
    program.press("ctrl+q")
    assert program.wait_end() == 0
