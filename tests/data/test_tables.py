""".csv, .tsv and .parquet files."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetui.data import DataError, Dataset, load
from aetui.spec.sections import File

pl = pytest.importorskip("polars")


def loaded(path: Path, **changes: Any) -> Dataset:
    return load(File(**{"path": str(path), "scaling": "none", "validation": 0, **changes}))


def refusal(path: Path, **changes: Any) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        loaded(path, **changes)
    return caught.value.path, str(caught.value)


def table(folder: Path, text: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


PEOPLE = "age,size,city,kind\n30,1.5,Berlin,a\n41,1.7,Paris,b\n52,1.9,Rome,a\n"


def test_csv_round_trip(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    path = tmp_path / "points.csv"
    pl.DataFrame(values, schema=["a", "b", "c"]).write_csv(path)
    data = loaded(path)
    np.testing.assert_array_equal(data.train, values)
    assert data.feature_names == ("a", "b", "c")
    assert data.source == "points.csv 20 x 3"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("points.tsv", "a\tb\n1\t2\n3\t4\n"),
        ("points.csv", "a;b\n1;2\n3;4\n"),
        ("points.csv", "\ufeffa,b\r\n1,2\r\n3,4\r\n"),
        ("points.csv", "a, b\n 1, 2\n3 ,4\n"),
        ("points.csv", "\n\na,b\n1,2\n3,4\n"),
        ("points.CSV", '"a","b"\n"1","2"\n3,4'),
    ],
)
def test_spellings_of_the_same_table(tmp_path: Path, name: str, text: str) -> None:
    data = loaded(table(tmp_path, text, name))
    np.testing.assert_array_equal(data.train, [[1, 2], [3, 4]])
    assert data.feature_names == ("a", "b")


def test_a_first_line_of_numbers_is_data_but_counted_names_are_names(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, "1.5,2\n3,4\n"))
    np.testing.assert_array_equal(data.train, [[1.5, 2], [3, 4]])
    assert data.feature_names == ()
    counted = loaded(table(tmp_path, "0,1,2\n7,8,9\n4,5,6\n"))
    np.testing.assert_array_equal(counted.train, [[7, 8, 9], [4, 5, 6]])
    indexed = loaded(table(tmp_path, ",0,1\n0,8,9\n1,5,7\n"))
    assert indexed.warnings == ("points.csv: column 0 has no name and counts the rows; data.columns=1: leaves it out",)
    assert indexed.feature_names == ("column 0", "0", "1")
    np.testing.assert_array_equal(loaded(tmp_path / "points.csv", columns="1:").train, [[8, 9], [5, 7]])


def test_a_quoted_name_may_hold_a_line_break(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, '"a\nb",c\n1,2\n3,4\n'))
    assert data.feature_names == ("a b", "c")
    np.testing.assert_array_equal(data.train, [[1, 2], [3, 4]])


def test_columns_and_label(tmp_path: Path) -> None:
    path = table(tmp_path, PEOPLE)
    data = loaded(path, columns="size,age", label="city")
    np.testing.assert_allclose(data.train, [[1.5, 30], [1.7, 41], [1.9, 52]], rtol=1e-6)
    assert data.feature_names == ("size", "age")
    assert data.classes == ("Berlin", "Paris", "Rome")
    np.testing.assert_array_equal(data.train_labels, [0, 1, 2])
    assert loaded(path, columns="0:2", label="3").classes == ("a", "b")
    assert loaded(path, columns="0,1,3", label="kind").feature_names == ("age", "size")
    assert refusal(path, label="citty") == (
        "data.label",
        "points.csv: there is no column 'citty'; did you mean 'city'?",
    )
    assert refusal(path, columns="city", label="city") == (
        "data.columns",
        "points.csv: no column is left to train on beside the label",
    )
    assert refusal(path, columns="agee")[1] == "points.csv: there is no column 'agee'; did you mean 'age'?"


def test_columns_that_are_not_numeric(tmp_path: Path) -> None:
    path = table(tmp_path, PEOPLE)
    assert refusal(path) == (
        "data.columns",
        "points.csv: column 'city' is not numeric: 3 of 3 entries are not numbers, the first is 'Berlin' in row 0 "
        "(line 2) (and 1 other column like it: 'kind'); leave it out with data.columns=age,size, or color the code "
        "by it with data.label=city",
    )
    assert refusal(path, label="kind")[1].endswith("leave it out with data.columns=age,size")
    one = table(tmp_path, "a,b\n1,2\n3,x\n5,\n")
    assert (
        "column 'b' is not numeric: 1 of 3 entries is not a number, the first is 'x' in row 1 (line 3)"
        in refusal(one)[1]
    )
    assert "there is no numeric column left to train on" in refusal(one, columns="b")[1]


def test_the_suggested_columns_can_be_pasted_back(tmp_path: Path) -> None:
    names = [f"a rather long name of column {index}" for index in range(9)]
    rows = [[str(index + row * row) for index in range(9)] for row in range(3)]
    for row in rows:
        row[4] = "word"
    path = table(tmp_path, "\n".join(",".join(line) for line in [names, *rows]) + "\n")
    text = refusal(path)[1]
    assert "data.columns=0:4,5:9," in text
    assert loaded(path, columns="0:4,5:9").features == 8


def test_missing_values_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "age,size\n1,2\n,3\nNA,?\n4,nan\n")
    assert refusal(path) == (
        "data.path",
        "points.csv: column 'age' has 2 NaN of 4 entries, the first in row 1; 4 entries in 2 columns are not finite; "
        "repair the file, choose others with data.rows or data.columns, or set data.non_finite to mean or keep",
    )
    assert "column 'b' has 1 infinite of 2 entries" in refusal(table(tmp_path, "a,b\n1,2\n3,inf\n"))[1]


def test_ragged_lines_are_counted(tmp_path: Path) -> None:
    longer = table(tmp_path, "a,b\n1,2\n3,4,5\n6,7\n8,9,10\n")
    assert refusal(longer)[1] == "points.csv: 2 lines do not have 2 cells like the first; line 3 has 3"
    shorter = table(tmp_path, "a,b\n1,2\n3\n6,7\n")
    assert refusal(shorter)[1] == "points.csv: 1 line does not have 2 cells like the first; line 3 has 1"


def test_empty_lines_are_left_out_with_a_warning(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, "a,b\n1,2\n\n3,4\n\n"))
    np.testing.assert_array_equal(data.train, [[1, 2], [3, 4]])
    assert data.warnings == ("points.csv: 2 empty lines left out",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n", "points.csv: is empty, it has 0 rows of 2 columns"),
        ("\n\n", "points.csv: is empty"),
        ("a,b\n1,2\n", "points.csv: has 1 row to train on; it takes at least 2"),
    ],
)
def test_tables_without_rows(tmp_path: Path, text: str, sentence: str) -> None:
    assert refusal(table(tmp_path, text)) == ("data.path", sentence)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes("größe,b\n1,2\n3,4\n".encode("latin-1"))
    assert refusal(path)[1] == "points.csv: is not UTF-8 text; save it as UTF-8"


def test_booleans_and_whole_numbers_are_numbers(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, "a,b\ntrue,9007199254740993\nfalse,2\n"))
    np.testing.assert_array_equal(data.train, np.array([[1, 2**53 + 1], [0, 2]], np.float32))


def test_parquet_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "points.parquet"
    frame = pl.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "ok": [True, False, True], "name": ["x", "y", None]})
    frame.write_parquet(path)
    data = loaded(path, label="name")
    np.testing.assert_array_equal(data.train, [[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]])
    assert data.classes == ("missing", "x", "y")
    assert "column 'name' is not numeric" in refusal(path)[1]
    pl.DataFrame({"a": [1, 2], "when": [[1, 2], [3]]}).write_parquet(path)
    assert "column 'when' is not numeric: it holds list(int64) entries" in refusal(path)[1]
    pl.DataFrame({"a": [1, None, 3], "b": [1, 2, 3]}).write_parquet(path)
    assert "column 'a' has 1 NaN of 3 entries, the first in row 1" in refusal(path)[1]
    assert loaded(path, columns="b", label="a").classes == ("1", "3", "missing")


def test_a_key_does_not_apply_to_tables(tmp_path: Path) -> None:
    assert refusal(table(tmp_path, PEOPLE), key="x")[0] == "data.key"


def test_without_polars_parquet_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    assert refusal(table(tmp_path, PEOPLE, "points.parquet")) == (
        "data.path",
        "points.parquet: reading .parquet files needs polars; pip install aetui[tables]",
    )
