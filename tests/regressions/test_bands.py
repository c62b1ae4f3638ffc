"""The band of a long record is filled, and the line in it can be seen without color."""

import numpy as np
import pytest

from aetui.tui import plot

COLUMNS = 66


def picture(**parts) -> list[str]:
    chart = plot.render(plot.layout(80, 16).left + COLUMNS + plot.END_LABELS, 16, x_range=(0.5, COLUMNS + 0.5), **parts)
    return ["".join(text for text, _ in row) for row in chart.rows]


def test_a_band_has_no_holes_and_a_line_in_it_stays_visible():
    x = np.arange(1, COLUMNS + 1)
    band = plot.Band(x, np.full(COLUMNS, 0.0), np.full(COLUMNS, 1.0), "muted")
    filled = [row.count("\u28ff") for row in picture(bands=[band])]
    assert max(filled) == COLUMNS
    assert all(count in (0, COLUMNS) for count in filled)
    crossed = picture(bands=[band], lines=[plot.Line(x, np.full(COLUMNS, 0.5), "train")])
    assert sum(row.count("\u28ff") == COLUMNS for row in crossed) == filled.count(COLUMNS) - 1


@pytest.mark.parametrize(("width", "height"), [(0, 0), (1, 1), (0, 9), (9, 0), (3, 20), (30, 2)])
def test_a_band_in_no_room_is_no_error(width: int, height: int):
    x = np.arange(1, 4)
    chart = plot.render(width, height, bands=[plot.Band(x, np.zeros(3), np.ones(3), "muted")])
    assert all(sum(len(text) for text, _ in row) == width for row in chart.rows)
