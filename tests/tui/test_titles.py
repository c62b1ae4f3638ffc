"""Titles of panes whose figures are not of the run's present step."""

import pytest
from msgspec.structs import replace

from aetui.tui.panes.code_pane import CodePane
from aetui.tui.panes.layers_pane import LayersPane
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.panes.pairs_pane import PairsPane
from aetui.tui.panes.variance_pane import VariancePane


@pytest.mark.parametrize("pane", [CodePane, LayersPane, PairsPane, VariancePane])
@pytest.mark.parametrize("size", [(120, 20), (40, 8)])
def test_what_was_measured_at_another_step_says_so_in_the_title(render_pane, run_model, pane, size) -> None:
    model = run_model()
    name = pane.GAUGES[0]
    setattr(model, name, replace(getattr(model, name), step=900))
    top = render_pane(pane(), model, size)[0]
    assert " as of 900 ─" in top and (size[0] < 50 or f" {pane.TITLE} as of 900 " in top)
    setattr(model, name, replace(getattr(model, name), step=model.status.step))
    assert f" {pane.TITLE} ─" in render_pane(pane(), model, size)[0]
    setattr(model, name, None)
    assert f" {pane.TITLE} ─" in render_pane(pane(), model, size)[0]


@pytest.mark.parametrize("width", [120, 60, 40])
def test_the_update_of_another_step_says_so(render_pane, run_model, width: int) -> None:
    model = run_model()
    model.layers = replace(model.layers, step=model.status.step, updated=900)
    assert "update as of 900" in render_pane(LayersPane(), model, (width, 12))[-2]


def test_the_legend_says_of_which_step_the_validation_loss_is(render_pane, run_model) -> None:
    model = run_model()
    model.points = [point for point in model.points if point.step <= 900]
    figure = model.points[-1].validation
    assert f"o val {figure:.3f} as of {model.points[-1].step}" in render_pane(LossPane(), model)[1]
