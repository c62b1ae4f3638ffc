"""What an experiment tells: pure functions of figures and curves."""

import pytest
from msgspec import json
from msgspec.structs import replace

from aetui.report import DEAD_CODE, LOST_FEATURES, MEMORIZED
from aetui.spec import Difference
from aetui.whatif.experiment import WHOLE, Change, Experiment, Figures, Fork, Point
from aetui.whatif.judging import LEAST, WORST, band, controls, hopeless, judged, standing, verdict_of, winner
from aetui.whatif.text import line

HALF, FULL, TARGET = 50, 100, 0.8


def figures(step: int, explained: float | None, **more: object) -> Figures:
    return Figures(step=step, explained=explained, **more)  # pyright: ignore[reportArgumentType]


def fork(
    name: str, end: float | None, *, half: float | None = None, origin: str = "remedy", start: int = 0,
    of: dict[str, object] | None = None, **more: object,
) -> Fork:  # fmt: skip
    """A fork whose curve leads straight from 0 to `half` and on to `end`."""
    last = end or 0.0
    middle = last / 2 if half is None else half

    def explained(step: int) -> float:
        return middle * step / HALF if step <= HALF else middle + (last - middle) * (step / HALF - 1)

    curve = tuple(Point(start + step, 1.0, explained(step)) for step in range(5, FULL + 1, 5))
    settings = () if origin in ("untouched", "reordered") else (Difference("optim.lr", "1", "2", True),)
    given = {
        "status": "done", "step": start + FULL, "end": start + FULL, "curve": curve,
        "half": figures(start + HALF, middle, **(of or {})), "full": figures(start + FULL, end, **(of or {})), **more,
    }  # fmt: skip
    return Fork(name=name, change=Change(origin=origin, settings=settings), start=start, **given)  # pyright: ignore


def beside(one: Fork, first: float | None = 0.1, second: float | None = 0.1) -> list[Fork]:
    return [fork("untouched", first, origin="untouched"), fork("reordered", second, origin="reordered"), one]


@pytest.mark.parametrize(
    ("end", "first", "second", "verdict"),
    [
        (0.9, 0.1, 0.1, "fixes it"),
        (0.5, 0.1, 0.1, "helps"),
        (0.1, 0.1, 0.1, "no effect"),
        (0.1 + LEAST / 2, 0.1, 0.1, "no effect"),
        (0.02, 0.1, 0.1, "worse"),
        (-3.0, 0.1, 0.1, "worse"),
        (-30.0, 0.1, 0.1, "diverged"),
        (0.25, 0.1, 0.2, "not told from noise"),
        (0.4, 0.1, 0.2, "helps"),
        (0.05, 0.1, 0.2, "not told from noise"),
        (0.9, 0.85, 0.85, "helps"),  # what was not broken can't be fixed
        (0.9, None, None, "fixes it"),  # both controls diverge
        (0.5, None, 0.2, "not told from noise"),  # one does: that is what noise can do
        (0.8, None, -0.04, "fixes it"),  # of two that explain nothing one diverges
        (-0.5, -3.0, -2.9, "no effect"),  # what explains nothing helps nothing
    ],
)
def test_verdict_from_both_controls(end, first, second, verdict):
    one = fork("x", end)
    assert verdict_of(one, beside(one, first, second), WHOLE, TARGET)[0] == verdict


def test_no_verdict_before_the_band_is_known():
    one = fork("x", 0.9)
    forks = beside(one)
    assert band(forks, 0, WHOLE) is not None
    for missing in (0, 1):
        running = [
            replace(each, full=None, status="running") if at == missing else each for at, each in enumerate(forks)
        ]
        assert band(running, 0, WHOLE) is None
        assert verdict_of(one, running, WHOLE, TARGET) == ("", "")
    assert band([one], 0, WHOLE) is None


def test_curves_that_differ_make_the_band_wider_than_an_end_at_which_they_meet_by_chance():
    one = fork("x", 0.45)
    first, second, _ = beside(one)
    swings = tuple(
        Point(point.step, point.loss, (point.explained or 0) + (-1) ** number * 0.3 * (point.step < FULL))
        for number, point in enumerate(second.curve)
    )
    assert verdict_of(one, [first, second, one], WHOLE, TARGET)[0] == "helps"
    wild = [first, replace(second, curve=swings), one]
    assert band(wild, 0, WHOLE).noise > 0.3  # pyright: ignore[reportOptionalMemberAccess]
    assert verdict_of(one, wild, WHOLE, TARGET)[0] == "not told from noise"


def test_the_same_weights_are_no_effect_however_wide_the_band():
    one = fork("x", 0.1, weights="abc")
    first, second, _ = beside(one, 0.1, 0.4)
    verdict, why = verdict_of(one, [replace(first, weights="abc"), second, one], WHOLE, TARGET)
    assert verdict == "no effect" and "weights" in why


