"""`aetui clinic` lists the gallery, each case under its cause, within 80 cells."""

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
