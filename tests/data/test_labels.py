"""Labels become class numbers and names."""

import numpy as np
import pytest

from aetui.data import DataError
from aetui.data.labels import encode


@pytest.mark.parametrize(
    ("raw", "codes", "classes"),
    [
        (np.array([10, 2, 10]), [1, 0, 1], ("2", "10")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (np.array([1.5, np.nan, 1.0]), [1, 2, 0], ("1", "1.5", "missing")),
        (np.array(["b", "a", "b"]), [1, 0, 1], ("a", "b")),
        (np.array(["b", None], dtype=object), [0, 1], ("b", "missing")),
        (np.array([b"x", b"y"]), [0, 1], ("x", "y")),
    ],
)
def test_classes(raw: np.ndarray, codes: list[int], classes: tuple[str, ...]) -> None:
    found, names = encode(raw, "points")
    assert found.dtype == np.int64
    assert found.tolist() == codes
    assert names == classes


def test_many_numbers_are_cut_into_ten_ranges_of_equal_share() -> None:
    codes, names = encode(np.arange(200.0), "points")
    assert len(names) == 10
    assert np.bincount(codes).tolist() == [20] * 10
    assert names[0] == "0 to 19.9"
    assert (np.diff(codes) >= 0).all()


def test_too_many_words_and_strange_labels_are_refused() -> None:
    with pytest.raises(DataError, match="labels have 1,001 different values; they must have 1,000 at most") as caught:
        encode(np.array([f"name {index}" for index in range(1001)]), "points")
    assert caught.value.path == "data.label"
    with pytest.raises(DataError, match="the labels are complex128"):
        encode(np.zeros(3, complex), "points")
