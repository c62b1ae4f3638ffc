"""The real program on a real terminal: it is started, steered by keys and left, well or badly."""

import re
import signal
import sys
from pathlib import Path

import pytest

from aetui.runs.folder import RunFolder
from aetui.runs.summary import summary
from tests.pty.conftest import leave

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

ENDLESS = ("--set", "train.steps=0", "--set", "train.epochs=0")
RATE = 0.001
DOWN = 10**-0.25


def shows(shown: float, value: float) -> bool:
    """Whether a figure of three digits is that of a value."""
    return shown == pytest.approx(value, rel=5e-3)


def stored_step(home: str, name: str) -> int:
    """Where a run stands, as its record has it."""
    return summary(RunFolder(Path(home, "runs", name))).step or 0


def log_text(home: str) -> str:
    """The logs of all runs under a private home."""
    return "\n".join(file.read_text() for file in Path(home, "runs").glob("*/log.txt"))


@pytest.mark.parametrize(("placement", "columns", "rows"), [("process", 80, 24), ("thread", 120, 40)])
def test_a_session_from_start_to_quit(start, placement, columns, rows):
    options = ("--set", f"optim.lr={RATE}", "--engine", placement, "--name", "first")
    program = start("run", *ENDLESS, *options, columns=columns, rows=rows)
    program.wait_for("PAUSED", "F5 starts training")
    assert program.step == 0 and shows(program.rate, RATE)
    assert "digits 1797 x 64" in program.lines[0]
    libraries = Path(f"/proc/{program.process.pid}/maps").read_text()
    assert ("libtorch" in libraries) == (placement == "thread")

    program.press("F5")
    program.wait_for("RUNNING", "F5 pause")
    program.wait(lambda: program.step > 20, "step 20")
    program.press("F7")
    assert program.tweaked("optim.lr 0.001 -> 0.000562341") > 20
    program.wait(lambda: shows(program.rate, RATE * DOWN), "the lower rate")
    program.press("F9")
    program.wait_for("Gradient clipping", "Joint gradient norm")
    program.press("down")
    program.press("enter")
    program.tweaked("clip.kind none -> per-tensor")

    program.press("F5")
    program.wait_for("PAUSED", "F5 run")
    program.press("F7")
    step = program.tweaked("optim.lr 0.000562341 -> 0.000316228")
    program.press("F6")
    program.wait(lambda: program.step == step and "PAUSED" in program.text, f"step {step}")
    program.press("F8")
    assert program.tweaked("optim.lr 0.000316228 -> 0.000562341") == step + 1
    program.wait(lambda: shows(program.rate, RATE * DOWN), "the higher rate")

    program.press("F5")
    program.wait(lambda: program.step > step + 20, "training to go on")
    program.press("ctrl+q")
    program.wait_for("The run is training.")
    program.press("escape")
    program.wait(lambda: "The run is training" not in program.text, "the question to be gone")
    assert "RUNNING" in program.text and program.process.poll() is None
    assert len(start.engines) == (placement == "process")
    program.press("ctrl+q")
    program.wait_for("keep training in the background" if placement == "process" else "Quitting writes a checkpoint")
    program.press("c" if placement == "process" else "q")
    way_on = r"aetui: the run first is stored at step [\d,]+; aetui resume first goes on"
    assert re.fullmatch(way_on, program.ended())
    assert not start.engines


@pytest.mark.parametrize("placement", ["process", "thread"])
def test_keys_pressed_before_the_engine_is_ready_are_obeyed_in_order(start, placement):
    program = start("--set", f"optim.lr={RATE}", "--engine", placement, columns=80, rows=24)
    program.press("F7", "F7", "F6")
    program.wait(lambda: program.step == 1 and "PAUSED" in program.text, "one step")
    program.wait(lambda: shows(program.rate, RATE * DOWN**2), "the lower rate")
    program.press("n")
    program.wait_for("Run N steps")
    program.press("4", "backspace", "1", "3", "enter")
    program.wait(lambda: program.step == 14 and "PAUSED" in program.text, "13 steps more")
    program.press("ctrl+q")
    assert program.wait_end() == 0


def test_quitting_while_the_engine_still_loads_and_a_theme_that_does_not_exist(start):
    program = start("--theme", "nope", "--start")
    program.wait_for("LOADING", "there is no theme 'nope'", "Using dark")
    program.press("ctrl+q")
    assert program.wait_end() == 0
    program.assert_restored()
    assert not start.engines


