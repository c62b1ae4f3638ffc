from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from aetui import protocol as p
from aetui.tui.model import RunModel
from aetui.tui.panes.variance_pane import VariancePane

Make = Callable[..., RunModel]
Render = Callable[..., list[str]]


def measured(output: list[float], data: list[float] | None = None, **changes: object) -> p.Variance:
    data = data or [1.0] * len(output)
    ratio = [o / d for o, d in zip(output, data, strict=True) if d > 0]
    values = {
        "version": 1, "step": 100, "output": p.Array.of(output), "data": p.Array.of(data),
        "features": len(output), "low": sum(r < 0.1 for r in ratio), "constant": data.count(0.0),
        "quantiles": tuple(np.quantile(np.nan_to_num(ratio), (0, 0.1, 0.5, 0.9, 1)).tolist()) if ratio else (),
    }  # fmt: skip
    return p.Variance(**(values | changes))  # pyright: ignore[reportArgumentType]


def vector(run_model: Make, output: list[float], data: list[float] | None = None, **info: object) -> RunModel:
    model = run_model(100, image_shape=(), features=len(output), **info)
    model.variance = measured(output, data)
    return model


def features(lines: list[str]) -> list[int]:
    """Numbers of the features, from the top."""
    return [int(row.split("feature ")[1].split()[0]) for row in lines[1:-1] if "feature " in row]


def test_before_the_first_measurement_it_says_what_it_waits_for(run_model: Make, render_pane: Render) -> None:
    assert "waiting for the first measurement" in render_pane(VariancePane(), run_model(0), (70, 10))[1]


def test_the_header_counts_low_and_constant_features(run_model: Make, render_pane: Render) -> None:
    screen = "\n".join(render_pane(VariancePane(), run_model(), (120, 30)))
    for words in ("61 features", "3 below 10 %", "3 constant", "median 71 %", "min 3.0 %", "step 1,200"):
        assert words in screen


def test_bars_are_sorted_from_the_lowest_with_constant_features_apart(run_model: Make, render_pane: Render) -> None:
    model = vector(run_model, [0.5, 0.02, 0.9, 0.1, 0.3], [1, 1, 1, 0, 1])
    lines = render_pane(VariancePane(), model, (80, 16))
    assert features(lines) == [1, 4, 0, 2, 3]
    assert "constant in the data" in lines[8]
    lengths = [row.count("█") for row in lines if "feature " in row][:4]
    assert lengths == sorted(lengths)
    assert features(render_pane(VariancePane(), model, (80, 16), "o")) == [0, 1, 2, 4, 3]


def test_a_bar_at_the_datas_variance_ends_at_the_mark(run_model: Make, render_pane: Render) -> None:
    lines = render_pane(VariancePane(), vector(run_model, [1.0, 0.05, 3.0]), (80, 16))
    low, full, over = (next(row for row in lines if f"feature {j} " in row) for j in (1, 0, 2))
    mark = low.rindex("┊")
    assert abs(full.rindex("█") - mark) <= 1
    assert over.index(">") > mark
    assert "300 %" in over
    scale = lines[3]
    assert abs(scale.index("100 %") - mark) <= 1


def test_an_output_that_is_not_finite_is_said(run_model: Make, render_pane: Render) -> None:
    lines = render_pane(VariancePane(), vector(run_model, [1.0, float("nan"), float("inf")]), (80, 16))
    assert features(lines) == [1, 2, 0]
    assert sum("not finite" in row for row in lines) == 2


def test_thousands_of_features_scroll(run_model: Make, render_pane: Render) -> None:
    model = vector(run_model, np.linspace(0.2, 0.9, 3000).tolist())
    pane = VariancePane()
    assert features(render_pane(pane, model, (80, 14)))[0] == 0
    page = len(features(render_pane(VariancePane(), model, (80, 14))))
    assert features(render_pane(VariancePane(), model, (80, 14), ["down", "down", "up"]))[0] == 1
    assert features(render_pane(VariancePane(), model, (80, 14), ["pagedown"]))[0] == page - 1
    lines = render_pane(VariancePane(), model, (80, 14), ["end"])
    assert features(lines)[-1] == 2999
    assert f"{3000 - page + 1:,}-3,000 of 3,000 features" in lines[-1]
    assert features(render_pane(VariancePane(), model, (80, 14), ["end", "down", "home"]))[0] == 0


