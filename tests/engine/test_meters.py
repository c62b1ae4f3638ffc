"""What the engine measures of itself and of the machine."""

import os

import pytest
import torch

from aetui.engine.meters import SpeedMeter, crowded


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("own", "others", "cores", "expected"),
    [(2, 2, 2, True), (2, 0, 2, False), (2, 1, 2, False), (1, 8, 2, False), (4, 3, 8, False), (4, 8, 8, True)],
)
def test_a_run_is_crowded_where_others_want_every_core_and_it_has_several_threads(
    monkeypatch, threads, own, others, cores, expected
):
    threads(own)
    monkeypatch.setattr(os, "getloadavg", lambda: (float(own + others), 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert crowded() is expected


def test_a_system_without_a_load_average_is_never_crowded(monkeypatch, threads):
    threads(2)
    monkeypatch.delattr(os, "getloadavg")
    assert not crowded()


def test_the_time_left_does_not_count_the_warm_up_nor_the_steps_before_a_resume(clock):
    meter, step = SpeedMeter(), 5000
    for _ in range(30):  # 3 seconds at a tenth of the later speed
        clock.now += 0.1
        step += 1
        meter.add(step)
        assert meter.seconds_left(10_000) is None
    while meter.seconds_left(10_000) is None:
        clock.now += 0.1
        step += 10
        meter.add(step)
    assert meter.seconds_left(10_000) == pytest.approx((10_000 - step) / 100, rel=0.05)
    assert meter.seconds_left(None) is None and meter.seconds_left(step) is None and meter.seconds_left(9) is None


def test_the_time_left_follows_the_last_minute(clock):
    meter, step = SpeedMeter(), 0
    for speed in (100, 10):
        for _ in range(700):
            clock.now += 0.1
            step += speed // 10
            meter.add(step)
    assert meter.seconds_left(step + 1000) == pytest.approx(100, rel=0.03)


def test_steps_that_take_longer_than_the_warm_up_leave_out_the_first(clock):
    meter = SpeedMeter()
    for step, seconds in enumerate((90.0, 10.0, 10.0), 1):
        clock.now += seconds
        meter.add(step)
    assert meter.seconds_left(13) == pytest.approx(100.0)
