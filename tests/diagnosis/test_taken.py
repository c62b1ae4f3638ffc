"""What was taken as what stands in the report on a run of a spec too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.report import Report, render, taken_text
from aetui.spec import RunSpec, changed
from aetui.training.trainer import Trainer
from aetui.tui.panes import why_text

VAE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.e, self.m, self.v, self.d = (nn.Linear(*size) for size in ((features, 8), (8, 3), (8, 3), (3, features)))
    def forward(self, x):
        hidden = self.e(x).relu()
        mean, spread = self.m(hidden), self.v(hidden)
        return self.d(mean + torch.randn_like(mean) * (spread / 2).exp()), mean, spread
class Plain(Net):
    def forward(self, x):
        return {"out": self.d(self.m(self.e(x).relu()))}
"""


def told(settings: dict[str, str]) -> dict[str, tuple[tuple[int, ...] | None, str]]:
    spec = changed(RunSpec(), {"data.rows": "0:200", "train.batch_size": "32", **settings}, text=True)
    trainer = Trainer(spec)
    before = trainer.weights_sha256(), [state.tolist() for state in trainer.model.random_states()]
    state = torch.get_rng_state()
    found = subject_of_trainer(trainer).taken
    assert torch.equal(torch.get_rng_state(), state)
    assert (trainer.weights_sha256(), [one.tolist() for one in trainer.model.random_states()]) == before
    return {one.role: (one.shape, one.source) for one in found}


def test_the_models_of_a_spec():
    found = told({"loss.kind": "bce-logits", "model.noise": "0.3"})
    assert found == {
        "reconstruction": ((32, 64), "what decoder returns, compared with the target in bce_logits"),
        "target": ((32, 64), "the data, which the model gets with noise"),
        "code": ((32, 10), "what encoder returns"),
    }
    found = told({"model.kind": "vae", "model.kl_weight": "0.1"})
    assert found["mean"] == ((32, 10), "what mean returns, the code; their KL has weight 0.1")
    assert "their KL is not in the loss" in told({"model.kind": "vae", "model.kl_weight": "0"})["log-variance"][1]


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("Net", {"reconstruction": "first item of forward's tuple", "mean": "second item of forward's tuple",
                 "log-variance": "third item of forward's tuple", "code": "second item of forward's tuple"}),
        ("Plain", {"reconstruction": "'out' of what forward returns", "code": "what d takes, the narrowest place"}),
    ],
)  # fmt: skip
def test_a_model_from_a_file(tmp_path: Path, name: str, sources: dict[str, str]):
    (tmp_path / "net.py").write_text(VAE)
    found = told({"model.kind": "file", "model.path": f"{tmp_path}/net.py:{name}"})
    assert {role: found[role][1][: len(text)] for role, text in sources.items()} == sources
    assert found["code"][0] == (32, 3) and set(found) == {*sources, "target"}


def test_screen_text_and_json_state_it():
    trainer = Trainer(changed(RunSpec(), {"data.rows": "0:200"}))
    report = Report(verdict="healthy", headline="so it is", taken=subject_of_trainer(trainer).taken)
    line = taken_text(report.taken[0])
    assert line == "reconstruction [64, 64]: what decoder returns, compared with the target in mse"
    assert f"- {line}" in render(report, 100)
    assert report.to_dict()["taken"][0]["shape"] == [64, 64]
    shown = ["".join(piece.text for piece in line) for line in why_text.remarks(report, 100)]
    assert shown[0] == f"taken {line}" and len(shown) == 3
