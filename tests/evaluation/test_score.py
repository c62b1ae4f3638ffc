"""The command line of the score, on the quickest cases; what it prints stands in docs/diagnosis.md."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation import score as scoring
from evaluation.tally import Result, text

ROOT = Path(__file__).parents[2]
QUICK = ("--split", "calibration", "--cases", "1", "--healthy", "0", "--seed", "2", "--only", "bad-values")


def test_it_runs_from_the_root_and_prints_one_json_object():
    command = [sys.executable, "-m", "evaluation.score", *QUICK, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    (case,) = json.loads(done.stdout)["cases"]
    assert case["cause"] == "bad-values" and case["flagged"]
    assert case["id"] in done.stderr


def test_the_numbers_reach_the_score(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    asked = {}
    result = Result(id="any", cause="lr-too-high", variant="", visible=False, verdict="diverged")
    monkeypatch.setattr(scoring, "score", lambda **options: asked.update(options) or [result])
    assert scoring.main(["--cases", "3", "--split", "calibration", "--seed", "5", "--jobs", "2"]) == 0
    assert asked == {
        "split": "calibration", "cases": 3, "healthy": 200, "seed": 5, "jobs": 2, "only": "", "remember": None,
    }  # fmt: skip
    assert capsys.readouterr().out == text([result]) + "\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cases", "0"), "argument --cases: 0 is below 1"),
        (("--jobs", "0"), "argument --jobs: 0 is below 1"),
        (("--healthy", "-1"), "argument --healthy: -1 is below 0"),
        (("--split", "train"), "argument --split: invalid choice: 'train'"),
    ],
)
def test_what_is_not_allowed_is_refused(arguments, said, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        scoring.main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
