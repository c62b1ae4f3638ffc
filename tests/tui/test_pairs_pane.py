import numpy as np
import pytest
from msgspec.structs import replace
from textual.app import App

from aetui import protocol as p
from aetui.tui.model import RunModel
from aetui.tui.panes.pairs_pane import PairsPane
from aetui.tui.picture import ROLES

SIZES = [(38, 8), (56, 14), (120, 40)]


def make_pairs(inputs, outputs, low=0.0, high=1.0, **changes):
    rows = zip(inputs, outputs, strict=True)
    pairs = tuple(p.Pair(f"row {i}", p.Array.of(x), p.Array.of(y), 0.25) for i, (x, y) in enumerate(rows))
    values = {"version": 1, "step": 9, "first": 0, "count": 64, "low": low, "high": high, "pairs": pairs}
    return p.Pairs(**(values | changes))


@pytest.fixture
def images(run_model, monkeypatch):
    """A run on 8x8 images whose outputs are all the same, drawn with shade characters."""
    monkeypatch.setenv("NO_COLOR", "1")
    inputs = np.random.default_rng(0).uniform(0, 1, (12, 64))
    model = run_model(steps=50)
    model.pairs = make_pairs(inputs, np.repeat(inputs.mean(axis=0)[None], 12, axis=0))
    return model


@pytest.mark.parametrize("size", SIZES)
def test_pictures_carry_title_error_place_and_scale(render_pane, images, size):
    lines = render_pane(PairsPane(), images, size)
    text = "\n".join(lines)
    assert "row 0" in text
    assert "0.250" in text
    assert " of 64" in text
    assert lines[-2].strip("│ ").startswith("0 ")


def test_equal_outputs_look_equal_and_the_share_is_said(render_pane, images):
    lines = render_pane(PairsPane(), images, (120, 40))
    assert "outputs vary 0 % of inputs" in "\n".join(lines)
    outputs = {tuple(line[2 + 36 * block + 17 : 2 + 36 * block + 33] for line in lines[3:11]) for block in range(3)}
    inputs = {tuple(line[2 + 36 * block : 2 + 36 * block + 16] for line in lines[3:11]) for block in range(3)}
    assert len(outputs) == 1
    assert len(inputs) == 3


def test_several_pairs_are_in_view_with_color_at_a_medium_size(render_pane, images, monkeypatch):
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert "samples 1-4 of 64" in "\n".join(render_pane(PairsPane(), images, (56, 14)))


def test_large_images_are_averaged_and_that_is_said(render_pane, run_model):
    model = run_model(steps=50, image_shape=(3, 96, 96))
    values = np.random.default_rng(0).uniform(0, 1, (6, 3 * 96 * 96))
    model.pairs = make_pairs(values, values)
    assert "96 x 96 averaged to" in "\n".join(render_pane(PairsPane(), model, (80, 24)))


@pytest.mark.parametrize("features", [1, 6, 64, 1000])
@pytest.mark.parametrize("size", SIZES)
def test_vectors_are_bars_of_input_over_output(render_pane, run_model, features, size):
    model = run_model(steps=50, image_shape=())
    values = np.random.default_rng(0).uniform(0, 1, (5, features))
    model.pairs = make_pairs(values, values)
    lines = [line.strip("│ ") for line in render_pane(PairsPane(), model, size)]
    inputs = [line.removeprefix("in ") for line in lines if line.startswith("in ")]
    outputs = [line.removeprefix("out ") for line in lines if line.startswith("out ")]
    assert inputs
    assert [line.strip() for line in inputs] == [line.strip() for line in outputs]


def test_few_features_have_their_numbers_below_when_there_is_room(render_pane, run_model):
    model = run_model(steps=50, image_shape=())
    model.pairs = make_pairs(np.array([[0.125, 0.5]]), np.array([[0.375, 0.75]]))
    text = "\n".join(render_pane(PairsPane(), model, (60, 20)))
    for number in ("0.125", "0.500", "0.375", "0.750"):
        assert number in text


def test_bars_of_every_third_feature_say_so(render_pane, run_model):
    model = run_model(steps=50, image_shape=())
    values = np.random.default_rng(0).uniform(0, 1, (5, 150))
    model.pairs = make_pairs(values, values)
    assert "every 3rd feature" in "\n".join(render_pane(PairsPane(), model, (80, 24)))


def test_cut_and_non_finite_values_are_counted(render_pane, run_model):
    model = run_model(steps=50, image_shape=())
    outputs = np.full((1, 10), 0.5)
    outputs[0, :2], outputs[0, 2] = 7.0, np.nan
    model.pairs = make_pairs(np.full((1, 10), 0.5), outputs)
    text = "\n".join(render_pane(PairsPane(), model, (90, 14)))
    assert "11 % beyond the scale, cut" in text
    assert "1 values not finite (x)" in text


def test_turning_moves_within_bounds(render_pane, images):
    pane = PairsPane()
    assert "samples 1-" in "\n".join(render_pane(pane, images, (80, 24), keys=["left"]))
    assert pane.sample == 0
    pane = PairsPane()
    text = "\n".join(render_pane(pane, images, (80, 24), keys=["right", "full_stop", "right", "comma"]))
    assert pane.sample == 2
    assert "samples 3-" in text
    assert "row 2" in text
    assert "row 1 " not in text


def test_samples_on_their_way_are_named(render_pane, images):
    images.pairs = replace(images.pairs, pairs=images.pairs.pairs[:2])
    text = "\n".join(render_pane(PairsPane(), images, (80, 24), keys=["right", "right"]))
    assert "samples 1-2 of 64, fetching 3" in text


async def test_turning_is_announced():
    turned = []

    class Host(App[None]):
        def get_theme_variable_defaults(self):
            return {f"series-{role}": "#ffffff" for role in ROLES}

        def compose(self):
            yield PairsPane()

        def on_pairs_pane_turned(self, event):
            turned.append(event.sample)

    async with Host().run_test() as pilot:
        pane = pilot.app.query_one(PairsPane)
        model = RunModel()
        model.pairs = make_pairs(np.zeros((3, 4)), np.zeros((3, 4)), count=3)
        pane.show(model)
        pane.focus()
        for key in ("right", "right", "right", "left"):
            await pilot.press(key)
        await pilot.pause()
    assert turned == [1, 2, 1]


def test_says_what_it_waits_for_and_when_it_is_too_small(render_pane, run_model):
    assert "waiting for the first" in "\n".join(render_pane(PairsPane(), run_model(steps=0), (60, 12)))
    assert "needs" in "\n".join(render_pane(PairsPane(), run_model(steps=50), (24, 5)))
