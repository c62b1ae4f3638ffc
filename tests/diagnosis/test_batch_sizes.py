"""A diagnosis takes the batches that the training would, down to one row."""

import json

import pytest
import torch
from torch import nn

import aetui
from aetui.cli.main import main
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.spec import RunSpec, SpecError, changed
from aetui.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")
ROWS = 30


def sizes(rows: int) -> tuple[int, ...]:
    return 1, 2, 3, rows - 1, rows, rows + 1


class Functional(nn.Module):
    """Batch normalization that no module shows."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 3), nn.Linear(3, 6)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("variance", torch.ones(3))

    def forward(self, x):
        code = nn.functional.batch_norm(self.encoder(x), self.mean, self.variance, training=self.training)
        return self.decoder(code)


MODELS = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 6)),
    "normalized": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6)),
    "functional": Functional,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", sizes(ROWS))
def test_every_batch_size_is_diagnosed_or_refused_in_one_sentence(name, size, low_rank):
    x = low_rank(rank=2, features=6, rows=ROWS)
    if size == 1 and name != "dense":
        with pytest.raises(ValueError, match="batch_size: 1 is not allowed; batch normalization takes batches of at"):
            aetui.diagnose(MODELS[name](), x, batch_size=size, steps=100)
        return
    report = aetui.diagnose(MODELS[name](), x, batch_size=size, lr=3e-3, steps=100)
    assert report.steps == 100 and report.verdict
    assert report.loss is not None


@pytest.mark.parametrize("size", sizes(ROWS))
def test_the_command_line_takes_every_batch_size(size, capsys):
    options = [f"train.batch_size={size}", f"data.rows=0:{ROWS}", "data.validation=0", "train.steps=60"]
    status = main(["diagnose", "digits", "--json", *(part for one in options for part in ("--set", one))])
    assert status in (0, 1)
    assert json.loads(capsys.readouterr().out)["steps"] == 60


def test_a_model_of_one_s_own_that_normalizes_by_batches_is_refused_one_row(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef make(features):\n"
        "    return nn.Sequential(nn.Linear(features, 4), nn.BatchNorm1d(4), nn.Linear(4, features))\n"
    )
    own = {"model.kind": "file", "model.path": f"{tmp_path}/mine.py:make", "train.device": "cpu"}
    with pytest.raises(SpecError, match=r"train.batch_size: 1 does not work with batch normalization; take at least 2"):
        Trainer(changed(RunSpec(), {**own, "train.batch_size": 1}))
    trainer = Trainer(changed(RunSpec(), {**own, "train.batch_size": 2}))
    with pytest.raises(SpecError, match="take at least 2"):
        trainer.set({"train.batch_size": 1})
    assert trainer.advance()


@pytest.mark.parametrize("size", [1, 8, 16, 32, 64, 65])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_diagnosis_takes_the_very_batches_of_the_training(size, normalized):
    if normalized and size == 1:
        pytest.skip("refused")
    spec = changed(
        RunSpec(),
        {"data.rows": "0:65", "data.validation": 0.0, "model.hidden": (12,), "model.batch_norm": normalized,
         "train.batch_size": size, "train.device": "cpu"},
    )  # fmt: skip
    trainer = Trainer(spec)
    loop = Loop(subject_of_trainer(trainer))
    steps = 3 * trainer.batches.steps_per_epoch + 1
    assert loop.advance(steps)
    records = trainer.run(steps)
    assert loop.losses == pytest.approx(records.loss.tolist(), rel=1e-4)
    assert loop.norms == pytest.approx(records.grad_norm.tolist(), rel=1e-3)
