"""Schedules: their shapes, and that a changed rate rescales them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetui.spec import sections as s
from aetui.training.schedules import RateSchedule, factor_at


def test_known_points():
    assert factor_at(s.Constant(), 10**6) == 1
    assert [factor_at(s.StepDecay(every=10, factor=0.5), step) for step in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]
    assert factor_at(s.Exponential(decay=0.9), 3) == pytest.approx(0.729)
    cosine = s.Cosine(steps=100, floor=0.1)
    assert [factor_at(cosine, step) for step in (0, 50, 100, 500)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert [factor_at(s.WarmupLinear(warmup=4), step) for step in (0, 3, 4, 99)] == pytest.approx([0.2, 0.8, 1, 1])
    cycle = s.OneCycle(steps=100, rise=0.25, start=0.2, floor=0.01)
    assert [factor_at(cycle, step) for step in (0, 25, 100, 200)] == pytest.approx([0.2, 1, 0.01, 0.01])


@given(
    st.sampled_from([s.Constant(), s.StepDecay(), s.Exponential(), s.Cosine(), s.WarmupLinear(), s.OneCycle()]),
    st.integers(0, 10**7),
)
def test_factors_stay_between_nothing_and_one(section, step: int):
    assert 0 <= factor_at(section, step) <= 1


def test_plateau_drops_after_patience_and_not_before():
    section = s.Plateau(window=2, patience=2, factor=0.5, threshold=0.0, floor=0.2)
    schedule = RateSchedule(section)
    factors = []
    for _ in range(14):
        schedule.observe(1.0)
        factors.append(schedule.factor(0))
    assert factors == [1] * 5 + [0.5] * 4 + [0.25] * 4 + [0.2]
    schedule.observe(0.1)
    schedule.observe(0.1)
    assert schedule.plateau.best == pytest.approx(0.1)


def test_plateau_leaves_a_falling_loss_alone():
    schedule = RateSchedule(s.Plateau(window=1, patience=1))
    for step in range(100):
        schedule.observe(math.exp(-step / 10))
    assert schedule.factor(0) == 1


def test_a_new_kind_starts_at_its_own_first_step():
    schedule = RateSchedule(s.Constant())
    schedule.change(s.Cosine(steps=100), step=500)
    assert schedule.factor(500) == 1
    assert schedule.factor(550) == pytest.approx(0.5)
    schedule.change(s.Cosine(steps=200), step=550)
    assert schedule.factor(600) == pytest.approx(0.5)


def test_a_schedule_of_no_length_takes_the_runs_own():
    schedule = RateSchedule(s.Cosine())
    assert schedule.factor(100, goal=200) == pytest.approx(0.5)
    assert schedule.factor(200, goal=200) == 0
    assert schedule.factor(10**6) == 1
    schedule.change(s.OneCycle(), step=100)
    assert schedule.factor(100 + 30, goal=200) == pytest.approx(1)
    assert schedule.factor(300, goal=200) == pytest.approx(1e-4)
