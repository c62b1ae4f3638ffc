"""Which events are alerts."""

import pytest

from aetui import protocol as p
from aetui.alerts.told import Alert, Listener
from aetui.spec import RunSpec, dumps


def run_info(**changes: object) -> p.RunInfo:
    values = {
        "run": 1, "name": "otter", "spec": dumps(RunSpec()), "source": "digits", "architecture": "64-10-64",
        "parameters": 1, "features": 64, "train_rows": 10, "validation_rows": 0, "folder": "/runs/otter",
    }  # fmt: skip
    return p.RunInfo(**(values | changes))  # pyright: ignore[reportArgumentType]


def heard(*replies: p.Reply, **info: object) -> list[Alert]:
    """The alerts of a run that has just been loaded."""
    listener = Listener()
    found = map(listener.hear, (p.Ready(info=run_info(**info)), *replies))
    return [alert for alert in found if alert is not None]


def state(name: p.State, step: int = 7, reason: str = "") -> p.StateChanged:
    return p.StateChanged(state=name, step=step, reason=reason)


def verdict(word: str, step: int = 7) -> p.Noted:
    return p.Noted(text=f"verdict {word}: so", kind="verdict", verdict=word, step=step)


RUNNING = state("running", 0)


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (state("finished", reason="finished 2,000 steps"), "finish", "finished 2,000 steps"),
        (state("non-finite", reason="the loss is NaN"), "non-finite", "the loss is NaN"),
        (state("failed", reason="step 8 failed: no"), "end", "step 8 failed: no"),
        (p.Ended(text="stored at step 7", step=7), "end", "the engine ended before the run did: stored at step 7"),
        (verdict("collapsed"), "verdict", "verdict collapsed: so"),
        (p.Noted(text="not finite: so", warning=True, non_finite=True, step=7), "non-finite", "not finite: so"),
    ],
)
def test_what_happens_to_a_run_that_trains_is_told_with_its_facts(event, kind, text):
    (alert,) = heard(RUNNING, event)
    assert (alert.kind, alert.text) == (kind, f"otter at step 7: {text}")
    assert (alert.run, alert.step, alert.folder) == ("otter", 7, "/runs/otter")
    facts = alert.environment()
    assert facts["AETUI_ALERT"] == kind and facts["AETUI_RUN_STEP"] == "7" and facts["AETUI_RUN"] == "otter"


def test_a_run_that_is_opened_where_it_ended_or_rests_is_no_news():
    past = p.Past(events=(RUNNING, state("non-finite", 9)))
    assert heard(past, state("finished"), p.Ended(text="over")) == []
    assert heard(RUNNING, state("paused"), state("finished"), p.Ended(text="over")) == []


def test_good_verdicts_and_one_that_was_told_are_no_news():
    assert heard(RUNNING, verdict("healthy"), verdict("at-limit")) == []
    (first,) = heard(RUNNING, verdict("collapsed"), verdict("collapsed"))
    assert first.verdict == "collapsed"


def test_a_verdict_on_the_edge_rings_once_a_minute(clock):
    listener = Listener()
    listener.hear(p.Ready(info=run_info()))
    rung = 0
    for _ in range(60):
        for word in ("healthy", "partial"):
            clock.now += 1.0
            rung += listener.hear(verdict(word)) is not None
    assert rung == 2


def test_the_end_of_somebody_else_s_loop_is_its_finish():
    (alert,) = heard(RUNNING, p.Ended(text="the engine has ended", step=7), spec="")
    assert alert.kind == "finish" and alert.text == "otter at step 7: its loop has ended"


def test_an_engine_that_is_lost_is_an_alert_where_it_trained():
    listener = Listener()
    assert listener.lose("killed") is None
    listener.hear(p.Ready(info=run_info()))
    listener.hear(RUNNING)
    alert = listener.lose("the engine was killed by signal 9")
    assert alert is not None and alert.kind == "end" and "signal 9" in alert.text
    assert listener.lose("the engine was killed by signal 9") is None
