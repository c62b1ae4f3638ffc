import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aetui.tui import series as module
from aetui.tui.series import Columns, Series

FIELDS = tuple(Columns.__dataclass_fields__)
values = hnp.arrays(np.float32, st.integers(0, 3000), elements=st.floats(width=32), fill=st.floats(width=32))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels so short that they forget after a few dozen values."""
    monkeypatch.setattr(module, "RAW", 64)
    monkeypatch.setattr(module, "BUCKETS", 32)


def filled(data: np.ndarray, *cuts: int) -> Series:
    series = Series()
    for part in np.split(data, sorted(min(cut, len(data)) for cut in cuts)):
        series.append(part)
    return series


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def test_an_empty_series_has_no_columns() -> None:
    series = Series()
    assert (len(series), series.last(), len(series.columns(0, 10, 5))) == (0, None, 0)


def test_last_is_the_latest_value_as_it_came() -> None:
    series = filled(np.array([1, 2], np.float32))
    assert series.last() == 2
    series.append([np.nan])
    assert np.isnan(series.last() or 0)
    series.append([])
    assert len(series) == 3


@given(values, st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 60))
@settings(deadline=None)
def test_columns_are_exact_while_single_values_are_kept(data: np.ndarray, start: int, stop: int, n: int) -> None:
    columns = filled(data).columns(start, stop, n)
    stop = min(stop, len(data))
    start = min(start, stop)
    assert len(columns) == min(n, stop - start)
    edges = start + (stop - start) * np.arange(len(columns) + 1) // max(1, len(columns))
    for j, (a, b) in enumerate(itertools.pairwise(edges)):
        part = data[a:b].astype(np.float64)
        finite = part[np.isfinite(part)]
        assert columns.x[j] == (a + 1 + b) / 2
        assert columns.broken[j] == (len(finite) < len(part))
        assert columns.count[j] == len(finite)
        if len(finite):
            assert (columns.low[j], columns.high[j]) == (finite.min(), finite.max())
            assert columns.mean[j] == pytest.approx(finite.mean(), rel=1e-6, abs=1e-9 * np.abs(finite).max())
        else:
            assert np.isnan([columns.low[j], columns.high[j], columns.mean[j]]).all()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("length", [63, 64, 65, 500, 4096, 5001])
def test_any_split_gives_the_same(length: int) -> None:
    data = noise(length)
    data[length // 3], data[-2] = np.nan, np.inf
    rng = np.random.default_rng(length)
    whole = filled(data)
    for cuts in ([1], [length // 2], rng.integers(0, length, 9), range(length)):
        other = filled(data, *map(int, cuts))
        for start, stop, n in ((0, length, 40), (length - 50, length, 100), (3, length - 7, 13)):
            a, b = whole.columns(start, stop, n), other.columns(start, stop, n)
            assert all(np.array_equal(getattr(a, f), getattr(b, f), equal_nan=True) for f in FIELDS)


@pytest.mark.usefixtures("small")
@given(data=st.data())
@settings(deadline=None)
def test_old_columns_widen_and_never_lose_a_value(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 6000))
    numbers = noise(length, data.draw(st.integers(0, 5)))
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    columns = filled(numbers).columns(start, stop, data.draw(st.integers(1, 50)))
    edges = start + (stop - start) * np.arange(len(columns) + 1) // len(columns)
    exact = [numbers[a:b] for a, b in itertools.pairwise(edges)]
    assert all(columns.low <= [part.min() for part in exact])
    assert all(columns.high >= [part.max() for part in exact])
    assert all(columns.count >= [len(part) for part in exact])
    assert columns.low.min() >= numbers.min()
    assert columns.high.max() <= numbers.max()
    recent = edges[:-1] >= length - 64
    assert all(columns.count[recent] == [len(part) for part, new in zip(exact, recent, strict=True) if new])


def test_spans_may_overlap_and_are_cut_to_what_there_is() -> None:
    series = filled(np.arange(100, dtype=np.float32))
    spans = series.spans([0, 50, -5, 98, 200], [10, 60, 5, 500, 300])
    assert spans.low[:4].tolist() == [0, 50, 0, 98]
    assert spans.high[:4].tolist() == [9, 59, 4, 99]
    assert spans.count.tolist() == [10, 10, 5, 2, 0]
    assert not spans.broken.any()


def test_ten_million_values_take_little_memory_and_keep_their_spikes() -> None:
    data = np.ones(10_000_000, np.float32)
    data[1_234_567], data[7_000_000], data[9_000_000] = 50, -3, np.nan
    tracemalloc.start()
    try:
        series = filled(data)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    columns = series.columns(0, len(data), 100)
    assert used < 30e6
    assert (columns.high.argmax(), columns.high.max()) == (12, 50)
    assert columns.low.min() == -3
    assert columns.broken.tolist().count(True) in (1, 2)
    assert abs(int(columns.count.sum()) - len(data)) < 0.01 * len(data)
