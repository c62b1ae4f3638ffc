"""Thin lines and old terminals, on a real pseudo-terminal: what is sent, and when."""

import re
import sys
import threading

import pytest

from tests.pty.conftest import leave

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

_COLOR = re.compile(rb"\x1b\[[0-9;]*\b(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def train(program):
    program.press("F5")
    program.wait_for("RUNNING")


def test_opening_takes_few_bytes(standing):
    assert len(standing.opening) <= 40_000


def test_a_terminal_that_does_not_answer_is_drawn_on_all_the_same(standing):
    program = standing.screen(answer=lambda program, data: None)
    program.wait_for("PAUSED", "Reconstructions", "F5 run")
    train(program)
    program.press("F8")
    program.tweaked("optim.lr")
    leave(program)


@pytest.mark.parametrize("answer", [b"\x1b[999;999R", b"\x1b[1;1R"])
def test_answers_that_make_no_sense_are_no_keys(standing, answer):
    program = standing.screen(answer=lambda program, data: program.send(answer))
    program.wait_for("PAUSED", "Reconstructions", "F5 run")
    train(program)
    assert "Rewind to" not in program.text
    leave(program)


def test_late_answers_and_keys_between_them(standing):
    program = standing.screen(answer=lambda program, data: threading.Timer(0.4, program.send, (data,)).start())
    program.wait_for("PAUSED", "Reconstructions", "F5 run")
    train(program)
    program.press("F7")
    program.tweaked("optim.lr")
    program.press("F3")
    program.wait_for("Rewind to")
    program.press("escape")
    program.wait(lambda: "Rewind to" not in program.text, "the end of the dialog")
    leave(program)


def test_a_picture_is_sent_only_when_the_last_has_arrived(standing):
    program = standing.screen()
    program.wait_for("PAUSED", "Reconstructions", "F5 run")
    train(program)
    program.answer = lambda data: None
    program.wait(lambda: b"\x1b[6n" in program.raw[-400:], "a question")
    before = len(program.raw)
    for _ in range(10):
        program._take(0.2)
    assert len(program.raw) - before < 12_000
    program.kill()


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({"LC_ALL": "C"}, "ascii"),
        ({"TERM": "vt100"}, "ascii"),
        ({"TERM": "linux"}, "cp437"),
    ],
)
def test_old_terminals_get_characters_that_they_have(standing, environment, allowed):
    program = standing.screen(environment=environment)
    program.wait_for("PAUSED", "F5 run")
    before = program.step
    train(program)
    program.wait_for("PCA")
    program.wait(lambda: program.step > before + 500, "some steps")
    program.raw.decode("utf-8", "ignore").encode(allowed)
    assert "?" not in "".join(program.lines[3:-5]).replace("?)", "")
    if environment.get("TERM") == "vt100":
        assert not _COLOR.search(program.raw)
        assert b"$p" not in program.raw and b"\x1b[>" not in program.raw
    leave(program)


def test_without_colors_none_are_sent(standing):
    program = standing.screen(environment={"NO_COLOR": "1"})
    assert not _COLOR.search(program.raw)
    leave(program)


def test_a_terminal_that_cannot_move_its_cursor_is_told_so(start):
    program = start("run", "digits", environment={"TERM": "dumb"})
    program.wait_end()
    assert "needs a terminal that can move its cursor, and TERM is dumb" in program.said
    assert b"\x1b" not in program.raw
