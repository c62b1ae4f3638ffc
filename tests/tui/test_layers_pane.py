import math

import pytest
from msgspec.structs import replace

from aetui import protocol as p
from aetui.tui.panes.layers_pane import LayersPane


def layer(name="encoder.0", **changes):
    values = {
        "name": name, "shape": (128, 64), "weight_norm": 6.5, "grad_norm": 0.02, "update_ratio": 1e-3, "dead": 3,
        "units": 128,
    }  # fmt: skip
    return p.Layer(**(values | changes))


@pytest.fixture
def layered(run_model):
    def make(*layers):
        model = run_model(steps=50)
        model.layers = p.Layers(version=1, step=1200, layers=layers)
        return model

    return make


def test_a_wide_table_has_every_column(render_pane, layered):
    text = "\n".join(render_pane(LayersPane(), layered(layer()), (100, 12)))
    for part in ("encoder.0", "128 x 64", "6.50", "0.0200", "1.0e-3", "3 of 128", "weight norm", "grad norm"):
        assert part in text


@pytest.mark.parametrize(
    ("width", "dropped", "kept"),
    [
        (74, [], ["shape", "weight norm", "grad norm", "update", "dead"]),
        (64, ["shape"], ["weight norm", "grad norm", "update", "dead"]),
        (50, ["shape", "weight norm"], ["grad norm", "update", "dead"]),
        (38, ["shape", "weight norm", "grad norm"], ["layer", "update", "dead"]),
    ],
)
def test_narrow_tables_drop_columns_in_order(render_pane, layered, width, dropped, kept):
    head = render_pane(LayersPane(), layered(layer()), (width, 10))[1]
    assert all(name in head for name in kept)
    assert not any(name in head for name in dropped)


@pytest.mark.parametrize(
    ("ratio", "cell"),
    [(1e-5, "1.0e-5 low"), (3e-1, "3.0e-1 high"), (1e-3, "1.0e-3   "), (0.0, "0      low"), (math.nan, "NaN")],
)
def test_update_ratios_out_of_the_usual_range_are_named(render_pane, layered, ratio, cell):
    row = render_pane(LayersPane(), layered(layer(update_ratio=ratio)), (60, 10))[2]
    assert cell in row


def test_what_was_not_measured_is_a_dash(render_pane, layered):
    row = render_pane(LayersPane(), layered(layer(grad_norm=None, update_ratio=None, dead=None, units=None)), (90, 10))[
        2
    ]
    assert row.split()[-4:] == ["-", "-", "-", "│"]


def test_columns_stay_in_place_while_figures_change(render_pane, layered):
    first = render_pane(LayersPane(), layered(layer(weight_norm=6.5, grad_norm=0.02, dead=3)), (90, 10))[2]
    other = render_pane(LayersPane(), layered(layer(weight_norm=1.23e-9, grad_norm=51234.0, dead=128)), (90, 10))[2]
    assert first.index("1.0e-3") == other.index("1.0e-3")
    assert first.index(" of 128") - 1 == other.index(" of 128") - 3


def test_a_long_table_scrolls_and_says_where_it_is(render_pane, layered):
    model = layered(*(layer(f"layer.{i}") for i in range(30)))
    text = "\n".join(render_pane(LayersPane(), model, (80, 12)))
    assert "layers 1-8 of 30" in text
    text = "\n".join(render_pane(LayersPane(), model, (80, 12), keys=["down", "pagedown"]))
    assert "layers 9-16 of 30" in text
    text = "\n".join(render_pane(LayersPane(), model, (80, 12), keys=["end"]))
    assert "layer.29" in text
    text = "\n".join(render_pane(LayersPane(), model, (80, 12), keys=["end", "home"]))
    assert "layer.0" in text


def test_says_what_it_waits_for_and_when_it_is_too_small(render_pane, run_model):
    assert "waiting for the first" in "\n".join(render_pane(LayersPane(), run_model(steps=0), (60, 12)))
    assert "needs" in "\n".join(render_pane(LayersPane(), run_model(steps=50), (30, 8)))
    model = run_model(steps=50)
    model.layers = replace(model.layers, layers=())
    assert "no layers" in "\n".join(render_pane(LayersPane(), model, (60, 12)))
