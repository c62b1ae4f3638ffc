import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aetui.tui.texts import longest_part, plain, wrap


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("encoder.activation1", 14, ["encoder.", "activation1"]),
        ("decoder.up_blocks.0.conv", 12, ["decoder.up_", "blocks.0.", "conv"]),
        ("see /home/someone/data/train.npy", 14, ["see", "/home/someone/", "data/train.npy"]),
        ("a word that fits", 16, ["a word that fits"]),
        ("incomprehensible", 10, ["incomprehe", "nsible"]),
        ("", 5, [""]),
    ],
)
def test_long_names_break_where_their_parts_end(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width) == lines


@given(st.text(alphabet="ab._/- 字", max_size=60), st.integers(2, 20))
def test_nothing_is_lost_and_no_line_is_too_long(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join(lines).replace(" ", "") == plain(text).replace(" ", "")
    assert all(cell_len(line) <= width for line in lines)


@given(st.text(alphabet="abc._", min_size=1, max_size=40))
def test_with_room_for_its_longest_part_no_name_is_broken_within(text: str) -> None:
    ends = [line[-1] for line in wrap(text, longest_part(text))[:-1]]
    assert all(end in "._" for end in ends)
