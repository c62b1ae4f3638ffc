import math
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetui.tui import figures

floats = st.floats(-1e307, 1e307)


def value(text: str) -> float:
    return float(text.replace(",", ""))


def test_a_time_of_day_has_as_much_of_its_date_as_tells_it_from_today_s():
    def at(*date: int) -> float:
        return time.mktime((*date, 0, 0, 0, -1))

    now = at(2026, 12, 30, 14, 2)
    assert figures.clock(at(2026, 12, 30, 23, 59), now) == "23:59"
    assert figures.clock(at(2026, 12, 31, 0, 5), now) == "Thu 00:05"
    assert figures.clock(at(2027, 1, 9, 8, 0), now) == "9 Jan 2027 08:00"
    assert figures.clock(at(2026, 12, 1, 8, 0), now) == "1 Dec 08:00"


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (None, "-"), (math.nan, "NaN"), (math.inf, "inf"), (-math.inf, "-inf"), (0.0, "0"), (-0.0, "0"),
        (1.0, "1.00"), (0.241, "0.241"), (12.34, "12.3"), (999.6, "1,000"), (12345.6, "12,300"),
        (12345, "12,345"), (3.16e-4, "3.16e-4"), (0.0009996, "0.00100"), (1e6, "1.00e6"), (-2.5, "-2.50"),
    ],
)  # fmt: skip
def test_number_has_three_digits_or_a_word(x: float | None, text: str) -> None:
    assert figures.number(x) == text


@given(floats)
def test_number_is_within_half_a_percent(x: float) -> None:
    assert value(figures.number(x)) == pytest.approx(x, rel=0.0051, abs=0)


@given(st.none() | st.integers() | st.floats(), st.integers(7, 20))
def test_number_keeps_its_width_and_its_size(x: float | None, width: int) -> None:
    text = figures.number(x, width)
    if x is None or abs(x) < 1e100:
        assert len(text) == width
    if x and math.isfinite(x):
        assert math.copysign(1, value(text)) == math.copysign(1, x)
        assert value(text) == pytest.approx(x, rel=0.51)


@given(st.integers(-(10**15), 10**15))
def test_counts_are_exact(n: int) -> None:
    assert int(figures.count(n).replace(",", "")) == n


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.0, "0 %"), (0.004, "0.4 %"), (0.0001, "<0.1 %"), (-0.0001, "<0.1 %"), (0.12, "12 %"), (0.0994, "9.9 %"),
        (0.0996, "10 %"), (0.997, "99.7 %"), (0.9999, ">99.9 %"), (1.0, "100 %"), (12.5, "1,250 %"), (None, "-"),
        (math.nan, "NaN"),
    ],
)  # fmt: skip
def test_shares(x: float | None, text: str) -> None:
    assert figures.share(x) == text


@given(st.floats(0, 1))
def test_a_share_is_nothing_or_everything_only_when_it_is(x: float) -> None:
    text = figures.share(x, figures.SHARE)
    assert len(text) == figures.SHARE
    assert (text.strip() == "0 %") == (x == 0)
    assert (text.strip() == "100 %") == (x == 1)


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (512, "512 B"), (999.7, "1.00 kB"), (1.2e6, "1.20 MB"), (24e9, "24.0 GB")]
)
def test_bytes(n: float, text: str) -> None:
    assert figures.bytes_text(n) == text


def test_step_labels_are_short_where_that_is_exact() -> None:
    assert figures.step_labels([0, 500, 1000, 1500]) == ["0", "500", "1k", "1.5k"]
    assert figures.step_labels([2_000_000, 4_000_000]) == ["2M", "4M"]
    assert figures.step_labels([9_999_900, 9_999_950]) == ["9,999,900", "9,999,950"]


@given(st.integers(0, 10**9), st.sampled_from([1, 2, 5, 10, 20, 50, 1000, 5000]), st.integers(2, 8))
def test_step_labels_tell_steps_apart(first: int, step: int, n: int) -> None:
    labels = figures.step_labels([first + i * step for i in range(n)])
    assert len(set(labels)) == n


@given(st.integers(-10_000, 10_000), st.integers(2, 8), st.sampled_from([1, 2, 5]), st.integers(-30, 30))
def test_tick_labels_are_true_and_all_different(first: int, n: int, digit: int, power: int) -> None:
    step = digit * 10.0**power
    values = [(first + i) * step for i in range(n)]
    labels = figures.tick_labels(values)
    assert len(set(labels)) == n
    assert all(abs(value(label) - v) <= 0.02 * step for label, v in zip(labels, values, strict=True))
    assert all(value(a) < value(b) for a, b in pairwise(labels))


def test_log_labels() -> None:
    assert figures.log_labels([1e-4, 5e-3, 0.1, 1, 200, 1e5]) == ["1e-4", "0.005", "0.1", "1", "200", "1e5"]
