"""The examples: each with the shortest way for its trainer, beside itself without aetui."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from aetui.runs.folder import RunFolder
from aetui.watching import begin as running
from tests.watching.running import recorded

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = {
    "with_amp.py": ("torch", 40, None),
    "with_loss_method.py": ("torch", 30, "posterior-collapse"),
    "with_lightning.py": ("lightning", 8, "output-range"),
    "with_transformers.py": ("transformers", 10, "lr-too-high"),
    "with_accelerate.py": ("accelerate", 8, "lr-too-low"),
    "with_pythae.py": ("pythae", 10, "posterior-collapse"),
}
"""Package, epochs, and the first cause of the verdict, None where the training is sound."""


def trained(file: Path, epochs: int, folder: Path, monkeypatch: pytest.MonkeyPatch, *, watched: bool) -> nn.Module:
    monkeypatch.setenv("AETUI_WATCH", "1" if watched else "0")
    monkeypatch.chdir(folder)
    torch.manual_seed(1)
    model = runpy.run_path(str(file))["main"](epochs=epochs)
    for run in list(running._watched.values()):
        run.close()
    return model


@pytest.mark.parametrize("name", CASES)
def test_an_example_trains_as_without_and_its_verdict_names_the_cause(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package, epochs, cause = CASES[name]
    pytest.importorskip(package)
    alone = trained(EXAMPLES / name, epochs, tmp_path, monkeypatch, watched=False)
    assert not RunFolder.all()
    model = trained(EXAMPLES / name, epochs, tmp_path, monkeypatch, watched=True)
    states = alone.state_dict(), model.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    (folder,) = RunFolder.all()
    assert folder.name == name.removesuffix(".py").replace("_", "-")
    judged, losses = recorded(folder)
    assert len(losses) > 100 and all(value == value for value in losses)
    assert (judged.report.cause or None) == cause, judged.report.headline


def test_examples_are_short():
    assert all(len(file.read_text().splitlines()) < 60 for file in EXAMPLES.glob("*.py"))
