"""The loss chart's cursor, ranges, axes, markers and curves."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aetui import protocol as p
from aetui.spec import sections as s
from aetui.tui import plot
from aetui.tui.characters import Terminal
from aetui.tui.journal_entries import Entry
from aetui.tui.markers import MARKERS, drawn_in
from aetui.tui.model import RunModel
from aetui.tui.panes import chart_axis, curves, reading
from aetui.tui.panes.chart_view import ChartView
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.step_times import StepTimes

Make = Callable[..., RunModel]
Render = Callable[..., list[str]]


def tweaked(model: RunModel, step: int, old: str, new: str) -> None:
    change = p.Change("optim.lr", old, new)
    model.entries.add(Entry(step, 1e9 + step, "tweak", str(change), mark="tweak", change=change, last=step))


# --- the cursor ---------------------------------------------------------------------------------


def test_the_cursor_reads_every_curve_at_its_step_and_the_tweak_in_force(run_model: Make, render_pane: Render) -> None:
    model = run_model()
    tweaked(model, 600, "0.001", "0.0003")
    model.rates = [(1200, 0.0003)]
    for keys, step, said in (
        (
            ("left", "home"),
            1,
            ("lr 0.00100", "no tweak so far", f"train {float(model.loss.spans([0], [1]).mean[0]):.2f}"),
        ),
        (("left",), 1200, ("val 0.188", "expl. var. 0.827", "lr 3.00e-4", "since 601: optim.lr 0.001 -> 0.0003")),
    ):
        pane = LossPane()
        lines = render_pane(pane, model, (120, 30), keys)
        legend = " ".join(lines[1:4])
        assert pane.view.cursor == step and f"step {step:,}" in legend
        assert all(part in legend for part in said)
        assert any(plot.CURSOR in line for line in lines[4:])


def test_a_tweak_at_the_end_of_a_step_is_not_in_force_in_it(run_model: Make) -> None:
    model = run_model()
    tweaked(model, 600, "0.001", "0.0003")
    assert reading.tweak(model, 600) == "no tweak so far"
    assert reading.tweak(model, 601).startswith("since 601: ")


def test_left_and_right_move_by_columns_and_stay_on_the_run(run_model: Make) -> None:
    model, view = run_model(), ChartView()
    view.move(-1, model, 100)
    assert view.cursor == 1200  # it appears on the last step
    view.move(-1, model, 100)
    assert view.cursor == 1180
    view.move(-500, model, 100)
    assert view.cursor == 1
    view.move(500, model, 100)
    assert view.cursor == 1200


def test_two_ends_zoom_to_a_range_and_back_leads_out_again(run_model: Make) -> None:
    model, view = run_model(), ChartView()
    assert view.choose().startswith("left and right put the cursor")
    view.cursor = 301
    assert view.choose() == ""
    assert view.choose().startswith("a range has 4 steps at least")
    view.cursor = 900
    assert view.choose() == "" and view.range(model) == (300, 900)
    view.move(1, model, 100)
    assert view.cursor == 906 and view.range(model) == (306, 906)  # the range goes along
    view.mark = 400
    for expected in ((None, (306, 906)), (None, (0, 2000)), (None, (0, 2000))):
        view.back()
        assert (view.mark, view.range(model)) == expected
    assert view.cursor is None


@given(st.lists(st.tuples(st.sampled_from("moves choose back jump window keep"), st.integers(-400, 400)), max_size=30))
def test_whatever_is_pressed_the_range_has_steps_and_the_cursor_is_one_of_the_run(keys: list[tuple[str, int]]) -> None:
    from aetui.tui.series import Series

    model, view = RunModel(), ChartView()
    model.loss = Series()
    model.loss.append(np.ones(700, np.float32))
    for key, by in keys:
        match key:
            case "m" | "o" | "v":
                view.move(by, model, 80)
            case "c" | "h":
                view.choose()
            case "b" | "a":
                view.back()
            case "j" | "u":
                view.jump(by > 0, model)
            case "w" | "i":
                view.cycle_window(700)
            case _:
                view.keep_to(700)
        first, last = view.range(model)
        assert 0 <= first < last
        assert view.cursor is None or 1 <= view.cursor <= 700


def test_a_run_that_moved_back_takes_cursor_and_ranges_with_it(run_model: Make, render_pane: Render) -> None:
    pane = LossPane()
    pane.view = ChartView(cursor=900, mark=800, zooms=[(600, 1000)])
    pane.follow(run_model(300))
    assert (pane.view.cursor, pane.view.mark, pane.view.zooms) == (300, None, [])


def test_keys_zoom_and_the_title_says_to_what(run_model: Make, render_pane: Render) -> None:
    pane = LossPane()
    lines = render_pane(pane, run_model(), (120, 30), ("left", "enter", "shift+left", "shift+left", "enter"))
    first, last = pane.view.zooms[-1]
    assert last == 1200 and f"{first + 1:,} to 1,200 of 1,200" in lines[-1]


def test_the_values_at_the_cursor_can_be_copied(run_model: Make) -> None:
    pane, model = LossPane(), run_model()
    pane.follow(model)
    assert pane.copied() == ""
    pane.view.cursor = 600
    assert pane.copied().startswith("step 600\ntrain ") and "grad " in pane.copied()


# --- axes ---------------------------------------------------------------------------------------


def test_epochs_and_times_along_the_axis(run_model: Make, render_pane: Render) -> None:
    model = run_model()
    for step in range(0, 1201, 100):
        model.times.add(step, 1000.0 + step / 10 + (3600 if step > 500 else 0))
    assert "epoch" in render_pane(LossPane(), model, (120, 30), ("h",))[-2]
    pane = LossPane()
    lines = render_pane(pane, model, (120, 30), ("h", "h", "end"))
    assert pane.axis == "time" and "time" in lines[-2] and "min" in lines[-2]
    assert "(after 62 min)" in lines[1]


def test_an_axis_that_the_run_does_not_tell_enough_for_is_left_out(run_model: Make) -> None:
    model = run_model(50)
    model.status = replace(model.status, epoch=None)
    model.times = StepTimes()
    assert chart_axis.axis("epoch", model) is None and chart_axis.axis("time", model) is None


def test_times_pass_over_pauses_and_forget_what_was_left() -> None:
    times = StepTimes()
    for step, at in ((0, 100.0), (10, 110.0), (10, 500.0), (10, 700.0), (20, 710.0)):
        times.add(step, at)
    steps, at = times.known()
    assert at.tolist() == [100, 110, 700, 710] and np.diff(steps).min() > 0
    times.add(15, 800.0)
    times.add(25, 810.0)
    assert times.known()[1].tolist() == [100, 110, 700, 800, 810]
    times.add_past([(5, 105.0)])
    assert times.known()[1].tolist() == [100, 105, 110, 700, 800, 810]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(1, 1e6)), max_size=60))
def test_steps_and_times_only_grow_whatever_comes(pairs: list[tuple[int, float]]) -> None:
    times = StepTimes()
    for step, at in pairs:
        times.add(step, at)
    known = times.known()
    if known is not None:
        assert (np.diff(known[0]) > 0).all() and (np.diff(known[1]) >= 0).all()


@given(st.floats(0, 1e8), st.floats(0.1, 1e8), st.integers(24, 200))
def test_ticks_of_time_do_not_touch(low: float, span: float, columns: int) -> None:
    ticks = chart_axis._time_ticks(low, low + span, columns)
    cells = [(value - low) / span * columns for value, _ in ticks]
    widest = max((len(label) for _, label in ticks), default=0)
    assert all(b - a >= widest + 1.5 for a, b in pairwise(cells))


# --- markers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", MARKERS)
def test_every_marker_draws_the_same_cells(run_model: Make, render_pane: Render, marker: str) -> None:
    pane = LossPane(marker)
    braille, drawn = render_pane(LossPane(), run_model()), render_pane(pane, run_model())
    cells = [(y, x) for y, row in enumerate(braille) for x, c in enumerate(row) if 0x2800 < ord(c) < 0x2900 and y > 1]
    assert len(cells) > 80
    assert all(drawn[y][x] != " " for y, x in cells)
    if marker == "ascii":
        assert all(drawn[y][x].isascii() for y, x in cells)
    elif marker != "braille":
        assert all(drawn[y][x] in "▘▝▀▖▌▞▛▗▚▐▜▄▙▟█▒" for y, x in cells)


def test_quadrants_are_those_that_have_dots() -> None:
    codes = np.array([0x2800 + dots for dots in (0x01, 0x20, 0x44, 0xFF)], np.uint32)
    assert "".join(map(chr, drawn_in(codes, "quadrants"))) == "▘▗▖█"


@pytest.mark.parametrize("repertoire", ["blocks", "ascii"])
def test_a_terminal_without_quadrants_shows_what_it_has(repertoire: str) -> None:
    codes = np.array([ord(c) for c in "▘▝▖▗▚▞▛▜▙▟"], np.uint32)
    shown = "".join(map(chr, Terminal(repertoire).translate(codes)))
    assert "?" not in shown and (shown.isascii() == (repertoire == "ascii"))


# --- curves -------------------------------------------------------------------------------------


def test_the_gradient_norm_stands_beside_its_threshold(run_model: Make, render_pane: Render) -> None:
    model = run_model()
    model.spec = replace(model.spec, clip=s.GlobalNorm(threshold=1.5))
    model.status = replace(model.status, threshold=1.5)
    lines = render_pane(LossPane(), model, (100, 24), "v")
    assert "gradient norm" in lines[1] and "gradient norm · log y" in lines[-1]
    assert "clipped to 1.50" in "\n".join(lines) and "predict the mean" not in "\n".join(lines)


def test_explained_variance_stands_beside_pca_on_a_linear_axis(run_model: Make, render_pane: Render) -> None:
    lines = render_pane(LossPane(), run_model(), (100, 24), "vvv")
    assert "explained variance 0.827" in lines[1] and "PCA with 10 0.737" in "\n".join(lines)
    assert "log y" not in "\n".join(lines)


def test_the_rate_before_this_screen_came_is_told_by_the_tweaks(run_model: Make) -> None:
    model = run_model()
    tweaked(model, 300, "0.01", "0.003")
    tweaked(model, 600, "0.003", "0.001")
    model.rates = [(1000, 0.001)]
    assert curves.known_rates(model) == [(0, 0.01), (300, 0.003), (600, 0.001), (1000, 0.001)]
    model.spec = replace(model.spec, schedule=s.Cosine())
    assert curves.known_rates(model) == [(1000, 0.001)]


def test_a_rate_that_is_known_in_part_says_from_where(run_model: Make, render_pane: Render) -> None:
    model = run_model()
    model.spec = replace(model.spec, schedule=s.Cosine())
    model.rates = [(step, 1e-3 - step * 1e-7) for step in range(900, 1200, 10)]
    pane = LossPane()
    pane.curve = curves.RATE
    lines = render_pane(pane, model, (100, 24))
    assert "learning rate 8.81e-4" in lines[1] and "known from step 901 on" in lines[1]


def test_penalties_are_what_the_total_has_beside_the_reconstruction(run_model: Make) -> None:
    model = run_model(0)
    assert curves.PENALTIES not in curves.names(model)
    loss = run_model.history(10)
    page = p.History(0, p.Array.of(loss), p.Array.of(loss + 2), p.Array.of(loss), 10)
    model.absorb(p.View(run=model.info.run, status=p.Status(state="running", step=10, lr=0.01), history=page))
    assert curves.PENALTIES in curves.names(model)
    assert model.penalties.last() == pytest.approx(2, rel=1e-5)
    assert model.rates == [(10, 0.01)]


def test_rates_keep_the_ends_of_what_is_equal() -> None:
    model = RunModel()
    for step, rate in ((1, 1.0), (2, 1.0), (3, 1.0), (4, 0.5), (5, 0.5), (5, 0.25)):
        model._add_rate(step, rate)
    assert model.rates == [(1, 1.0), (3, 1.0), (4, 0.5), (5, 0.25)]


def test_many_seen_steps_take_no_more_room() -> None:
    times, model = StepTimes(), RunModel()
    for step in range(30_000):
        times.add(step, 1e9 + step)
        model._add_rate(step, 1 / (1 + step))
    assert len(times.known()[0]) <= 8192 and len(model.rates) <= 8192
    assert times.known()[0][0] == 0 and times.known()[0][-1] == 29_999
