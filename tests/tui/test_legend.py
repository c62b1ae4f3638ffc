import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from aetui.tui.panes.legend import flowed
from aetui.tui.panes.loss_pane import LossPane


def shown(texts, width, most):
    return ["".join(text for text, _ in line) for line in flowed([(text, "text") for text in texts], width, most)]


def test_what_has_no_room_in_the_first_line_stands_in_the_second():
    assert shown(["train 0.241", "val 0.3", "not finite"], 22, 2) == ["train 0.241   val 0.3", "not finite"]


def test_what_has_no_room_at_all_is_counted():
    assert shown(["train 0.241", "val 0.3", "not finite"], 24, 1) == ["train 0.241   +2 more"]


@given(
    st.lists(st.text(alphabet="abc 字", min_size=1, max_size=8), max_size=6), st.integers(24, 100), st.integers(1, 2)
)
@example(["a", "bbbbbbbb", "cccccccc", "dddddddd", "e"], 24, 2)
def test_every_part_is_whole_or_counted(texts, width, most):
    lines = shown(texts, width, most)
    assert len(lines) <= most
    assert all(cell_len(line) <= width for line in lines)
    said = "   ".join(lines)
    hidden = int(said.rsplit("+", 1)[1].split()[0]) if "+" in said else 0
    assert all(text in said for text in texts[: len(texts) - hidden])


@pytest.mark.parametrize(("width", "height"), [(74, 22), (50, 14), (30, 8)])
def test_the_legend_of_a_long_list_of_remarks_is_not_cut(run_model, render_pane, width, height):
    loss = run_model.history(1200)
    loss[300] = np.nan
    lines = render_pane(LossPane(), run_model(loss=loss), size=(width + 4, height + 2))
    head = "\n".join(lines[1:3])
    assert "…" not in head
    assert "not finite" in head or "more" in head
