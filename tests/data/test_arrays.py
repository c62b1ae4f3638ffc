""".npy, .npz and .pt files."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aetui.data import DataError, Dataset, load
from aetui.spec.sections import File

POINTS = np.arange(12, dtype=np.float32).reshape(4, 3) ** 2


def loaded(path: Path, **changes: Any) -> Dataset:
    return load(File(**{"path": str(path), "scaling": "none", "validation": 0, **changes}))


def refusal(path: Path, **changes: Any) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        loaded(path, **changes)
    return caught.value.path, str(caught.value)


def saved(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", "?", ">f8"])
def test_npy_round_trip(tmp_path: Path, dtype: str) -> None:
    array = (POINTS % 2).astype(dtype)
    data = loaded(saved(tmp_path / "points.npy", array))
    np.testing.assert_array_equal(data.train, array.astype(np.float32))
    assert data.source == "points.npy 4 x 3"
    assert data.train.flags["C_CONTIGUOUS"]
    assert data.train.flags["WRITEABLE"]
    assert type(data.train) is np.ndarray


@settings(max_examples=25)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=2), elements=st.floats(-9, 9)), st.data())
def test_npy_subsets(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, draw: st.DataObject) -> None:
    columns = draw.draw(st.lists(st.integers(0, array.shape[1] - 1), min_size=1, unique=True))
    path = saved(tmp_path_factory.mktemp("npy") / "points.npy", np.asfortranarray(array))
    data = loaded(path, columns=",".join(map(str, columns)), rows="::-1")
    np.testing.assert_array_equal(data.train, array[::-1][:, columns].astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((2, 5, 6), (1, 5, 6)),
        ((2, 3, 5, 6), (3, 5, 6)),
        ((2, 1, 5, 6), (1, 5, 6)),
        ((2, 4, 5, 3), (4, 5, 3)),
        ((2, 4, 4, 3), (3, 4, 4)),
        ((2, 5, 6, 3), (3, 5, 6)),
        ((2, 5, 6, 1), (1, 5, 6)),
        ((2, 7, 5, 6), ()),
    ],
)
def test_image_shapes_of_arrays(tmp_path: Path, shape: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    data = loaded(saved(tmp_path / "pictures.npy", array))
    assert data.image_shape == image_shape
    moved = len(shape) == 4 and image_shape not in ((), shape[1:])
    expected = np.moveaxis(array, 3, 1) if moved else array
    np.testing.assert_array_equal(data.train, expected.reshape(2, -1))
    assert bool(data.warnings) == (image_shape == ())


def test_npz_takes_the_only_array_or_the_one_named(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, data=POINTS, target=np.array([2, 7, 7, 2]))
    data = loaded(path, label="target")
    np.testing.assert_array_equal(data.train, POINTS)
    assert data.classes == ("2", "7")
    np.testing.assert_array_equal(data.train_labels, [0, 1, 1, 0])
    np.testing.assert_array_equal(loaded(path, key="data").train, POINTS)
    assert refusal(path) == (
        "data.key",
        "two.npz: holds 2 arrays (data, target); name the one to train on in data.key",
    )
    assert refusal(path, key="dta") == ("data.key", "two.npz: there is no array 'dta'; did you mean 'data'?")
    assert refusal(path, label="y") == ("data.label", "two.npz: there is no array 'y'; known: data, target")
    setting, text = refusal(path, key="target", label="data")
    assert setting == "data.label"
    assert "has shape (4, 3); it takes one label for each of the 4 rows of 'target'" in text


def test_pt_round_trip(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "points.pt"
    for tensor in (torch.tensor(POINTS), torch.tensor(POINTS, requires_grad=True), torch.tensor(POINTS).bfloat16()):
        torch.save(tensor, path)
        np.testing.assert_array_equal(loaded(path).train, tensor.detach().float().numpy())
    torch.save({"x": torch.tensor(POINTS), "y": torch.tensor([1, 0, 1, 0]), "note": "text"}, path)
    data = loaded(path, label="y")
    np.testing.assert_array_equal(data.train, POINTS)
    np.testing.assert_array_equal(data.train_labels, [1, 0, 1, 0])
    assert refusal(path, key="z")[1] == "points.pt: there is no array 'z'; known: x, y"
    torch.save([torch.tensor(POINTS)], path)
    assert refusal(path)[1] == "points.pt: holds a list; it takes a tensor or a dict of tensors"
    torch.save(torch.tensor(POINTS), path)
    assert refusal(path, key="x")[0] == "data.key"
    torch.save({"note": "text"}, path)
    assert refusal(path)[1] == "points.pt: holds no arrays"
    torch.save(torch.tensor(POINTS).to_sparse(), path)
    assert "the tensor is sparse or quantized; save it dense" in refusal(path)[1]
    torch.save(torch.tensor(POINTS) * 1j, path)
    assert "complex" in refusal(path)[1]


class Trap:
    """Runs code when unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("the file's code was run",))


