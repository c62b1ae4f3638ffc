"""A long command says how far it is where standard error is no terminal, too."""

from itertools import pairwise

import pytest

from aetui.cli.progress import LONGEST, Lines, progress_on_stderr
from aetui.diagnosis import Progress


def test_lines_come_at_growing_intervals_and_hold_no_carriage_return(capsys):
    now = [0.0]
    lines = Lines(lambda: now[0])
    seen: list[float] = []
    for _ in range(6000):
        lines.show(Progress("training", 3, 1500))
        if capsys.readouterr().err:
            seen.append(now[0])
        now[0] += 0.1
    apart = [b - a for a, b in pairwise(seen)]
    assert seen[0] == 0.0 and [round(one) for one in apart] == sorted(round(one) for one in apart)
    assert apart[0] < 3 and apart[-1] == pytest.approx(LONGEST, abs=0.2)


def test_a_pipe_gets_lines(capsys):
    with progress_on_stderr() as show:
        show(Progress("training", 25, 1500))
    assert capsys.readouterr().err == "[0 s] training, 25 of 1,500\n"
