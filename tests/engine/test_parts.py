"""Small parts of the engine."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aetui import protocol as p
from aetui.engine.history import History
from aetui.engine.meters import ClippedShare, SpeedMeter, memory_in_use
from aetui.engine.steering import Ladder
from aetui.training.records import Records


@given(st.floats(1e-6, 1e-3), st.lists(st.integers(-1, 1), max_size=20))
def test_a_ladder_comes_back_to_where_it_started(value: float, moves: list[int]):
    ladder, now = Ladder(), value
    for by in [*moves, *(-by for by in moves)]:
        now = ladder.moved(now, by)
    assert now == value


def test_four_rungs_are_a_decade():
    ladder = Ladder()
    assert [ladder.moved(1e-3, -1), ladder.moved(0.000562341, -1)] == [0.000562341, 0.000316228]
    assert ladder.moved(0.000316228, -2) == 1e-4


def test_a_value_set_by_hand_starts_anew():
    ladder = Ladder()
    ladder.moved(1e-3, 2)
    assert ladder.moved(0.5, 4) == 5.0


def records(values: np.ndarray, extra: float = 0.0) -> Records:
    values = values.astype(np.float32)
    return Records(values, values + np.float32(extra), values * 2, np.zeros_like(values))


@given(st.lists(st.integers(0, 9000), max_size=6))
def test_history_keeps_every_step_at_full_resolution(sizes: list[int]):
    history = History()
    values = np.arange(sum(sizes), dtype=np.float32)
    start = 0
    for size in sizes:
        history.append(records(values[start : start + size]))
        start += size
    assert len(history) == len(values)
    page = history.since(start // 2)
    if page is None:
        assert start // 2 >= len(values)
    else:
        assert np.array_equal(page.loss.numpy(), values[start // 2 :][: page.loss.shape[0]])
        assert page.total is None
        assert page.end == len(values)


def test_long_histories_come_in_pages():
    history = History()
    history.append(records(np.arange(150_000)))
    got = 0
    while (page := history.since(got)) is not None:
        assert page.start == got
        got += page.loss.shape[0]
    assert got == 150_000


def test_history_tells_the_loss_with_penalties_apart():
    history = History()
    history.append(records(np.ones(3), extra=0.5))
    assert history.since(0).total.numpy().tolist() == [1.5] * 3


def test_the_last_finite_step():
    history = History()
    assert history.last_finite() is None
    history.append(records(np.array([1.0, 2.0, np.nan, np.inf])))
    assert history.last_finite() == (2, 2.0, 4.0)


def test_points_grow_with_the_logarithm_of_the_steps():
    history = History()
    for step in range(0, 1_000_000, 50):
        history.add_point(p.Point(step, None, None))
    assert len(history.points) < 4000
    assert history.points[-1].step > 990_000


def test_meters(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    speed = SpeedMeter()
    assert speed.rate is None
    for step in (0, 100, 200, 400, 600):
        speed.add(step)
    assert speed.rate == pytest.approx(200)
    clipped = ClippedShare()
    assert clipped.share is None
    clipped.add(np.array([1, 1, 0, 0], dtype=np.float32))
    assert clipped.share == 0.5
    clipped.add(np.zeros(1000, dtype=np.float32))
    assert clipped.share == 0
    assert memory_in_use(torch.device("cpu")) is None or memory_in_use(torch.device("cpu")) > 10**6


@given(st.integers(100, 999), st.integers(-6, -2), st.lists(st.sampled_from([-1, 1]), max_size=12), st.data())
def test_a_ladder_goes_on_where_another_engine_takes_it_up(digits, exponent, moves, data):
    value = float(f"{digits}e{exponent}")
    taken_up = data.draw(st.integers(0, len(moves)))
    whole, first, then = Ladder(), Ladder(), Ladder()
    one = other = value
    for place, by in enumerate(moves):
        one = whole.moved(one, by)
        other = (first if place < taken_up else then).moved(other, by)
    assert one == other