def test_groups_say_how_many_features_they_stand_for(run_model: Make, render_pane: Render) -> None:
    model = vector(run_model, [0.5] * 300)
    assert model.variance
    model.variance = replace(model.variance, group=62, features=62 * 300 - 10)
    lines = render_pane(VariancePane(), model, (100, 14), ["end"])
    assert "each row is 62 features" in lines[1]
    assert "18,538-18,589" in "\n".join(lines)


def test_feature_names_are_shown(run_model: Make, render_pane: Render) -> None:
    lines = render_pane(VariancePane(), vector(run_model, [0.5, 0.6], feature_names=("heart\nrate", "年齢")), (80, 12))
    screen = "\n".join(lines)
    assert "heart rate" in screen
    assert "年齢" in screen


def test_a_running_order_stays_until_asked_or_paused(run_model: Make) -> None:
    model = vector(run_model, [0.1, 0.2, 0.3])
    pane = VariancePane()
    model.status = replace(model.status, state="running")

    def order() -> list[int]:
        from aetui.tui.panes.variance_pane import _table

        assert model.variance
        pane._sort(model, model.variance, _table(model.variance))
        return pane._order.tolist()

    assert order() == [0, 1, 2]
    model.variance = measured([0.3, 0.2, 0.1], step=200)
    assert order() == [0, 1, 2]
    pane.model = model
    pane._sorted = (0, -1)
    assert order() == [2, 1, 0]
    model.variance = measured([0.2, 0.1, 0.3], step=300)
    assert order() == [2, 1, 0]
    model.status = replace(model.status, state="paused")
    assert order() == [1, 0, 2]


def test_the_order_key_sorts_again_while_running(run_model: Make, render_pane: Render) -> None:
    model = vector(run_model, [0.1, 0.2, 0.3])
    pane = VariancePane()
    model.status = replace(model.status, state="running")
    render_pane(pane, model, (80, 12))
    model.variance = measured([0.3, 0.2, 0.1], step=200)
    model.versions["variance"] += 1
    again = VariancePane()
    again._sorted, again._order = pane._sorted, pane._order
    lines = render_pane(again, model, (80, 12))
    assert features(lines) == [0, 1, 2]
    assert "sorted at step 100, o sorts again" in lines[-1]
    again = VariancePane()
    again._sorted, again._order = pane._sorted, pane._order
    assert features(render_pane(again, model, (80, 12), "o")) == [2, 1, 0]


@pytest.mark.parametrize("color", [True, False])
def test_images_are_drawn_as_pictures(
    run_model: Make, render_pane: Render, monkeypatch: pytest.MonkeyPatch, color: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor" if color else "")
    if not color:
        monkeypatch.setenv("NO_COLOR", "1")
    lines = render_pane(VariancePane(), run_model(), (80, 24))
    assert "picture" in lines[-1]
    picture = [row for row in lines[3:-2] if row.strip("│ ")]
    assert len(picture) == 16
    assert all(len(row.strip("│ ")) == 32 for row in picture)
    assert "········" in picture[0] or "····" in picture[0]
    if not color:
        assert "oooo" in picture[0]
        assert set("░▒▓█") <= set("".join(picture))
    assert "bars" not in lines[-1]
    assert features(render_pane(VariancePane(), run_model(), (80, 24), "v"))


def test_a_picture_that_does_not_fit_is_pooled_and_says_so(run_model: Make, render_pane: Render) -> None:
    model = run_model(100, image_shape=(3, 28, 28), features=2352)
    model.variance = measured([0.5] * 2352)
    small = "\n".join(render_pane(VariancePane(), model, (60, 16)))
    assert "mean of 3 channels, 28 x 28 pooled to" in small
    assert "3 channels side by side" in "\n".join(render_pane(VariancePane(), model, (200, 40)))


@pytest.mark.parametrize("size", [(26, 7), (30, 8), (45, 14), (80, 24), (200, 50)])
@pytest.mark.parametrize("shape", [(), (1, 8, 8), (2, 4, 8), (4, 4, 4), (1, 1, 64), (1, 64, 1)])
def test_every_size_and_shape_fills_the_pane(
    run_model: Make, render_pane: Render, size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    model = run_model(100, image_shape=shape)
    for keys in ("", "v"):
        lines = render_pane(VariancePane(), model, size, keys)
        assert [len(row) for row in lines] == [size[0]] * size[1]


def test_nothing_but_constant_features(run_model: Make, render_pane: Render) -> None:
    model = vector(run_model, [0.0, 0.1], [0.0, 0.0])
    lines = render_pane(VariancePane(), model, (80, 12))
    assert "0 features" in lines[1]
    assert "median -" in "\n".join(lines)
    assert sum("constant in the data" in row for row in lines) == 2
