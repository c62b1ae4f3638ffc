"""The embedded digits, Gaussian noise, the split, and what a Dataset promises."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetui.data import DataError, Dataset, fresh_sample, load
from aetui.spec.sections import Digits, Gaussian


def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    values, target = datasets.load_digits(return_X_y=True)
    data = load(Digits(scaling="none", validation=0))
    np.testing.assert_array_equal(data.train, values)
    np.testing.assert_array_equal(data.train_labels, target)


def test_digits() -> None:
    data = load(Digits())
    assert (data.name, data.source, data.rows, data.features) == ("digits", "digits 1797 x 64", 1797, 64)
    assert data.image_shape == (1, 8, 8)
    assert data.classes == tuple("0123456789")
    assert data.train.dtype == np.float32
    assert data.train.flags["C_CONTIGUOUS"]
    assert data.validation is not None
    assert data.validation_labels is not None
    assert len(data.validation) == len(data.validation_labels) == 180
    assert data.train_labels is not None
    assert data.train_labels.dtype == np.int64
    assert data.warnings == ("digits: 3 of 64 columns are constant in the training rows: 0, 32, 39",)
    raw = load(Digits(scaling="none", validation=0)).train
    assert (raw.min(), raw.max()) == (0, 16)
    assert load(Digits(scaling="max")).train.max() == 1


def test_digits_carry_their_attribution() -> None:
    folder = Path(sys.modules["aetui.data"].__path__[0])
    text = (folder / "digits.LICENSE.txt").read_text(encoding="utf-8")
    with np.load(folder / "digits.npz", allow_pickle=False) as archive:
        assert str(archive["attribution"]) == text
        assert archive["images"].dtype == np.uint8
    for word in ("Optical Recognition of Handwritten Digits", "Alpaydin", "Kaynak", "CC BY 4.0"):
        assert word in text


def test_gaussian_is_the_plain_numpy_draw() -> None:
    data = load(Gaussian(validation=0, seed=5))
    expected = np.random.default_rng(5).standard_normal((1000, 100)).astype(np.float32)
    np.testing.assert_array_equal(data.train, expected)
    assert data.validation is None
    assert data.train_labels is None
    assert data.source == "gaussian 1000 x 100"


def test_large_gaussian_is_the_same_draw_though_made_in_blocks() -> None:
    data = load(Gaussian(rows=70_000, features=100, validation=0))
    expected = np.random.default_rng(0).standard_normal((70_000, 100))[-3:].astype(np.float32)
    np.testing.assert_array_equal(data.train[-3:], expected)


def test_gaussian_beyond_memory_is_refused() -> None:
    with pytest.raises(DataError, match=r"10,000,000 rows x 1,000,000 features need 40,000 GB") as caught:
        load(Gaussian(rows=10_000_000, features=1_000_000))
    assert caught.value.path == "data.rows"


def test_fresh_sample() -> None:
    section = Gaussian(scaling="standardize")
    data = load(section)
    sample = fresh_sample(section, data, 0)
    assert sample is not None
    assert (sample.shape, sample.dtype) == ((100,), np.float32)
    assert not (data.train == sample).all(axis=1).any()
    np.testing.assert_array_equal(sample, fresh_sample(section, data, 0))
    assert not np.array_equal(sample, fresh_sample(section, data, 1))
    assert fresh_sample(Digits(), load(Digits()), 0) is None


def test_fresh_sample_is_scaled_as_the_data_and_fits_the_features() -> None:
    plain = Gaussian(features=7, validation=0)
    scaled = Gaussian(features=7, validation=0, scaling="minmax")
    sample, other = fresh_sample(plain, load(plain), 3), fresh_sample(scaled, data := load(scaled), 3)
    assert sample is not None
    assert other is not None
    assert sample.shape == (7,)
    np.testing.assert_allclose(data.scaler.transform(sample), other, rtol=1e-6)


@given(st.integers(3, 60), st.floats(0.01, 0.9), st.integers(0, 5))
def test_the_split_keeps_every_row_once_in_order(size: int, share: float, seed: int) -> None:
    section = Gaussian(rows=size, features=1, validation=share, split_seed=seed)
    held = max(1, int(np.floor(size * share + 0.5)))
    if size - held < 2:
        with pytest.raises(DataError, match="to train on; it takes at least 2") as caught:
            load(section)
        assert caught.value.path == "data.validation"
        return
    data = load(section)
    everything = load(Gaussian(rows=size, features=1, validation=0)).train[:, 0]
    assert data.validation is not None
    assert len(data.validation) == held
    assert data.rows == size
    for part in (data.train[:, 0], data.validation[:, 0]):
        np.testing.assert_array_equal(part, everything[np.isin(everything, part)])
    assert not np.isin(data.train, data.validation).any()


def test_the_split_follows_its_seed() -> None:
    first, again, other = (load(Digits(split_seed=seed)).validation_labels for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_scaling_is_fitted_on_the_training_rows_only() -> None:
    data = load(Gaussian(rows=40, features=3, scaling="standardize", validation=0.5))
    assert data.validation is not None
    np.testing.assert_allclose(data.train.mean(axis=0), 0, atol=1e-6)
    assert np.abs(data.validation.mean(axis=0)).max() > 1e-3


def test_row_and_column_subsets_of_digits() -> None:
    whole = load(Digits(scaling="none", validation=0))
    data = load(Digits(scaling="none", validation=0, rows="10:100:3", columns="9,2:4"))
    np.testing.assert_array_equal(data.train, whole.train[10:100:3][:, [9, 2, 3]])
    assert whole.train_labels is not None
    np.testing.assert_array_equal(data.train_labels, whole.train_labels[10:100:3])
    assert data.image_shape == ()
    assert data.source == "digits 30 x 3"


def test_image_shape() -> None:
    assert load(Digits(image_shape=(4, 16))).image_shape == (1, 4, 16)
    assert load(Digits(image_shape=(4, 4, 4))).image_shape == (4, 4, 4)
    assert load(Digits(columns="0:32", image_shape=(4, 8))).image_shape == (1, 4, 8)


@pytest.mark.parametrize(
    ("section", "path", "sentence"),
    [
        (Digits(image_shape=(8, 9)), "data.image_shape", "digits: 8 x 9 makes 72 numbers, a row has 64"),
        (
            Digits(image_shape=(8, 8), columns=":32"),
            "data.image_shape",
            "digits: 8 x 8 makes 64 numbers, a row has 32 chosen",
        ),
        (
            Digits(image_shape=(64,)),
            "data.image_shape",
            "64 is not allowed; it takes height, width or channels, height, width",
        ),
        (Digits(rows="5"), "data.rows", "digits: has 1 row to train on; it takes at least 2"),
        (
            Digits(rows="0:2"),
            "data.validation",
            "digits: 0.1 of 2 rows leaves 1 to train on; it takes at least 2, so take a smaller share or 0",
        ),
        (Digits(columns="pixel"), "data.columns", "digits: 'pixel' is not allowed; columns are selected as "),
        (
            Digits(columns="0,32", scaling="max"),
            "data.scaling",
            "digits: the largest value of the 1,617 training rows is 0",
        ),
    ],
)
def test_refusals(section: Digits, path: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        load(section)
    assert str(caught.value).startswith(sentence)
    assert caught.value.path == path


def test_importing_the_package_loads_neither_torch_nor_the_readers_extras() -> None:
    code = "import sys, aetui.data; print([name for name in ('torch', 'polars', 'PIL') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dataset_needs_no_more_than_rows() -> None:
    data = Dataset("x", "x 2 x 1", np.zeros((2, 1), np.float32))
    assert (data.rows, data.features, data.scaler.kind) == (2, 1, "none")
