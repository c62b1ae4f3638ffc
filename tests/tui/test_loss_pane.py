from collections.abc import Callable

import numpy as np
import pytest

from aetui import protocol as p
from aetui.tui.journal_entries import Mark
from aetui.tui.model import RunModel
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.series import Series

Make = Callable[..., RunModel]
Render = Callable[..., list[str]]


def braille(lines: list[str]) -> list[tuple[int, int]]:
    return [(y, x) for y, row in enumerate(lines) for x, c in enumerate(row) if 0x2800 < ord(c) < 0x2900 and y > 1]


@pytest.mark.parametrize("size", [(28, 7), (40, 10), (80, 24), (120, 40), (200, 50)])
def test_the_loss_stands_between_its_floors_at_every_size(
    run_model: Make, render_pane: Render, size: tuple[int, int]
) -> None:
    lines = render_pane(LossPane(), run_model(), size)
    assert [len(row) for row in lines] == [size[0]] * size[1]
    assert braille(lines)
    assert "train 0.164" in lines[1]
    if size[0] >= 80:
        screen = "\n".join(lines)
        assert "predict the mean 0.953" in screen
        assert "PCA with 10 0.251" in screen
        assert "╎lr 1e-3 -> 3e-4" in screen
        assert "o val 0.188" in lines[1]


def test_before_the_first_step_it_says_what_it_waits_for(run_model: Make, render_pane: Render) -> None:
    assert "waiting for the first step" in render_pane(LossPane(), run_model(0), (60, 8))[1]


def test_too_small_it_says_so(run_model: Make, render_pane: Render) -> None:
    assert "needs 24 x 5" in render_pane(LossPane(), run_model(), (26, 7))[1]


def test_keys_change_axis_window_and_smoothing_and_the_title_says_so(run_model: Make, render_pane: Render) -> None:
    model = run_model(3000)
    assert "log y · all · smooth 0" in render_pane(LossPane(), model)[-1]
    assert "linear y · last 1,000 · smooth 10" in render_pane(LossPane(), model, keys="lwm")[-1]
    assert "log y · last 100 · smooth 100" in render_pane(LossPane(), model, keys="wwmm")[-1]
    assert "log y · all · smooth 0" in render_pane(LossPane(), model, keys="wwwmmmmll")[-1]


def test_a_window_shows_at_least_its_steps(run_model: Make) -> None:
    pane, model = LossPane(), run_model(3456)
    pane.view.latest = 1000
    first, last = pane.view.range(model)
    assert first <= 3456 - 1000 < 3456 <= last
    assert last - first <= 1100


@pytest.mark.parametrize("length", [1, 7, 99, 101, 1000, 1001, 123_456])
def test_the_whole_run_always_fits(run_model: Make, length: int) -> None:
    first, last = LossPane().view.range(run_model(loss=np.ones(length, np.float32), goal=None))
    assert first == 0
    assert length <= last <= max(10, 1.5 * length)


def test_smoothing_never_hides_a_spike(run_model: Make, render_pane: Render) -> None:
    loss = run_model.history(50_000)
    loss[20_000] = 30
    model = run_model(loss=loss, goal=None)
    for keys in ("", "m", "mmm"):
        top = [x for y, x in braille(render_pane(LossPane(), model, (100, 24), keys)) if y == 2]
        assert len(top) == 1
        assert 9 + 0.35 * 85 < top[0] < 9 + 0.45 * 85


def test_smoothing_evens_the_line_out(run_model: Make) -> None:
    from aetui.tui.trace import Trace

    model = run_model(loss=(1 + np.random.default_rng(0).normal(0, 0.1, 5000)).astype(np.float32))
    rough, smooth = (Trace(model.loss, 0, 5000, 500, n).mean for n in (0, 1000))
    assert np.std(smooth[200:]) < 0.2 * np.std(rough[200:])
    assert smooth[-1] == pytest.approx(np.mean(model.loss.columns(4000, 5000, 1000).mean))


