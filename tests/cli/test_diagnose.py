"""`aetui diagnose` prints a report and nothing else, and its status says whether something is wrong."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

import aetui.diagnosis
from aetui.cli.main import main
from aetui.data import DataError
from aetui.report import VERDICTS, Report, render
from aetui.spec import RunSpec


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Make every diagnosis end in a verdict; what it was asked for is in the list."""

    def becomes(verdict: str) -> list[Any]:
        asked: list[Any] = []

        def diagnose_spec(spec: RunSpec, *, steps: int | None = None, **_: Any) -> Report:
            asked.append((spec, steps))
            return Report(verdict=verdict, headline="so it is", steps=7)

        monkeypatch.setattr(aetui.diagnosis, "diagnose_spec", diagnose_spec, raising=False)
        return asked

    return becomes


@pytest.mark.parametrize("verdict", VERDICTS)
def test_status_and_text_follow_the_verdict(capsys, answer, verdict: str):
    asked = answer(verdict)
    status = main(["diagnose", "digits", "--steps", "7", "--set", "optim.lr=0.5"])
    assert status == (0 if verdict in ("healthy", "at-limit") else 1)
    ((spec, steps),) = asked
    assert steps == 7 and spec.optim.lr == 0.5
    printed = capsys.readouterr()
    assert printed.out == render(Report(verdict=verdict, headline="so it is", steps=7), 80) + "\n"
    assert printed.err == ""


def test_json_is_one_object(capsys, answer):
    asked = answer("collapsed")
    assert main(["diagnose", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "collapsed"
    assert asked[0][1] is None


def test_what_cannot_be_diagnosed_is_one_sentence(capsys, monkeypatch):
    def diagnose_spec(spec: RunSpec, **_: Any) -> Report:
        raise DataError("data.path", "rows.csv: is empty (0 bytes)")

    monkeypatch.setattr(aetui.diagnosis, "diagnose_spec", diagnose_spec, raising=False)
    assert main(["diagnose"]) == 2
    assert capsys.readouterr().err == "aetui: data.path: rows.csv: is empty (0 bytes)\n"
    assert main(["diagnose", "--steps", "0"]) == 2
    assert "--steps: 0 is not allowed" in capsys.readouterr().err


def test_limits_are_handed_on_and_checked(capsys, monkeypatch):
    asked: list[Any] = []

    def diagnose_spec(spec: RunSpec, *, budget: Any, probes: bool, **_: Any) -> Report:
        asked.append((budget.seconds, probes))
        return Report(verdict="healthy", headline="so it is")

    monkeypatch.setattr(aetui.diagnosis, "diagnose_spec", diagnose_spec, raising=False)
    assert main(["diagnose"]) == main(["diagnose", "--seconds", "2.5", "--no-probes"]) == 0
    assert asked == [(None, True), (2.5, False)]
    capsys.readouterr()
    assert main(["diagnose", "--seconds", "0"]) == 2
    assert "--seconds: 0 is not allowed" in capsys.readouterr().err


def test_ctrl_c_prints_the_report_so_far_and_a_second_one_ends_at_once(capsys, monkeypatch):
    def diagnose_spec(spec: RunSpec, *, budget: Any, **_: Any) -> Report:
        signal.raise_signal(signal.SIGINT)
        assert budget.over()
        return Report(verdict="healthy", headline="so it is", notes=(budget.stopped,))

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(aetui.diagnosis, "diagnose_spec", diagnose_spec, raising=False)
    assert main(["diagnose"]) == 130
    assert "it was interrupted" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before

    def stubborn(spec: RunSpec, **_: Any) -> Report:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one does not come through")

    monkeypatch.setattr(aetui.diagnosis, "diagnose_spec", stubborn, raising=False)
    with pytest.raises(SystemExit, match="130"):
        main(["diagnose"])
    assert capsys.readouterr().out == ""