def test_a_symptom_is_judged_by_its_own_figure():
    dead: dict[str, object] = {"code": 10, "dead_code": 6}
    alive: dict[str, object] = {"code": 10, "dead_code": 0}
    controls_ = [fork(name, 0.5, origin=name, of=dead) for name in ("untouched", "reordered")]
    mends, ruins, explains = fork("mends", 0.5, of=alive), fork("ruins", 0.1, of=alive), fork("explains", 0.9, of=dead)
    forks = [*controls_, mends, ruins, explains]
    assert verdict_of(mends, forks, DEAD_CODE, 0.9)[0] == "fixes it"
    verdict, why = verdict_of(ruins, forks, DEAD_CODE, 0.9)
    assert verdict == "worse" and "0.100" in why
    assert verdict_of(explains, forks, DEAD_CODE, 0.9)[0] == "no effect"


@pytest.mark.parametrize(
    ("symptom", "figure", "worth"),
    [
        (WHOLE, {}, 0.5),
        (LOST_FEATURES, {"even": 0.3}, 0.3),
        (MEMORIZED, {"held_out": -0.4}, -0.4),
        (MEMORIZED, {}, 0.5),
        (DEAD_CODE, {"code": 4, "dead_code": 1}, 0.75),
        ("constant outputs", {"unanswered": 0.25}, 0.75),
    ],
)
def test_standing(symptom, figure, worth):
    assert standing(figures(1, 0.5, **figure), symptom) == worth
    assert standing(Figures(step=1, **figure), symptom) == standing(None, symptom) == WORST


def test_both_horizons_are_looked_at():
    late, early = fork("late", 0.9, half=0.01), fork("early", 0.5, half=0.9)
    forks = [fork("untouched", 0.2, half=0.1, origin="untouched"), fork("reordered", 0.2, half=0.1, origin="reordered")]
    assert verdict_of(late, [*forks, late], WHOLE, TARGET) == ("fixes it", "behind half-way")
    assert verdict_of(early, [*forks, early], WHOLE, TARGET) == ("helps", "its lead shrinks")


def test_a_fork_is_compared_with_the_controls_that_left_where_it_did():
    from_run = fork("live", 0.5, start=200)
    anew = fork("anew", 0.5)
    forks = [
        fork("untouched", 0.1, origin="untouched", start=200),
        fork("reordered", 0.1, origin="reordered", start=200),
        fork("reordered-anew", 0.5, origin="reordered"),
        from_run,
        anew,
    ]
    assert [one.name for one in controls(forks, 200) if one] == ["untouched", "reordered"]
    assert [one.name for one in controls(forks, 0) if one] == ["untouched", "reordered-anew"]
    assert verdict_of(from_run, forks, WHOLE, TARGET)[0] == "helps"
    assert verdict_of(anew, forks, WHOLE, TARGET)[0] == "not told from noise"


def test_hopeless_is_what_would_stay_below_the_band_at_twice_its_pace():
    first, second = fork("untouched", 0.8, origin="untouched"), fork("reordered", 0.8, origin="reordered")

    def told(one: Fork, *controls_: Fork, until: int = 75, symptom: str = WHOLE) -> str:
        way = replace(one, curve=tuple(point for point in one.curve if point.step <= until), full=None)
        return hopeless(way, [*controls_, way], symptom, FULL)

    flat = fork("flat", 0.0, half=0.0)
    assert told(flat, first, second).startswith("stopped at step 75 of 100: explained variance 0.000 would be 0.000")
    assert not told(flat, first, replace(second, full=None)), "the band is not known yet"
    assert not told(replace(flat, half=None), first, second), "it has not come to its half"
    assert not told(flat, first, second, symptom=DEAD_CODE)
    assert not told(flat, *(fork(name, 0.0, origin=name) for name in ("untouched", "reordered"))), "as the controls"
    slow = fork("slow", 0.7, half=0.1)
    assert not told(slow, first, second), "it catches up"
    assert told(fork("too slow", 0.2, half=0.1), first, second)


def test_the_winner_fixes_with_the_least_change():
    two = (Difference("optim.lr", "1", "2", True), Difference("optim.eps", "1", "2", True))
    more = fork("more", 0.905)
    more = replace(more, change=replace(more.change, settings=two))
    x = Experiment(
        run="r", spec="", step=0, half=HALF, full=FULL, target=TARGET,
        forks=(*beside(fork("one", 0.9)), more, fork("helps", 0.7)),
    )  # fmt: skip
    found = judged(x)
    assert [one.verdict for one in found.forks] == ["control", "control", "fixes it", "fixes it", "helps"]
    assert winner(found).name == "one"  # pyright: ignore[reportOptionalMemberAccess]
    assert winner(judged(replace(x, forks=tuple(beside(fork("no", 0.1)))))) is None


def test_an_experiment_travels_as_json():
    x = judged(Experiment(run="r", spec="", step=0, half=HALF, full=FULL, forks=tuple(beside(fork("x", None)))))
    assert json.decode(json.encode(x), type=Experiment) == x


def test_a_journal_says_once_that_a_fork_was_cancelled():
    change = Change(origin="user", settings=(Difference("optim.lr", "0.1", "0.01", live=True),))
    fork = Fork(name="edit-1", change=change, status="cancelled", why="cancelled")
    assert line(fork) == "fork edit-1 (optim.lr 0.1 -> 0.01): cancelled"
