"""What a training without a terminal says while it goes on."""

import itertools
import re
import signal
import subprocess
import sys

from aetui import protocol as p
from aetui.cli import progress
from aetui.cli.main import main
from aetui.diagnosis import Progress

SMALL = (
    "--set", "data.kind=gaussian", "--set", "data.rows=60", "--set", "data.features=8",
    "--set", "model.hidden=6", "--set", "model.code=3", "--set", "train.batch_size=16",
)  # fmt: skip
LINE = re.compile(r"aetui: step [\d,]+ of 1,000,000,000, loss [\d.e-]+, .*steps/s")


def test_lines_come_at_intervals_that_grow_up_to_ten_minutes(clock, capsys):
    lines = progress.Lines()
    lines.begin("it begins", 0)
    said = []
    for step in range(20_000):
        clock.now += 1.0
        if lines.due:
            lines.train(p.Status(state="running", step=step, loss=0.5), 20_000)
            said.append(clock.now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(said)]
    assert said[0] <= 103 and gaps == sorted(gaps) and gaps[-1] == gaps[-2] == 600
    assert capsys.readouterr().err.count("\n") == len(said) + 1


def test_a_diagnosis_says_how_far_it_is_at_once_and_at_growing_intervals(clock, capsys):
    lines, seen = progress.StageLines(), []
    for _ in range(600):
        lines.show(Progress("training", 3, 1500))
        if capsys.readouterr().err == f"aetui: after {clock.now - 100:.0f} s: training, 3 of 1,500\n":
            seen.append(clock.now)
        clock.now += 1.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    assert seen[0] == 100 and gaps == sorted(gaps) and gaps[0] < 3 and gaps[-1] == 60


def test_a_line_says_of_which_step_a_figure_is(clock, capsys):
    status = p.Status(
        state="running", step=1200, loss=0.25, explained_variance=0.5, explained_step=1100, steps_per_second=12.5,
        seconds_left=80.0,
    )  # fmt: skip
    said = progress.as_line(status, 2200)
    assert said == "step 1,200 of 2,200, loss 0.25, explained variance 0.500 at step 1,100, 12.5 steps/s, 80 s left"
    stalled = p.Status(state="running", step=7, stalled=p.Stall(14, "forward of Net", "mine.py, line 3"))
    assert progress.as_line(stalled, None) == "step 7, no step for 14 s, in forward of Net, mine.py, line 3"


def test_a_pipe_gets_lines_without_carriage_returns_while_it_trains(private_home):
    command = [sys.executable, "-m", "aetui", "train", *SMALL, "--name", "long", "--steps", "1000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            assert first == "aetui: the run long trains up to step 1,000,000,000; aetui attach long shows it\n"
            assert LINE.match(process.stderr.readline())
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "\r" not in rest and "the run long is stored at step" in rest


def test_quiet_says_nothing(private_home, capfd):
    assert main(["train", *SMALL, "--steps", "20", "--quiet"]) == 0
    assert capfd.readouterr().err == ""
