from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rich.style import Style

from aetui.tui import shades

INK = Style(color="white")
VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)
SIZES = st.integers(1, 40)


def texts(strips):
    return [strip.text for strip in strips]


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(-5, 5)), SIZES, SIZES)
def test_resampling_averages_areas_so_the_mean_stays(image, height, width):
    small = shades.resample(image, height, width)
    assert small.shape == (height, width)
    assert small.mean() == pytest.approx(image.mean(), abs=1e-9)
    assert small.min() >= image.min() - 1e-9
    assert small.max() <= image.max() + 1e-9


def test_resampling_to_half_averages_blocks_of_four():
    image = np.arange(16.0).reshape(4, 4)
    assert shades.resample(image, 2, 2) == pytest.approx(np.array([[2.5, 4.5], [10.5, 12.5]]))


@given(SIZES, SIZES, SIZES, st.integers(2, 40), st.booleans())
def test_a_frame_stays_in_its_box(height, width, rows, columns, plain):
    layout = shades.frame(height, width, rows, columns, plain)
    assert 1 <= layout.rows <= rows
    assert 1 <= layout.columns <= columns


def test_images_grow_by_whole_factors_only():
    layout = shades.frame(8, 8, rows=11, columns=60, shades=False)
    assert (layout.height, layout.width, layout.rows, layout.columns) == (16, 16, 8, 16)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), elements=VALUES),
    st.integers(1, 12),
    st.integers(2, 20),
    st.booleans(),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
def test_any_picture_fills_its_frame(image, rows, columns, plain, low, high):
    layout = shades.frame(*image.shape[1:], rows, columns, plain)
    strips = shades.picture(image, low, high, layout, plain, INK)
    assert [strip.cell_length for strip in strips] == [layout.columns] * layout.rows
    assert all(segment.style is not None for strip in strips for segment in strip)


def test_shade_characters_take_two_cells_a_pixel_from_blank_to_full():
    image = np.array([[[-9.0, 0.0, 0.25, 0.5, 0.75, 1.0, 9.0]]])
    layout = shades.frame(1, 7, rows=1, columns=14, shades=True)
    assert texts(shades.picture(image, 0, 1, layout, True, INK)) == ["    ░░▒▒▓▓████"]


def test_half_blocks_stack_two_pixels_in_a_cell():
    image = np.array([[[0.0, 1.0], [1.0, 1.0]]])
    layout = shades.frame(2, 2, rows=1, columns=2, shades=False)
    left, right = next(iter(shades.picture(image, 0, 1, layout, False, INK)))
    assert left.text == "▀"
    assert left.style.color.get_truecolor() == (8, 8, 8)
    assert left.style.bgcolor.get_truecolor() == (238, 238, 238)
    assert right.text == " "
    assert right.style.bgcolor.get_truecolor() == (238, 238, 238)


def test_three_channels_are_red_green_and_blue():
    image = np.array([1.0, 0.0, 0.5]).reshape(3, 1, 1)
    layout = shades.frame(1, 1, rows=1, columns=1, shades=False)
    color = next(iter(shades.picture(image, 0, 1, layout, False, INK)[0])).style.color.get_truecolor()
    assert color.red > color.blue > color.green


@pytest.mark.parametrize("plain", [True, False])
def test_pixels_that_are_not_finite_are_marked(plain):
    image = np.array([[[np.nan, 0.5], [0.5, 0.5]]])
    layout = shades.frame(2, 2, rows=2, columns=4, shades=plain)
    assert shades.NOT_FINITE in "".join(texts(shades.picture(image, 0, 1, layout, plain, INK)))


@given(arrays(np.float64, st.integers(0, 30), elements=VALUES), st.integers(1, 5))
def test_bars_have_one_column_a_value(values, rows):
    lines = shades.bars(values, -1, 1, rows)
    assert [len(line) for line in lines] == [len(values)] * rows
    assert lines[-1].count(shades.NOT_FINITE) == int((~np.isfinite(values)).sum())


def test_bars_grow_with_their_value_over_all_rows():
    lines = shades.bars(np.array([0.0, 0.25, 0.5, 1.0]), 0, 1, rows=2)
    assert lines == ["   █", "▁▄██"]


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(-1, 1)), st.integers(1, 50))
def test_condensing_keeps_short_records_and_averages_long_ones(values, columns):
    short = shades.condense(values, columns)
    assert len(short) == min(len(values), columns)
    assert values.min() - 1e-9 <= short.min()
    assert short.max() <= values.max() + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(0, 40), st.just(2)), elements=VALUES),
    st.integers(1, 12),
    st.integers(1, 40),
)
def test_any_points_are_scattered_within_the_box(points, rows, columns):
    classes = np.arange(len(points)) % 3
    plot = shades.scatter(points, classes, rows, columns, {0: "0", 1: "1", 2: "2"})
    assert plot.chars.shape == plot.classes.shape == (rows, columns)
    drawn = np.isfinite(points).all(axis=1).any()
    assert (plot.chars != " ").any() == drawn


def test_a_circle_is_as_high_as_it_is_wide():
    angle = np.linspace(0, 2 * np.pi, 400)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    plot = shades.scatter(points, np.zeros(400, dtype=int), rows=10, columns=60, letters={})
    used = np.argwhere(plot.chars != " ")
    height, width = np.ptp(used, axis=0) + 1
    assert (height, width) == (10, 20)
    assert plot.x == pytest.approx((-plot.x[1], plot.x[1]), rel=1e-3)


def test_letters_of_classes_on_one_spot_all_show():
    points = np.zeros((30, 2))
    points[0] = [1, 1]
    letters = dict(enumerate("0123456789"))
    plot = shades.scatter(points, np.arange(30) % 10, rows=6, columns=30, letters=letters)
    for kind, letter in letters.items():
        assert plot.classes[plot.chars == letter].tolist() == [kind]


def test_a_cell_belongs_to_the_class_with_most_points():
    points = np.array([[0, 0], [0, 0], [0, 0], [1, 1]], dtype=float)
    plot = shades.scatter(points, np.array([2, 7, 7, 2]), rows=4, columns=8, letters={})
    row, column = np.argwhere(plot.chars != " ")[-1]
    assert plot.classes[row, column] == 7


def test_class_colors_differ():
    assert len(set(shades.CLASS_COLORS)) == 10


@pytest.mark.parametrize(
    ("no_color", "system", "plain"),
    [(True, "truecolor", True), (False, "standard", True), (False, None, True), (False, "256", False)],
)
def test_shade_characters_stand_in_where_greys_are_missing(no_color, system, plain):
    app = SimpleNamespace(no_color=no_color, console=SimpleNamespace(color_system=system))
    assert shades.needs_shades(app) is plain