def test_steps_that_are_not_finite_are_gaps_with_a_mark(run_model: Make, render_pane: Render) -> None:
    loss = np.ones(60, np.float32)
    loss[30:40] = np.nan
    model = run_model(loss=loss, goal=60)
    model.entries.marks = [Mark(31, "the loss is not finite", "non-finite")]
    lines = render_pane(LossPane(), model, (100, 20))
    assert "× not finite" in lines[1]
    marked = {x for row in lines[2:] for x, c in enumerate(row) if c == "×"}
    assert len(marked) == 10 or max(marked) - min(marked) <= 14
    assert any(text in "\n".join(lines) for text in ("╎the loss is not finite", "the loss is not finite╎"))
    drawn = {x for y, x in braille(lines) if "val" not in lines[y]}
    assert not drawn & set(range(min(marked) + 1, max(marked)))


def test_a_run_with_no_finite_loss_at_all_draws_its_floors(run_model: Make, render_pane: Render) -> None:
    lines = render_pane(LossPane(), run_model(loss=np.full(20, np.nan, np.float32)))
    assert "train NaN" in lines[1]
    assert "predict the mean" in "\n".join(lines)


def test_penalties_get_a_line_of_their_own(run_model: Make, render_pane: Render) -> None:
    model = run_model(200)
    model.total.append(run_model.history(200) + 1)
    lines = render_pane(LossPane(), model, (100, 20))
    assert "total 1." in lines[1]
    assert any(row.rstrip(" │").endswith("total") for row in lines)


def test_dense_validation_keeps_its_extremes(run_model: Make, render_pane: Render) -> None:
    model = run_model(loss=np.ones(20_000, np.float32), goal=None)
    model.points.clear()
    values = np.ones(20_000)
    values[7_000] = 40
    model.points.extend(p.Point(step, float(v), None) for step, v in enumerate(values, 1))
    top = [x for y, x in braille(render_pane(LossPane(), model, (100, 24))) if y == 2]
    assert top
    assert all(9 + 0.3 * 85 < x < 9 + 0.4 * 85 for x in top)


def test_columns_stay_where_they_are_as_a_run_goes_on(run_model: Make, render_pane: Render) -> None:
    loss = run_model.history(9000)
    before = render_pane(LossPane(), run_model(loss=loss[:8100], goal=10_000))
    after = render_pane(LossPane(), run_model(loss=loss[:8200], goal=10_000))

    def left(lines: list[str]) -> list[tuple[int, int]]:
        return [cell for cell in braille(lines) if cell[1] < 55]

    same = set(left(before)) & set(left(after))
    assert len(same) > 0.8 * len(left(before))


def with_parts(model: RunModel) -> RunModel:
    for name, level in (("kl", 2.5), ("l1", 40.0)):
        model.parts[name] = Series()
        model.parts[name].append(np.full(len(model.loss), level, np.float32))
    return model


def test_a_part_that_a_loop_logs_is_drawn_in_place_of_the_loss_without_its_floors(
    run_model: Make, render_pane: Render
) -> None:
    for curve, legend in (("", "train 0.164"), ("kl", "kl 2.5"), ("l1", "l1 40"), ("of another run", "train 0.164")):
        pane = LossPane()
        pane.curve = curve
        lines = render_pane(pane, with_parts(run_model()), (80, 24))
        assert legend in lines[1] and braille(lines)
        assert ("predict the mean 0.953" in "\n".join(lines)) == ("train" in legend)


def test_a_key_goes_through_the_curves_and_the_title_says_which(run_model: Make, monkeypatch) -> None:
    monkeypatch.setattr(LossPane, "redraw", lambda pane: None)
    pane = LossPane()
    pane.follow(with_parts(run_model()))
    shown = []
    for _ in range(6):
        pane.action_cycle_curve()
        shown.append((pane.curve, *str(pane.border_subtitle).split(" · ")[:2]))
    named = ("gradient norm", "learning rate", "explained variance", "kl", "l1")
    axes = ("log y", "log y", "linear y", "log y", "log y")
    assert shown == [*zip(named, named, axes, strict=True), ("", "log y", "all")]
