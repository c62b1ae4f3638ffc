"""Row and column subsets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetui.data import DataError
from aetui.data.selection import numbers, select, written

BOUND = st.none() | st.integers(-30, 30)


def chosen(text: str, size: int, names: tuple[str, ...] = ()) -> list[int]:
    return numbers(select(text, size, "data.columns", "points", names), size).tolist()


@given(BOUND, BOUND, st.none() | st.integers(-5, 5).filter(bool), st.integers(1, 25))
def test_a_slice_selects_what_python_selects(start: int | None, stop: int | None, step: int | None, size: int) -> None:
    text = ":".join("" if part is None else str(part) for part in (start, stop, step))
    expected = list(range(size))[slice(start, stop, step)]
    if expected:
        assert chosen(text, size) == expected
    else:
        with pytest.raises(DataError, match="selects none of its"):
            chosen(text, size)


@given(st.lists(st.integers(0, 40), min_size=1, unique=True))
def test_a_list_selects_in_the_order_written(indices: list[int]) -> None:
    assert chosen(", ".join(map(str, indices)), 41) == indices


@given(st.sets(st.integers(0, 40), min_size=1))
def test_written_text_reads_back(indices: set[int]) -> None:
    assert chosen(written(sorted(indices)), 41) == sorted(indices)


def test_empty_selects_all_and_negative_counts_from_the_end() -> None:
    assert chosen("", 3) == [0, 1, 2]
    assert chosen("-1, 0", 3) == [2, 0]
    assert chosen("0:2, 4", 5) == [0, 1, 4]


def test_names_come_before_numbers() -> None:
    names = ("a", "1", "x,y", "b:c")
    assert chosen("b:c, a", 4, names) == [3, 0]
    assert chosen("1", 4, names) == [1]
    assert chosen("x,y", 4, names) == [2]
    assert chosen("0:2", 4, names) == [0, 1]


@pytest.mark.parametrize(
    ("text", "names", "sentence"),
    [
        ("9", (), "points: there is no column 9; it has 3 columns, 0 to 2"),
        ("agge", ("age", "size", "width"), "points: there is no column 'agge'; did you mean 'age'?"),
        ("zzz", ("age", "size", "width"), "points: there is no column 'zzz'; known: age, size, width"),
        ("abc", (), "points: 'abc' is not allowed; columns are selected as start:stop:step or a list like 0,3,7"),
        ("0,1,0", (), "points: column 0 is selected 2 times; name each column once"),
        ("0,-3", ("a", "b", "c"), "points: column 'a' is selected 2 times; name each column once"),
        ("::0", (), "'::0' is not allowed; the step of start:stop:step can't be 0"),
        ("2:1", (), "points: '2:1' selects none of its 3 columns"),
        (",", (), "points: ',' selects none of its 3 columns"),
        ("a", ("a", "a", "b"), "points: 2 columns are named 'a'; select them by number"),
    ],
)
def test_refusals(text: str, names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        select(text, 3, "data.columns", "points", names)
    assert str(caught.value) == sentence
    assert caught.value.path == "data.columns"


def test_selection_of_rows_says_rows() -> None:
    with pytest.raises(DataError, match="there is no row 7; it has 3 rows"):
        select("7", 3, "data.rows", "points")


def test_a_plain_slice_stays_a_slice_so_that_a_mapped_file_is_not_copied() -> None:
    assert select("2:8:2", 10, "data.rows", "points") == slice(2, 8, 2)
    assert isinstance(select("1,2", 10, "data.rows", "points"), np.ndarray)
