"""A report as data and as text."""

import json
import math
import re
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from aetui.report import (
    CAUSES,
    FINE,
    VERDICTS,
    Evidence,
    Explained,
    Finding,
    Remedy,
    Report,
    options,
    render,
)

LOW_RATE = Finding(
    cause="lr-too-low",
    confidence=0.93,
    title="learning rate too low",
    text="Each step moves the weights so little that the run ends long before the loss reaches what the data allow.",
    source="Bengio 2012, Practical recommendations for gradient-based training of deep architectures, section 3.1",
    evidence=(
        Evidence(
            measure="update ratio", value=1.2e-6, normal="1e-4 to 1e-2", where="encoder.dense1",
            text="A step changes the weights of the first layer by 0.00012 % of their norm.",
        ),
        Evidence(measure="explained variance with lr 1e-3", value=math.nan, text="The same batches with lr 1e-3."),
    ),
    remedies=(
        Remedy(id="raise-lr", text="Raise the learning rate.", set={"optim.lr": 1e-4, "model.hidden": (64, 32)}),
        Remedy(id="longer", text="Train longer."),
    ),
)  # fmt: skip
DEAD = Finding(
    cause="dead-units", confidence=0.12, title="dead units", text="Half of them are.", source="Lu et al. 2020",
    follows="lr-too-low", evidence=(Evidence(measure="dead units", value="32 of 64", text="32 of 64 units are dead."),),
)  # fmt: skip
COLLAPSED = Report(
    verdict="collapsed",
    headline="outputs vary 0.4 % as much as the data",
    findings=(LOW_RATE, DEAD),
    explained_variance=Explained(whole=0.0123, median_feature=math.inf, linear=0.742),
    variance_ratio={"min": 0.0, "p10": 1e-3, "median": 4e-3, "p90": 0.02, "max": 0.1, "below_0.1": 63, "features": 64},
    floors={"mean": 1.0, "linear": 0.26, "entropy": None},
    loss=0.9812,
    steps=1500,
    probe_steps=600,
    settled="The verdict had not changed for 500 steps.",
    notes=("4 of 64 features are constant.", "column 'gré\x1b[31mn\nx' has an odd name"),
    seconds=3.21,
)
HEALTHY = Report(verdict="healthy", headline="explained variance 0.91", explained_variance=Explained(whole=0.91))
BARE = [Report(verdict=verdict, headline="") for verdict in VERDICTS]


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("report", [COLLAPSED, HEALTHY])
def test_json_is_the_report(report: Report):
    plain = json.loads(report.to_json())
    assert plain == report.to_dict()
    assert report.to_json(indent=None).count("\n") == 0
    again = msgspec.convert(plain, Report)
    assert (again.verdict, again.cause, again.steps) == (report.verdict, report.cause, report.steps)
    assert again.to_dict() == report.to_dict()


def test_figures_that_are_not_finite_are_null():
    plain = json.loads(COLLAPSED.to_json())
    assert plain["explained_variance"] == {"whole": 0.0123, "median_feature": None, "linear": 0.742, "kl": None}
    assert plain["findings"][0]["evidence"][1]["value"] is None
    assert plain["findings"][0]["remedies"][0]["set"] == {"optim.lr": 1e-4, "model.hidden": [64, 32]}


def test_what_is_wrong_follows_from_the_verdict():
    assert {report.verdict for report in BARE if not report.wrong} == set(FINE)
    assert COLLAPSED.cause == "lr-too-low" and HEALTHY.cause is None
    assert len(set(CAUSES)) == len(CAUSES)


@pytest.mark.parametrize("width", [40, 88, 200])
@pytest.mark.parametrize("report", [COLLAPSED, HEALTHY, *BARE], ids=lambda report: report.verdict)
def test_a_text_says_everything_within_its_width(report: Report, width: int):
    text = render(report, width)
    assert max(map(len, text.splitlines())) <= width
    said = words(text)
    assert said.startswith(f"{report.verdict.upper()}: {report.headline or VERDICTS[report.verdict]}")
    for finding in report.findings:
        for sentence in (finding.title, finding.cause, finding.text, finding.source, finding.follows):
            assert words(sentence) in said
        assert f"confidence {round(100 * finding.confidence)} %" in said
        for evidence in finding.evidence:
            for sentence in (evidence.text, evidence.measure, evidence.normal, evidence.where):
                assert words(sentence) in said
        for remedy in finding.remedies:
            assert remedy.text in said
            assert all(option in said for option in options(remedy))
    assert words(report.settled).rstrip(".") in said


def test_a_text_has_the_figures_beside_their_yardsticks():
    said = words(render(COLLAPSED))
    assert "explained variance 0.0123 (PCA 0.742, median feature not finite)" in said
    assert "variance ratio median 0.004 (min 0, p10 0.001, p90 0.02, max 0.1, 63 of 64 features below 0.1)" in said
    assert "loss 0.9812 (predict the mean 1, PCA 0.26)" in said
    assert "1,500 steps, 600 more in probes, 3.2 s." in said
    assert "4 of 64 features are constant." in said
    assert "variance ratio" not in render(HEALTHY) and "loss" not in render(HEALTHY)


def test_findings_stand_in_their_order():
    text = render(COLLAPSED)
    assert text.index("1. learning rate too low") < text.index("2. dead units (dead-units, follows from lr-too-low)")


def test_color_changes_nothing_but_color():
    colored = render(COLLAPSED, 60, color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(COLLAPSED, 60)


def test_control_characters_stay_out():
    assert not [letter for letter in render(COLLAPSED) if letter != "\n" and not letter.isprintable()]


@pytest.mark.parametrize(
    ("value", "option"),
    [
        (1e-4, "--set optim.lr=0.0001"),
        (True, "--set optim.lr=true"),
        ((64, 32), "--set optim.lr=64,32"),
        ("two words", "--set 'optim.lr=two words'"),
        (5, "--set optim.lr=5"),
    ],
)
def test_remedies_are_options_of_the_command_line(value: Any, option: str):
    assert options(Remedy(id="x", text="x", set={"optim.lr": value})) == [option]


def test_the_options_of_a_remedy_are_accepted():
    from aetui.cli.options import spec_of

    (first, _) = LOW_RATE.remedies
    spec = spec_of(None, None, [option.removeprefix("--set ") for option in options(first)])
    assert spec.optim.lr == 1e-4 and getattr(spec.model, "hidden", None) == (64, 32)


def test_str_is_the_text():
    assert str(COLLAPSED) == render(COLLAPSED)


def test_printing_a_report_loads_neither_torch_nor_a_screen():
    code = (
        "import sys\nfrom aetui.report import Report\nprint(Report(verdict='healthy', headline=''))\n"
        "assert not {'torch', 'rich', 'textual', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
