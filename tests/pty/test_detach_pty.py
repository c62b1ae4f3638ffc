"""The real program on real terminals: runs are left, found again, shared, taken back, and outlive what befalls them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aetui.bench.pseudo_terminal import Terminal
from aetui.cli.main import main
from aetui.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

ENDLESS = ("--set", "train.steps=0", "--set", "train.epochs=0", "--set", "optim.lr=0.001")
SMALL = (
    "--set", "data.kind=gaussian", "--set", "data.rows=60", "--set", "data.features=8",
    "--set", "model.hidden=6", "--set", "model.code=3", "--set", "train.batch_size=16",
    "--set", "optim.lr=0.01",
)  # fmt: skip


def train_on(program, what: str = "training to go on") -> int:
    """Wait until a few more steps have been trained; the step then."""
    step = program.step
    program.wait(lambda: program.step > step + 20, what)
    return program.step


def rests_at(program, step: int) -> None:
    program.wait(lambda: program.step == step and "PAUSED" in program.text, f"a pause at step {step}")


def run_steps(program, steps: int, *, to: int) -> None:
    program.press("n")
    program.wait_for("Run N steps")
    program.press("ctrl+u", str(steps), "enter")
    rests_at(program, to)


def stored_step(said: str) -> int:
    found = re.search(r"is stored at step ([\d,]+); aetui resume (\S+) goes on", said)
    assert found, said
    return int(found[1].replace(",", ""))


def test_a_run_outlives_its_screens_and_comes_back_on_other_terminals(start):
    first = start("run", *ENDLESS, "--name", "far", "--start")
    first.wait_for("RUNNING")
    first.press("F7")
    tweaked = first.tweaked("optim.lr 0.001 -> 0.000562341")
    first.press("d")
    assert first.ended() == (
        "aetui: the run far trains on in the background; aetui attach far shows it, aetui stop far ends it"
    )
    (engine,) = start.engines

    second = start("attach", columns=80, rows=24)
    second.wait_for("RUNNING", "run far", "optim.lr 0.001 -> 0.000562341")
    assert second.step > tweaked and second.rate == pytest.approx(0.000562, rel=1e-3)
    second.press("7")
    second.wait_for("Journal", f"step {tweaked - 1:,} ", "optim.lr 0.001 -> 0.000562341")
    step = train_on(second)
    second.hang_up()
    second.wait(lambda: second.process.poll() is not None, "the end of the screen")

    third = start("attach", "far", columns=80, rows=24)
    third.wait(lambda: third.step > step, "a later step")
    third.process.send_signal(signal.SIGTERM)
    assert "trains on in the background" in third.ended()

    fourth = start("attach", "fa")
    fourth.wait_for("RUNNING")
    fourth.kill()
    assert start.engines == [engine]
    refused = start("resume", "far")
    assert refused.wait_end() == 2
    assert f"far is in training by process {engine}; aetui attach far shows it" in refused.said

    assert main(["stop"]) == 0
    assert start.engines == []


def test_two_screens_share_a_run_and_survive_its_engine(start):
    one = start("run", *ENDLESS, "--name", "shared", "--start", columns=200, rows=50)
    one.wait_for("RUNNING")
    two = start("attach", "shared", columns=120, rows=30)
    two.wait_for("RUNNING")
    one.press("F7")
    step = one.tweaked("optim.lr 0.001 -> 0.000562341")
    assert two.tweaked("another screen: optim.lr 0.001 -> 0.000562341") == step
    two.wait(lambda: two.rate == pytest.approx(0.000562, rel=1e-3), "the other's rate")
    two.press("F5")
    for screen in (one, two):
        screen.wait_for("PAUSED")
    assert one.step == two.step
    one.press("u")
    two.wait_for("another screen: undone: optim.lr 0.001 -> 0.000562341")
    for screen in (one, two):
        rests_at(screen, step - 1)
    one.press("F5")
    two.wait_for("RUNNING")
    two.press("ctrl+d")
    two.ended()
    train_on(one)

    two = start("attach", columns=80, rows=24)
    two.wait_for("RUNNING")
    stop = start("stop", "shared")
    assert stop.wait_end() == 0
    stored = stored_step(stop.said)
    for screen in (one, two):
        screen.wait_for("ENDED", f"the run shared is stored at step {stored:,}")
        assert "F5 resumes" in screen.text and screen.step == stored
    assert start.engines == []
    two.press("q")
    assert stored_step(two.ended()) == stored

    one.press("F5")
    one.wait_for("RUNNING")
    train_on(one)
    (engine,) = start.engines
    os.kill(engine, signal.SIGKILL)
    one.wait_for("FAILED", "F5 resumes the run from the store", "signal SIGKILL")
    one.press("F7")
    one.wait_for("FAILED")
    step = one.step
    one.press("F5")
    one.wait_for("RUNNING")
    one.wait(lambda: one.step > step, "training to go on")
    assert start.engines and engine not in start.engines
    one.press("q")
    one.wait_for("[k] keep training in the background", "[c] write a checkpoint and stop", "[s] stay")
    one.press("s")
    one.wait(lambda: "[s] stay" not in one.text, "the question to be gone")
    train_on(one)
    one.press("q")
    one.wait_for("[k] keep training")
    one.press("c")
    assert stored_step(one.ended()) > step
    assert start.engines == []


def test_going_back_by_keys_ends_in_the_weights_that_the_script_has(start, tmp_path, capsys):
    program = start("run", *SMALL, "--name", "back", columns=80, rows=24)
    program.wait_for("PAUSED")
    run_steps(program, 40, to=40)
    program.press("F7")
    program.tweaked("optim.lr 0.01 -> 0.00562341")
    run_steps(program, 20, to=60)
    program.press("u")
    program.wait_for("^y returns to step 60", "undone: optim.lr 0.01")
    rests_at(program, 40)
    assert program.rate == pytest.approx(0.01)
    program.press("U")
    program.wait_for("redone; the run stands at step 60")
    program.press("ctrl+z")
    program.wait_for("undone; ^y returns to step 60", "suspends to the shell")
    rests_at(program, 40)
    program.press("F8")
    program.tweaked("optim.lr 0.01 -> 0.0177828")
    run_steps(program, 25, to=65)
    program.wait_for("left")

    program.press("b")
    program.wait_for("Rewind to a checkpoint", "here", "left at step 60")
    program.press("down", "down", "down", "down", "down", "down", "enter")
    rests_at(program, 0)
    program.press("F3")
    program.wait_for("Rewind to a checkpoint", "left at step 65")
    rows = [line for line in program.lines if re.search(r"\b(65|60|40|0) ", line) and "│" in line]
    wanted = next(index for index, line in enumerate(rows) if re.search(r"\b65 .*left at step 65", line))
    program.press(*["down"] * wanted, "enter")
    rests_at(program, 65)
    program.press("q")
    assert stored_step(program.ended()) == 65

    assert main(["resume", "back", "--steps", "65", "--json"]) == 0
    (weights,) = re.findall(r'"weights_sha256": "([0-9a-f]{64})"', capsys.readouterr().out)
    assert main(["export", "back", "--to", "script", "--out", str(tmp_path)]) == 0
    script = next(path for path in map(Path, capsys.readouterr().out.split()) if path.suffix == ".py")
    printed = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert weights in printed.stdout

    again = start("resume", "back", "--engine", "thread", columns=80, rows=24)
    again.wait(lambda: again.step == 65 and "FINISHED" in again.text, "the end that was asked for")
    again.press("F6")
    rests_at(again, 66)
    again.press("ctrl+z")
    again.wait_for("undone; ^y returns to step 66", "suspends to the shell")
    rests_at(again, 40)
    again.press("b")
    again.wait_for("Rewind to a checkpoint", "left at step 66")
    again.press("F3")
    again.wait(lambda: "Rewind" not in again.text, "the list to be gone")
    again.press("ctrl+y")
    again.wait_for("redone; the run stands at step 66")
    again.press("d")
    again.wait_for("can't detach: the engine is a thread of this program")
    again.press("q")
    assert stored_step(again.ended()) == 66


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("attach",), "aetui: aetui attach: no engine is running; aetui runs lists the stored runs"),
        (("attach", "nowhere"), "aetui: aetui attach: there is no run 'nowhere'; aetui runs lists them"),
    ],
)
def test_where_there_is_nothing_to_attach_to_one_sentence_says_so(start, arguments, sentence):
    program = start(*arguments)
    assert program.wait_end() == 2
    assert program.said == sentence


def test_a_terminal_that_vanishes_without_a_signal_ends_the_screen_alone(private_home):
    """As where the terminal is not the controlling one, so that no SIGHUP comes."""
    terminal = Terminal(["run", "--name", "alone", *ENDLESS, "--start"], Path(private_home))
    folder = RunFolder(Path(private_home, "runs", "alone"))
    terminal.wait_for("RUNNING")
    os.close(terminal._master)
    assert terminal._process.wait(60) == 0
    engine = folder.holder()
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
