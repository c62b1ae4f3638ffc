import math

import pytest

from evaluation.tally import Result, Share, builtins, confusion, count, summary, text


def result(cause, verdict="collapsed", ranked=(), preflight=(), visible=False, number=0, **more):
    name = f"test:{cause or 'healthy'}:{number}:0"
    return Result(
        id=name, cause=cause, variant="v", visible=visible, verdict=verdict, ranked=ranked, preflight=preflight, **more
    )


RESULTS = (
    result("lr-too-high", ranked=(("lr-too-high", 0.9), ("init-scale", 0.2)), seconds=1.0),
    result("lr-too-high", ranked=(("init-scale", 0.6), ("lr-too-high", 0.5)), seconds=3.0),
    result("init-scale", "healthy", ranked=(("init-scale", 0.3),), visible=True, preflight=(("init-scale", 0.9),)),
    result("init-scale", "healthy", ranked=(("init-scale", 0.5),), visible=True,
           preflight=(("input-scaling", 0.9), ("init-scale", 0.1))),
    result("bad-values", verdict="", error="ValueError: no", visible=True, seconds=5.0),
    result(None, "healthy"),
    result(None, "at-limit", ranked=(("code-too-small", 0.4),)),
    result(None, "trivial-data"),
    result(None, "healthy", ranked=(("lr-too-low", 0.7),)),
    result(None, "under-trained"),
)  # fmt: skip


def test_what_counts_as_flagged():
    assert [r.flagged for r in RESULTS] == [True, True, False, True, True, False, False, False, True, True]


def test_figures_against_counts_by_hand():
    figures = summary(RESULTS)
    assert figures["detection"] == Share(4, 5)
    assert figures["false alarms"] == Share(2, 5)
    assert figures["top-1 cause"] == Share(3, 5)
    assert figures["top-3 cause"] == Share(4, 5)
    assert figures["pre-flight names it first"] == Share(1, 3)
    assert figures["pre-flight, first three"] == Share(2, 3)


def test_only_the_first_three_findings_count_as_top_three():
    ranked = tuple((cause, 0.5) for cause in ("optimizer", "init-scale", "lr-too-low", "lr-too-high"))
    assert not result("lr-too-high", ranked=ranked).named(3)
    assert result("lr-too-low", ranked=ranked).named(3)


def test_confusion_has_what_was_named_first():
    table = confusion(RESULTS)
    assert table["lr-too-high"] == {"lr-too-high": 1, "init-scale": 1}
    assert table["bad-values"] == {"-": 1}
    assert table["healthy"] == {"not flagged": 3, "lr-too-low": 1, "-": 1}


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        # R: prop.test(k, n, correct = FALSE)
        (Share(0, 10), 0.0, 0.2775328),
        (Share(10, 10), 0.7224672, 1.0),
        (Share(81, 263), 0.2552855, 0.3661871),
    ],
)
def test_wilson_interval_against_published_values(share, low, high):
    assert share.interval() == pytest.approx((low, high), abs=5e-4)


def test_no_cases_give_no_share():
    share = count([])
    assert math.isnan(share.share) and str(share) == "-"


def test_text_and_json_name_every_case_that_went_wrong():
    shown = text(RESULTS)
    assert "top-1 cause" in shown and "ValueError: no" in shown
    assert "test:bad-values:0:0" in shown
    data = builtins(RESULTS)
    assert len(data["cases"]) == len(RESULTS)
    assert data["summary"]["detection"]["share"] == pytest.approx(0.8)
    assert data["cases"][0]["ranked"][0] == ["lr-too-high", 0.9] or data["cases"][0]["ranked"][0] == (
        "lr-too-high",
        0.9,
    )


def test_the_score_of_nothing_prints():
    assert "detection" in text(())
