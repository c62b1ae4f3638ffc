"""A session on a keyboard without F keys, brackets and digits, and a screen that is suspended."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.pty.conftest import Program

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

NEXT, COPY, APPLY, MENU, SUSPEND = "\x0e", "Y", "\x13", "\x10", "\x1c"


def leave_dialog(program: Program, title: str) -> None:
    """Close a dialog; a letter right behind escape would be one with alt."""
    program.press("escape")
    program.wait(lambda: title not in program.text, f"the end of {title!r}")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_a_whole_session_without_function_keys(start, columns: int, rows: int):
    program = start("run", "digits", "--set", "train.steps=0", "--name", "otter", columns=columns, rows=rows)
    program.wait_for("PAUSED")
    program.press(" ")
    program.wait(lambda: program.step > 20, "twenty steps")
    for title in ("Variance", "Settings"):
        program.press("i")
        program.wait_for(title)
    # A value that is being typed, and an action by its name meanwhile.
    program.press("down", "enter", *["backspace"] * 8, *"0.01", MENU)
    program.wait_for("Search for commands")
    program.press(*"run/pause", "enter")
    program.wait_for("PAUSED", "0.01")
    program.press(APPLY)
    program.tweaked("optim.lr 0.002 -> 0.01")
    program.press("escape")
    for title in ("Code", "Reconstructions"):
        program.press(NEXT)
        program.wait_for(title)
    program.wait_for("samples 1-")
    program.press(">")
    program.wait_for("samples 2-")
    program.press("<")
    program.wait_for("samples 1-")
    program.press("-")
    program.tweaked("optim.lr 0.01 -> 0.00562341")
    program.press("u")
    program.wait_for("undone")
    program.press("U")
    program.wait_for("redone")
    program.press("c")
    program.wait_for("Threshold")
    leave_dialog(program, "Threshold")
    program.press("b")
    program.wait_for("Rewind to a checkpoint")
    leave_dialog(program, "Rewind to a checkpoint")
    program.press("y", COPY)
    program.wait_for("copied, also in")
    program.press("?")
    program.wait_for("up down scroll")
    leave_dialog(program, "up down scroll")
    program.press("q")
    assert program.wait_end() == 0
    program.assert_restored()


def test_a_screen_that_is_suspended_leaves_the_shell_and_training_goes_on(start, private_home: str):
    shell = Program(["bash", "--norc", "--noprofile", "-i"], 100, 30, {"PS1": "shell> ", "AETUI_HOME": private_home})
    start.programs.append(shell)
    shell.wait_for("shell>")
    shell.send(f"{sys.executable} -m aetui run digits --set train.steps=0 --name otter --start\r".encode())
    shell.wait_for("RUNNING", "pause")
    shell.press(SUSPEND)
    shell.wait_for("aetui is suspended and training goes on", "Stopped", "shell>")

    def step() -> int:
        command = [sys.executable, "-m", "aetui", "status", "otter", "--json"]
        told = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
        return json.loads(told.stdout)["step"]

    before = step()
    time.sleep(0.1)
    assert step() > before
    shell.send(b"fg\r")
    shell.wait_for("RUNNING", "pause", "steps/s")
    shell.press(" ")
    shell.wait_for("PAUSED")
    shell.press("q")
    shell.wait_for("shell>")
    shell.send(b"exit\r")
    assert shell.wait_end() == 0


def test_where_no_shell_waits_the_key_says_so(start):
    program = start("run", "digits", "--name", "otter", columns=80, rows=24)
    program.wait_for("PAUSED")
    program.press(SUSPEND)
    program.wait_for("can't suspend: there is no shell with job control")
    program.press("q")
    assert program.wait_end() == 0