def test_resizing_while_training_redraws_the_whole_screen(standing):
    program = standing.screen(columns=120, rows=40)
    program.press("F5")
    program.wait_for("RUNNING", "F5 pause")
    for columns, rows in ((80, 24), (60, 15), (200, 50)):
        program.resize(columns, rows)
        program.wait(lambda: "RUNNING" in program.text and "F5 pause" in program.lines[-1], f"{columns} x {rows}")
        assert len(program.lines) == rows
        step = program.step
        program.wait(lambda step=step: program.step > step, "training to go on")
    leave(program)


def test_an_engine_in_a_thread_saves_the_run_and_ends_with_its_screen(start, private_home):
    """A signal and a hang-up are no wish to lose anything."""
    program = start("run", *ENDLESS, "--start", "--engine", "thread", "--name", "one", columns=80, rows=24)
    program.wait(lambda: program.step > 0, "a step")
    program.process.send_signal(signal.SIGTERM)
    assert program.ended().startswith("aetui: the run one is stored at step ")

    again = start("resume", "one", "--start", "--engine", "thread")
    again.wait_for("RUNNING")
    again.hang_up()
    again.wait(lambda: again.process.poll() is not None, "the end of the program")
    assert stored_step(private_home, "one") > 0
    assert "Traceback" not in log_text(private_home)


def test_an_exception_in_the_screen_restores_the_terminal_and_logs_the_traceback(start, tmp_path, private_home):
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys\n"
        "from aetui.tui import app\n"
        "class Broken(app.Workbench):\n"
        "    def action_lr_up(self):\n"
        "        raise RuntimeError('provoked in an action')\n"
        "app.Workbench = Broken\n"
        "from aetui.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    program = start("run", *ENDLESS, "--start", script=script)
    program.wait_for("RUNNING", "F5 pause")
    program.press("F8")
    assert program.wait_end() not in (0, None)
    program.assert_restored()
    assert "the screen failed; the traceback is in" in program.said
    assert "trains on in the background; aetui attach" in program.said
    assert "Traceback" not in program.said and "provoked" not in program.said
    assert re.search(r"Traceback[\s\S]*provoked in an action", log_text(private_home))
    assert len(start.engines) == 1


def test_data_that_cannot_be_used_keep_the_program_up_with_the_reason(start, tmp_path):
    file = tmp_path / "gaps.csv"
    file.write_text("a,b\n1,2\n3,nan\n5,6\n")
    program = start("run", "--data", str(file), "--start", columns=120, rows=30)
    program.wait_for("FAILED", "gaps.csv: column 'b' has 1 NaN of 3 entries")
    program.press("F5", "F6", "F7")
    program.wait_for("there is no run yet")
    assert "Traceback" not in program.text
    program.press("ctrl+q")
    said = program.ended(1)
    assert said.startswith("aetui: gaps.csv: column 'b' has 1 NaN of 3 entries") and said.count("aetui:") == 1


def test_training_that_stops_being_finite_says_where_and_can_still_be_steered(start):
    program = start("run", "--set", "optim.kind=sgd", "--set", "optim.lr=1e6", "--start", columns=200, rows=50)
    program.wait_for("STOPPED: NON-FINITE", "last finite at step 1:", "the step's update was not applied")
    program.press("F7")
    step = program.tweaked("optim.lr 1000000 -> 562341")
    assert step > 2
    program.wait(lambda: shows(program.rate, 1e6 * DOWN), "the lower rate")
    program.press("F5")
    program.wait_for("STOPPED: NON-FINITE", f"step {step}: loss")
    program.press("ctrl+q")
    assert program.wait_end() == 0
    program.assert_restored()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--set", "optim.lr=fast"), "aetui: optim.lr: 'fast' is not allowed; it takes a number"),
        (("run", "nowhere.toml"), "aetui: nowhere.toml: can't be read: No such file or directory"),
    ],
)
def test_bad_arguments_end_before_the_screen_opens(start, arguments, sentence):
    program = start(*arguments)
    assert program.wait_end() == 2
    assert b"\x1b[?1049h" not in program.raw
    assert program.aftermath.startswith(sentence) and "\n" not in program.aftermath
