""".csv and .tsv files are read by what every installation has."""

import sys
from pathlib import Path

import numpy as np
import pytest

from aetui.data import DataError, load
from aetui.data.delimited import read_csv
from aetui.data.source import Source
from aetui.spec.sections import File


@pytest.fixture(autouse=True)
def without_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)


def read(folder: Path, text: str, name: str = "points.csv", **changes: str) -> Source:
    path = folder / name
    path.write_bytes(text.encode())
    return read_csv(path, File(path=str(path), **changes))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_table_becomes_training_data_in_the_base_install(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"points{suffix}"
    separator = "," if suffix == ".csv" else "\t"
    path.write_text("\n".join(separator.join(row) for row in (["a", "b", "kind"], ["1", "2", "x"], ["3", "5", "y"])))
    data = load(File(path=str(path), label="kind", scaling="none", validation=0))
    np.testing.assert_array_equal(data.train, [[1, 2], [3, 5]])
    assert (data.feature_names, data.classes) == (("a", "b"), ("x", "y"))


def test_numbers_are_read_back_to_the_last_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(300, 4)) * 10.0 ** random.integers(-300, 300, size=(300, 4))
    text = "\n".join(",".join(map(repr, row)) for row in values.tolist())
    np.testing.assert_array_equal(read(tmp_path, text).values, values)


def test_a_file_of_many_blocks_keeps_its_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aetui.data.delimited._BLOCK", 8)
    lines = [f"{row},{'NA' if row % 7 == 0 else row * 0.5},{'odd' if row % 2 else 'even'}" for row in range(50)]
    lines.insert(31, "")
    source = read(tmp_path, "\n".join(["a,b,c", *lines]), label="c")
    np.testing.assert_array_equal(source.values[:, 0], np.arange(50))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(source.values[:, 1])), np.arange(0, 50, 7))
    assert source.labels is not None and source.labels.tolist() == ["even", "odd"] * 25
    assert source.warnings == ("points.csv: 1 empty line left out",)
    lines[45] = "44,x,even"
    assert read(tmp_path, "\n".join(["a,b,c", *lines])).texts[1] == (
        "1 of 50 entries is not a number, the first is 'x' in row 44 (line 47)"
    )


@pytest.mark.parametrize(
    ("cell", "value"), [("1_000", None), ("١٢", None), ("0x1F", None), (" +7. ", 7.0), (".5e-3", 5e-4)]
)
def test_what_counts_as_a_number(tmp_path: Path, cell: str, value: float | None) -> None:
    source = read(tmp_path, f"a,b\n1,{cell}\n2,3\n")
    assert (1 in source.texts) == (value is None)
    if value is not None:
        assert source.values[0, 1] == value


def test_a_first_line_of_empty_cells_is_no_line_of_names(tmp_path: Path) -> None:
    source = read(tmp_path, ",\n1,true\n2,\n,false\n")
    np.testing.assert_array_equal(source.values, [[1, 1], [2, np.nan], [np.nan, 0]])
    assert (source.names, source.warnings) == ((), ("points.csv: 1 empty line left out",))


def test_quotes_hold_separators_breaks_and_quotes(tmp_path: Path) -> None:
    source = read(tmp_path, 'a,b\r\n"1.5","x, ""y""\r\nz"\r\n2,w\r\n', label="b")
    np.testing.assert_array_equal(source.values[:, 0], [1.5, 2])
    assert source.labels is not None and source.labels.tolist() == ['x, "y"\r\nz', "w"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n', "points.csv: can't be read: unexpected end of data in line 4"),
        ('a,b\n1,2\n3,"4"5\n', "points.csv: can't be read: ',' expected after '\"' in line 3"),
        ("", "points.csv: is empty"),
    ],
)
def test_what_can_not_be_read_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert (caught.value.path, str(caught.value)) == ("data.path", sentence)


def test_labels_are_whole_numbers_numbers_or_text(tmp_path: Path) -> None:
    text = "a,i,f,t,b\n1,7,0.5,x,true\n2,8,,,FALSE\n"
    kinds = [read(tmp_path, text, label=label).labels for label in "iftb"]
    assert [None if found is None else found.dtype.kind for found in kinds] == ["i", "f", "O", "O"]
    assert [kinds[2].tolist(), kinds[3].tolist()] == [["x", None], ["True", "False"]]  # pyright: ignore
