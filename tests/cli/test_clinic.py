"""`aetui clinic` lists the gallery, each case under its cause, within 80 cells."""

import sys
from types import ModuleType
from typing import Any

import pytest

from aetui import presets
from aetui.cli.main import main


def test_every_case_stands_under_its_cause(capsys: pytest.CaptureFixture[str]):
    assert main(["clinic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    heading, found = "", {}
    for line in lines:
        if line.startswith("  clinic/"):
            found[line.split()[0]] = heading
        elif line:
            heading = line
    causes = {name: presets.load(name).about.cause or "nothing wrong" for name in presets.clinic_names()}
    assert found == causes
    assert all(any(presets.summary(name) in line for line in lines) for name in found)


def test_score_hands_its_options_on(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, Any] = {}

    def score_and_print(**options: Any) -> int:
        asked.update(options)
        return 0

    fake = ModuleType("aetui.clinic.score")
    fake.score_and_print = score_and_print  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "aetui.clinic.score", fake)
    assert main(["clinic", "score", "--cases", "3", "--split", "calibration", "--json"]) == 0
    assert asked == {
        "cases": 3, "healthy": 200, "split": "calibration", "seed": 0, "jobs": 1, "as_json": True,
    }  # fmt: skip
    assert main(["clinic", "score", "--cases", "0"]) == 2
