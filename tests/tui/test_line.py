"""What may be under way on a line, and what becomes of a terminal that answers late, wrongly or never."""

from math import inf

import pytest

from aetui.tui.line import LEAST, QUEUE, SILENCE, Line


def drive(line: Line, rate: float, round_trip: float, seconds: float) -> float:
    """Keep a simulated line of `rate` bytes/s as full as it allows; the longest queue in seconds after the first."""
    now, free, number, worst = 0.0, 0.0, 0, 0.0
    answers: list[tuple[float, tuple[int, int]]] = []
    line.sent((2, 9999), 20, now)
    answers.append((round_trip, (2, 9999)))
    while now < seconds:
        while line.room() >= (size := max(300.0, line.window / 3)):
            number += 1
            line.sent((2, number), size, now)
            free = max(free, now) + size / rate
            worst = max(worst, free - now) if now > 3 else 0.0
            answers.append((free + round_trip, (2, number)))
        now, place = answers.pop(0)
        assert line.answered(place, now, True)
    return worst


@pytest.mark.parametrize(("rate", "round_trip"), [(32_000, 0.2), (32_000, 0.4), (8_000, 0.2)])
def test_the_queue_stays_short_and_the_line_is_used(rate: float, round_trip: float) -> None:
    line = Line()
    assert drive(line, rate, round_trip, 12) < 3 * QUEUE + LEAST / rate
    assert line.window > 0.5 * rate * round_trip


def test_a_fast_line_is_not_held_back() -> None:
    line = Line()
    drive(line, 1e7, 0.001, 1)
    assert line.window > 100_000


def test_a_terminal_that_never_answers_gets_everything_after_a_moment() -> None:
    line = Line()
    line.sent((2, 1), 1500, 0.0)
    line.give_up(SILENCE / 2)
    assert line.room() < inf and line.asks
    line.give_up(SILENCE)
    assert line.room() == inf and not line.asks
    assert line.answered((2, 1), 7.0, False), "an answer that comes after all is believed"
    assert line.asks and line.room() < inf


def test_answers_that_were_not_asked_for_are_none() -> None:
    line = Line()
    line.sent((5, 7), 1500, 0.0)
    for place in ((1, 2), (5, 8), (999, 999)):
        assert not line.answered(place, 0.1, True)
    line.give_up(SILENCE)
    assert not line.asks


def test_a_lost_answer_does_not_stop_the_screen() -> None:
    line = Line()
    line.sent((2, 1), 100, 0.0)
    assert line.answered((2, 1), 0.2, False)
    line.sent((2, 2), 1900, 1.0)
    assert line.patience(1.0) == 3.0
    line.give_up(4.0)
    assert line.under_way == 0 and line.asks and line.room() == LEAST


def test_a_later_answer_stands_for_those_before_it() -> None:
    line = Line()
    for number in (1, 2, 3):
        line.sent((2, number), 500, 0.0)
    assert line.answered((2, 2), 0.2, False)
    assert line.under_way == 500


def test_a_picture_that_is_under_way_keeps_the_next_waiting() -> None:
    line = Line()
    line.sent((2, 1), 500, 0.0)
    line.drawing(True, 0.0)
    assert not line.idle
    line.answered((2, 1), 0.5, False)
    line.drawing(False, 0.5)
    assert line.idle and line.took == 0.5
