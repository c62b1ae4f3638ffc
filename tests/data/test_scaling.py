"""Scaling: what each kind makes of the training rows, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aetui.data import DataError, Scaler

NUMBERS = st.floats(-1e4, 1e4, width=32)
ROWS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12), elements=NUMBERS)
KINDS = st.sampled_from(["none", "standardize", "minmax", "center"])


def digits_like(rows: int = 50) -> np.ndarray:
    values = np.random.default_rng(1).normal(3, 2, (rows, 4)).astype(np.float32)
    values[:, 2] = 7.1
    return values


@given(KINDS, ROWS)
def test_inverse_undoes_transform(kind: str, values: np.ndarray) -> None:
    scaler = Scaler.fit(kind, values)
    scaled = scaler.transform(values)
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    size = np.abs(values).max() + np.float32(1e-30)
    np.testing.assert_allclose(scaler.inverse(scaled), values, rtol=1e-5, atol=1e-5 * size)


@given(ROWS)
def test_max_divides_everything_by_the_largest_value(values: np.ndarray) -> None:
    values = np.abs(values) + np.float32(0.5)
    scaler = Scaler.fit("max", values)
    assert scaler.transform(values).max() == 1
    np.testing.assert_allclose(scaler.transform(values), values / values.max(), rtol=1e-6)
    np.testing.assert_allclose(scaler.inverse(scaler.transform(values)), values, rtol=1e-5)


@given(ROWS)
def test_minmax_spans_0_to_1_where_a_column_varies(values: np.ndarray) -> None:
    scaled = Scaler.fit("minmax", values).transform(values)
    varies = values.min(axis=0) < values.max(axis=0)
    np.testing.assert_allclose(scaled.min(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.max(axis=0), varies.astype(float), atol=1e-6)


def test_standardize_gives_mean_0_and_deviation_1() -> None:
    values = digits_like()
    scaled = Scaler.fit("standardize", values).transform(values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0, 1], atol=1e-6)


def test_center_only_shifts() -> None:
    values = digits_like()
    scaled = Scaler.fit("center", values).transform(values)
    np.testing.assert_allclose(scaled, values - values.mean(axis=0, dtype=np.float64), atol=1e-5)


@pytest.mark.parametrize("kind", ["standardize", "minmax", "center"])
def test_a_constant_column_becomes_exactly_0(kind: str) -> None:
    values = digits_like()
    assert (Scaler.fit(kind, values).transform(values)[:, 2] == 0).all()


@pytest.mark.parametrize("kind", ["none", "standardize", "minmax", "max", "center"])
def test_one_row_and_in_place_give_the_same_numbers(kind: str) -> None:
    values = digits_like()
    scaler = Scaler.fit(kind, values)
    scaled = scaler.transform(values)
    np.testing.assert_array_equal(scaler.transform(values[3]), scaled[3])
    np.testing.assert_array_equal(scaler.inverse(scaled[3]), scaler.inverse(scaled)[3])
    copy = values.copy()
    assert scaler.transform(copy, out=copy) is copy
    np.testing.assert_array_equal(copy, scaled)


def test_a_large_offset_does_not_spoil_the_deviation() -> None:
    values = (np.random.default_rng(0).integers(0, 64, (20_000, 1)) + 1_000_000).astype(np.float32)
    scaled = Scaler.fit("standardize", values).transform(values)
    assert scaled.std(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert scaled.mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("largest", [0.0, -2.0])
def test_max_refuses_data_without_a_positive_value(largest: float) -> None:
    with pytest.raises(DataError, match=r"points: the largest value of the 3 training rows is -?[02]") as caught:
        Scaler.fit("max", np.full((3, 2), largest, np.float32), "points")
    assert caught.value.path == "data.scaling"
