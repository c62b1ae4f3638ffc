"""A code that holds nothing back is spoken of wherever a run begins."""

from pathlib import Path

import numpy as np
import pytest

from aetui.diagnosis.of_spec import diagnose_spec
from aetui.spec import RunSpec, changed
from aetui.training.remarks import warnings
from aetui.training.trainer import Trainer

OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, features=5):
        super().__init__(nn.Linear(features, 10), nn.Linear(10, features))
"""
SAID = "the code is 10 wide for 5 features: no bottleneck"


@pytest.fixture
def five(tmp_path: Path) -> str:
    path = tmp_path / "five.npy"
    np.save(path, np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, True),
        ({"model.kind": "linear"}, True),
        ({"model.code": 4}, False),
        ({"model.noise": 0.5}, False),
        ({"model.kind": "vae"}, False),
    ],
)
def test_a_run_warns_of_it_before_the_first_step(five: str, changes: dict[str, object], said: bool) -> None:
    spec = changed(RunSpec(), {"data.kind": "file", "data.path": five, "model.code": 10, **changes})
    assert any(SAID in text for text in warnings(Trainer(spec))) == said


def test_so_does_one_with_a_model_of_the_users(five: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(OWN)
    own = {"model.kind": "file", "model.path": f"{tmp_path}/net.py:Net", "model.code": 10}
    spec = changed(RunSpec(), {"data.kind": "file", "data.path": five, **own})
    assert any(SAID in text for text in warnings(Trainer(spec)))


@pytest.mark.parametrize(("changes", "said"), [({}, True), ({"model.code": 4}, False), ({"model.kind": "vae"}, False)])
def test_the_diagnosis_says_it_once(five: str, changes: dict[str, object], said: bool) -> None:
    spec = changed(RunSpec(), {"data.kind": "file", "data.path": five, "model.code": 10, **changes})
    report = diagnose_spec(spec, steps=20)
    found = "code-too-large" in [finding.cause for finding in report.findings]
    assert sum(SAID in note for note in report.notes) + found == said
