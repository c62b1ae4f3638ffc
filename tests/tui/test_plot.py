import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aetui.tui import plot, scale

odd = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e-310, 1.0, 1 + 1e-15]
wild = st.sampled_from(odd) | st.floats()
arrays = hnp.arrays(np.float64, st.integers(0, 60), elements=wild)


def text(chart: plot.Chart) -> list[str]:
    return ["".join(part for part, _ in row) for row in chart.rows]


def inked(lines: list[str]) -> list[tuple[int, int]]:
    """Row and column of every cell with braille in it."""
    return [(y, x) for y, line in enumerate(lines) for x, c in enumerate(line) if 0x2800 < ord(c) < 0x2900]


def line(y: object, x: object = None, **more: str) -> plot.Line:
    values = np.asarray(y, np.float64)
    return plot.Line(np.arange(1, len(values) + 1) if x is None else np.asarray(x), values, "train", **more)


@given(
    arrays,
    arrays,
    st.lists(wild, max_size=3),
    st.lists(st.floats(-10, 100), max_size=3),
    st.booleans(),
    st.none() | st.tuples(st.floats(-50, 50), st.floats(0.5, 200)),
    st.integers(1, 200),
    st.integers(1, 60),
)
@settings(deadline=None, max_examples=150)
def test_any_values_at_any_size_make_a_chart_of_that_size(
    a: np.ndarray,
    b: np.ndarray,
    floors: list[float],
    steps: list[float],
    log: bool,
    x: tuple[float, float] | None,
    width: int,
    height: int,
) -> None:
    n = min(len(a), len(b))
    chart = plot.render(
        width,
        height,
        lines=[line(a, label="train"), line(b, label="val", glyph="o")],
        bands=[plot.Band(np.arange(1, n + 1), np.fmin(a[:n], b[:n]), np.fmax(a[:n], b[:n]), "muted")],
        references=[plot.Reference(y, f"floor {y:.3g}") for y in floors],
        marks=[plot.Mark(step, "lr 1 -> 2 特") for step in steps],
        gaps=steps,
        log=log,
        x_range=(x[0], x[0] + x[1]) if x else None,
    )
    assert [len(row) for row in text(chart)] == [width] * height


def test_importing_the_module_does_not_load_plotext() -> None:
    code = "import sys, aetui.tui.plot; sys.exit('plotext' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lines_go_where_their_values_are() -> None:
    lines = text(plot.render(60, 12, lines=[line(np.linspace(0, 1, 50))]))
    cells = inked(lines)
    rows = [y for y, _ in cells]
    assert max(rows) == 9
    assert min(rows) <= 1
    assert all(b <= a for (a, _), (b, _) in pairwise(sorted(cells, key=lambda cell: (cell[1], -cell[0]))))


@given(st.integers(0, 59), st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_spike_shows_in_its_own_column(at: int, log: bool) -> None:
    low, high = np.ones(60), np.full(60, 1.1)
    high[at] = 100
    x = np.arange(1, 61)
    lines = text(
        plot.render(
            60 + 8 + plot.END_LABELS, 16, bands=[plot.Band(x, low, high, "muted")], log=log, x_range=(0.5, 60.5)
        )
    )
    top = [column for row, column in inked(lines) if row <= 2]
    assert top
    assert all(abs(column - 8 - at) <= 1 for column in top)


def test_a_gap_breaks_the_line_and_is_marked() -> None:
    y = np.ones(60)
    y[20:40] = np.nan
    lines = text(plot.render(60, 10, lines=[line(y)], gaps=[30.0], x_range=(0.5, 60.5)))
    columns = {x for _, x in inked(lines)}
    place = plot.layout(60, 10)
    middle = place.left + place.columns // 2
    assert not columns & set(range(middle - 5, middle + 5))
    assert lines[7].find("×") in (middle - 1, middle)


def test_references_are_dashed_and_labelled_in_place() -> None:
    lines = text(plot.render(80, 16, lines=[line([1, 0.5, 0.3])], references=[plot.Reference(0.8, "the mean 0.8")]))
    (row,) = [row for row in lines if "the mean 0.8" in row]
    assert row.count("┄") > 30


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("y", "where"), [(1e-4, "below"), (1e4, "above")])
def test_a_far_reference_is_said_to_be_outside(log: bool, y: float, where: str) -> None:
    near = line([0.5, 0.51, 0.5])
    chart = plot.render(80, 16, lines=[near], references=[plot.Reference(y, "the floor")], log=log, close=True)
    assert f"the floor {where} the chart" in "".join(text(chart))


