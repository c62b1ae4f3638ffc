import numpy as np
import pytest
from msgspec.structs import replace

from aetui import protocol as p
from aetui.tui.panes.code_pane import CodePane

SIZES = [(38, 8), (56, 14), (120, 40)]


@pytest.fixture
def code_model(run_model):
    def make(**changes):
        model = run_model(steps=50)
        model.code = replace(model.code, **changes)
        return model

    return make


@pytest.mark.parametrize("size", SIZES)
def test_says_rank_active_units_and_axes(render_pane, code_model, size):
    text = "\n".join(render_pane(CodePane(), code_model(), size))
    assert "rank 6.80 of 10" in text
    assert "active 9 of 10" in text
    assert "PC1 41 %" in text


@pytest.mark.parametrize("size", SIZES[1:])
def test_each_class_has_its_letter_in_the_plot_and_in_the_legend(render_pane, code_model, size):
    lines = render_pane(CodePane(), code_model(), size)
    legend = next(line for line in lines if "class" in line)
    plot = "".join(lines[2 : lines.index(legend) - 1])
    for digit in "0123456789":
        assert digit in legend
        assert digit in plot


def test_long_class_names_get_a_letter_and_the_name(render_pane, run_model):
    model = run_model(steps=50, labels=("aster", "birch", "cedar"))
    code = model.code
    model.code = replace(code, labels=tuple(label % 3 for label in code.labels))
    text = "\n".join(render_pane(CodePane(), model, (60, 20)))
    assert "a aster  b birch  c cedar" in text


def test_identical_codes_are_named_instead_of_drawn(render_pane, code_model):
    model = code_model(points=p.Array.of(np.full((50, 2), 3.0)), labels=())
    assert "all codes are the same point" in "\n".join(render_pane(CodePane(), model, (60, 12)))


def test_codes_that_are_not_finite_are_counted(render_pane, code_model):
    points = np.random.default_rng(0).normal(size=(20, 2))
    points[:3] = np.nan
    text = "\n".join(render_pane(CodePane(), code_model(points=p.Array.of(points), labels=()), (60, 12)))
    assert "3 of 20 codes are not finite and not drawn" in text
    points[:] = np.inf
    text = "\n".join(render_pane(CodePane(), code_model(points=p.Array.of(points), labels=()), (60, 12)))
    assert "every code is NaN or infinite" in text


def test_one_unit_is_drawn_along_one_axis(render_pane, code_model):
    points = np.zeros((20, 2))
    points[:, 0] = np.linspace(-1, 1, 20)
    model = code_model(points=p.Array.of(points), labels=(), width=1, active=1, variances=p.Array.of([1.0]))
    assert "one unit, across" in "\n".join(render_pane(CodePane(), model, (60, 12)))


@pytest.mark.parametrize("size", SIZES)
def test_p_switches_to_bars_of_units_and_back(render_pane, code_model, size):
    bars = "\n".join(render_pane(CodePane(), code_model(), size, keys=["p"]))
    assert "variance of each unit, 0 to 2.00" in bars
    assert "█" in bars
    again = "\n".join(render_pane(CodePane(), code_model(), size, keys=["p", "p"]))
    assert "PC1 41 %" in again


def test_units_that_are_not_active_stand_in_brackets(render_pane, code_model):
    variances = np.ones(10)
    variances[3] = 1e-6
    text = "\n".join(render_pane(CodePane(), code_model(variances=p.Array.of(variances)), (70, 14), keys=["p"]))
    assert " (4) " in text
    assert ", ( ) not active" in text
    assert " 3 " in text
    assert " 5 " in text


def test_more_units_than_columns_are_averaged_and_that_is_said(render_pane, code_model):
    model = code_model(width=500, active=500, variances=p.Array.of(np.ones(500)))
    assert "a bar averages" in "\n".join(render_pane(CodePane(), model, (70, 14), keys=["p"]))


def test_says_what_it_waits_for_and_when_it_is_too_small(render_pane, run_model):
    assert "waiting for the first" in "\n".join(render_pane(CodePane(), run_model(steps=0), (60, 12)))
    assert "needs" in "\n".join(render_pane(CodePane(), run_model(steps=50), (22, 4)))


def test_the_kl_of_a_distribution_stands_beside_the_units_it_is_in(render_pane, code_model):
    by_unit = p.Array.of([0.5, 0.0, 2.0, 0.009, 0.011, 0, 0, 0, 0, 0])
    text = "\n".join(render_pane(CodePane(), code_model(kl=2.52, unit_kl=by_unit), (120, 40)))
    assert "KL 2.52 nats in 3 units" in text
    assert "KL 2.52 nats  " in "\n".join(render_pane(CodePane(), code_model(kl=2.52), (120, 40)))
    assert "KL" not in "\n".join(render_pane(CodePane(), code_model(), (120, 40)))