def test_files_that_would_run_code_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "trap.pt"
    torch.save(Trap(), path)
    assert "trap.pt: holds more than tensors or is damaged, so it is not loaded" in refusal(path)[1]
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    objects = "trap.npy: holds Python objects, which are not loaded; save a plain array of numbers"
    assert refusal(tmp_path / "trap.npy")[1] == objects
    np.savez(tmp_path / "trap.npz", x=np.array([Trap()], dtype=object))
    assert "trap.npz: array 'x': holds Python objects" in refusal(tmp_path / "trap.npz")[1]
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Trap()))
    assert refusal(tmp_path / "plain.npy")[1] == "plain.npy: is not an .npy file, whatever its name says"


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (POINTS.astype(complex), "holds complex numbers (complex128); save the real or absolute part"),
        (np.array([["a", "b"]]), "holds <U1 entries, not numbers; save a plain array of numbers"),
        (np.zeros(3, [("x", "f4"), ("y", "f4")]), "holds records with 2 fields; save a plain array of numbers"),
        (np.zeros(5), "has 1 axis (5); it takes rows x features"),
        (np.float64(1), "has 0 axes (one number); it takes rows x features"),
        (np.zeros((0, 4)), "is empty (0 x 4)"),
        (np.zeros((4, 0)), "is empty (4 x 0)"),
        (np.zeros((1, 4)), "has 1 row to train on; it takes at least 2"),
    ],
)
def test_arrays_that_cannot_be_trained_on(tmp_path: Path, array: Any, sentence: str) -> None:
    assert refusal(saved(tmp_path / "points.npy", array)) == ("data.path", f"points.npy: {sentence}")


def test_entries_that_are_not_finite(tmp_path: Path) -> None:
    array = np.ones((100, 5))
    array[17, 2] = array[20, 2] = np.nan
    array[60, 2] = np.inf
    path = saved(tmp_path / "points.npy", array)
    way = "repair the file, choose others with data.rows or data.columns, or set data.non_finite to mean or keep"
    assert refusal(path) == (
        "data.path",
        f"points.npy: column 2 has 2 NaN and 1 infinite of 100 entries, the first in row 17; {way}",
    )
    array[3, 4] = -np.inf
    saved(path, array)
    assert refusal(path)[1] == (
        "points.npy: column 2 has 2 NaN and 1 infinite of 100 entries, the first in row 17; "
        f"4 entries in 2 columns are not finite; {way}"
    )
    assert refusal(path, rows="18:")[1].startswith(
        "points.npy: column 2 has 1 NaN and 1 infinite of 82 entries, the first in row 20"
    )
    assert loaded(path, columns="0,1,3").features == 3
    assert loaded(path, rows="0:3").rows == 3
    large = np.ones((4, 2))
    large[1, 1] = 1e300
    saved(path, large)
    assert "column 1 has 1 too large for float32 of 4 entries, the first in row 1" in refusal(path)[1]


def test_constant_columns_are_a_warning(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((6, 9))
    array[:, 1:] = 3
    data = loaded(saved(tmp_path / "points.npy", array), scaling="standardize")
    assert data.warnings == (
        "points.npy: 8 of 9 columns are constant in the training rows: 1, 2, 3, 4, 5, 6 and 2 more",
    )
    assert np.isfinite(data.train).all()


def test_missing_unknown_and_unreadable_files(tmp_path: Path) -> None:
    saved(tmp_path / "points.npy", POINTS)
    assert refusal(tmp_path / "point.npy")[1].endswith("point.npy: there is no such file; did you mean 'points.npy'?")
    assert refusal(tmp_path / "zzzzz")[1] == f"{tmp_path / 'zzzzz'}: there is no such file"
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "points.npy")[1]
    (tmp_path / "points.xlsx").write_bytes(b"x")
    assert refusal(tmp_path / "points.xlsx")[1] == (
        "points.xlsx: '.xlsx' files are not known; it takes .npy, .npz, .csv, .tsv, .parquet, .pt or a folder of images"
    )
    (tmp_path / "points").write_bytes(b"x")
    assert "a file without a suffix is not known" in refusal(tmp_path / "points")[1]
    for suffix in ("npy", "npz", "pt", "csv", "parquet"):
        path = tmp_path / f"empty.{suffix}"
        path.write_bytes(b"")
        assert refusal(path) == ("data.path", f"empty.{suffix}: is empty (0 bytes)")
        if suffix != "csv":
            path.write_bytes(b"PK\x03\x04 and then nonsense")
            setting, text = refusal(path)
            assert setting == "data.path"
            assert text.startswith(f"empty.{suffix}: ")
            assert "\n" not in text
    truncated = saved(tmp_path / "cut.npy", np.zeros((50, 50)))
    truncated.write_bytes(truncated.read_bytes()[:900])
    assert refusal(truncated)[1].startswith("cut.npy: can't be read as .npy: ")
    np.savez(tmp_path / "archive.npz", x=POINTS)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    assert refusal(tmp_path / "archive.npy")[1] == "archive.npy: is an .npz archive; give it that suffix"
    (tmp_path / "points.npy").rename(tmp_path / "points.npz")
    assert refusal(tmp_path / "points.npz")[1] == "points.npz: is a plain .npy array; give it that suffix"


def test_settings_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "points.npy", POINTS)
    assert refusal(path, key="x") == (
        "data.key",
        "points.npy: 'x' does not apply; it names an array in an .npz or .pt file; leave it empty",
    )
    assert refusal(path, label="x")[0] == "data.label"


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "points.npy", POINTS)
    assert loaded(Path("~/points.npy")).rows == 4


def test_a_link_that_leads_nowhere_is_named_as_such(tmp_path):
    link = tmp_path / "dang.npy"
    link.symlink_to(tmp_path / "gone.npy")
    with pytest.raises(DataError) as refused:
        load(File(path=str(link)))
    assert str(refused.value) == f"{link}: is a link to {tmp_path / 'gone.npy'}, which is not there"