@pytest.mark.parametrize("log", [False, True])
def test_floors_of_a_flat_loss_are_on_the_chart_unless_the_look_is_close(log: bool) -> None:
    flat, floor = line(np.linspace(0.95, 0.94, 60)), [plot.Reference(0.25, "PCA 0.250")]
    wide = text(plot.render(80, 16, lines=[flat], references=floor, log=log))
    assert any("┄┄ PCA 0.250" in row for row in wide)
    close = text(plot.render(80, 16, lines=[flat], references=floor, log=log, close=True))
    assert any("PCA 0.250 below the chart" in row for row in close)


def test_a_label_without_room_becomes_a_note() -> None:
    chart = plot.render(
        30, 6, lines=[line([1, 0.5])], references=[plot.Reference(0.7, "a label longer than the chart")]
    )
    assert chart.notes == ["┄ a label longer than the chart"]


def test_a_log_axis_says_what_it_cuts() -> None:
    chart = plot.render(60, 10, lines=[line([1, 0.1, 0, -3])], log=True)
    assert chart.notes == ["log axis: values at or below 0 are cut"]
    assert "log y" in "".join(text(chart))


def test_a_log_axis_with_nothing_above_0_is_linear_and_says_so() -> None:
    chart = plot.render(60, 10, lines=[line([0, -1, -2])], log=True)
    assert chart.notes == ["no value above 0: linear axis"]
    assert "log y" not in "".join(text(chart))
    assert inked(text(chart))


@pytest.mark.parametrize("y", [[5.0] * 9, [0.0] * 3, [1.0], [1e-320] * 3, [-7.0] * 4])
@pytest.mark.parametrize("log", [False, True])
def test_constant_series_are_drawn_level(y: list[float], log: bool) -> None:
    rows = {row for row, _ in inked(text(plot.render(60, 10, lines=[line(y)], log=log)))}
    assert len(rows) == 1


@given(st.floats(-1e300, 1e300), st.floats(0, 1e300), st.integers(1, 60), st.booleans())
def test_y_ticks_lie_in_the_range_in_order_with_labels_of_their_own(
    low: float, span: float, rows: int, log: bool
) -> None:
    axis = scale.fit([np.array([low, low + span])], [], log, [])
    ticks = scale.y_ticks(axis, rows)
    slack = 1e-9 * (axis.high - axis.low)
    assert all(axis.low - slack <= value <= axis.high + slack for value, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks) <= max(4, rows)
    assert all(a < b for (a, _), (b, _) in pairwise(ticks))


@given(st.integers(0, 10**9), st.integers(1, 10**8), st.integers(1, 200))
def test_x_labels_never_touch(low: int, span: int, columns: int) -> None:
    ticks = scale.x_ticks(low, low + span, columns)
    ends = [(columns * (value - low) / span, label) for value, label in ticks]
    assert all(b - a >= (len(la) + len(lb)) / 2 + 1 for (a, la), (b, lb) in pairwise(ends))


def test_decades_label_a_wide_log_axis() -> None:
    ticks = scale.y_ticks(scale.Scale(1e-4, 1e2, log=True), 20)
    assert [label for _, label in ticks] == ["1e-4", "0.001", "0.01", "0.1", "1", "10", "100"]


def test_names_stand_at_the_ends_of_their_lines_in_order() -> None:
    high, low = line([1, 0.501], label="val"), line([1, 0.5], label="train")
    lines = text(plot.render(80, 12, lines=[low, high]))
    rows = [next(i for i, row in enumerate(lines) if row.rstrip().endswith(name)) for name in ("val", "train")]
    assert rows[1] == rows[0] + 1


def test_marks_are_labelled_and_never_hide_data() -> None:
    y = 0.5 + 0.4 * np.sin(np.arange(60))
    bare = text(plot.render(80, 12, lines=[line(y)]))
    marked = text(plot.render(80, 12, lines=[line(y)], marks=[plot.Mark(30, "lr 1 -> 2")]))
    assert inked(bare) == inked(marked)
    assert any("╎" in row for row in marked)
    flat = text(plot.render(80, 12, lines=[line(np.ones(60))], marks=[plot.Mark(30, "lr 1 -> 2")]))
    assert any("╎lr 1 -> 2" in row for row in flat)


def test_labels_on_one_row_do_not_run_into_each_other() -> None:
    floors = [plot.Reference(1.0, "the mean of it"), plot.Reference(1.001, "a b c")]
    chart = plot.render(90, 10, lines=[line([1, 1e9])], references=floors, marks=[plot.Mark(1.9, "x y")], log=True)
    screen = "\n".join(text(chart))
    assert " the mean of it " in screen
    assert " a b c " in screen
