"""Lines of tweaks and stops on the loss chart, few enough to leave the curve in sight."""

from itertools import pairwise

import pytest

from aetui.tui import plot
from aetui.tui.journal_entries import Mark
from aetui.tui.panes import marks


def tweaks(*steps: int) -> list[Mark]:
    return [Mark(step, f"optim.lr to {step}", "tweak") for step in steps]


def test_a_few_marks_have_a_line_and_their_text_each() -> None:
    found, note = marks.drawn([*tweaks(10, 11), Mark(50, "why", "pause")], 0, 100, 80)
    assert [(mark.x, mark.label) for mark in found] == [
        (50.5, "pause"),
        (10.5, "optim.lr to 10"),
        (11.5, "optim.lr to 11"),
    ]
    assert note == ""


@pytest.mark.parametrize("columns", [20, 80, 160])
@pytest.mark.parametrize("count", [100, 2000])
def test_many_marks_share_lines_that_say_how_many_they_are(columns: int, count: int) -> None:
    found, note = marks.drawn(tweaks(*range(count)), 0, count, columns)
    assert len(found) <= columns // 8
    assert all(b.x - a.x >= 2 * count / columns for a, b in pairwise(found))
    assert sum(int(mark.label.removesuffix(" tweaks").replace(",", "")) for mark in found) == count
    assert note == f"{plot.MARK} {count:,} tweaks, near ones as one"


def test_where_tweaks_are_far_from_others_they_keep_their_text() -> None:
    found, note = marks.drawn(
        [*tweaks(*range(100, 150), 900), Mark(905, "NaN", "non-finite"), Mark(300, "", "pause")], 0, 1000, 80
    )
    labels = {mark.label for mark in found}
    assert {"optim.lr to 900", "NaN", "pause"} <= labels
    assert note == f"{plot.MARK} 51 tweaks and 1 pause, near ones as one"


def test_what_the_window_does_not_show_is_not_counted() -> None:
    found, note = marks.drawn(tweaks(*range(1000), 1500), 1400, 1600, 40)
    assert ([mark.label for mark in found], note) == (["optim.lr to 1500"], "")


def test_a_chart_of_a_thousand_tweaks_leaves_its_curve_in_sight(render_pane, run_model) -> None:
    from aetui.tui.panes.loss_pane import LossPane

    model = run_model(steps=2000)
    model.entries.marks = tweaks(*range(1, 2000, 2))
    shown = render_pane(LossPane(), model, (120, 20))
    assert max(row.count(plot.MARK) for row in shown[2:]) <= 15
    assert "1,000 tweaks" in shown[1]
