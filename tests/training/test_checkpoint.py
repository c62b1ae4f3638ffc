"""A restored checkpoint goes on bit for bit."""

import json
import random

import numpy as np
import pytest

from aetui import presets
from aetui.runs.tensorfile import read, write
from aetui.spec import RunSpec, changed
from aetui.training.checkpoint import Checkpoint, capture, restore
from aetui.training.trainer import Trainer

SMALL = {"data.rows": "0:300", "train.batch_size": 32, "train.device": "cpu", "train.threads": 1}
CASES: dict[str, dict] = {
    "plain": {},
    "dropout and noise": {"model.dropout": 0.3, "model.noise": 0.2},
    "batch norm": {"model.batch_norm": True},
    "vae": {"model.kind": "vae", "model.kl_warmup": 20},
    "conv": {"model.kind": "conv"},
    "float64": {"train.dtype": "float64"},
    "bfloat16": {"train.dtype": "bfloat16", "optim.eps": 1e-4},
    "whole data": {"train.batch_size": 0},
    "plateau": {"schedule.kind": "plateau", "schedule.window": 4, "schedule.patience": 1, "schedule.threshold": 0.5},
    "one-cycle": {"schedule.kind": "one-cycle", "train.epochs": 6},
    "penalties and clipping": {"loss.l1_code": 1e-3, "clip.kind": "global", "clip.threshold": 0.5},
    "momentum": {"optim.kind": "sgd", "optim.momentum": 0.9},
    **{kind: {"optim.kind": kind} for kind in ("adamw", "nadam", "radam", "adamax", "rmsprop", "adagrad", "adadelta")},
    "amsgrad": {"optim.amsgrad": True},
}
TWEAKS = [
    {"optim.lr": "0.003"},
    {"train.batch_size": "17"},
    {"schedule.kind": "exponential"},
    {"optim.kind": "sgd", "optim.momentum": "0.5"},
    {"clip.kind": "value", "clip.threshold": "0.01"},
]


def spec_of(case: dict) -> RunSpec:
    return changed(RunSpec(), SMALL | case)


def again(checkpoint: Checkpoint, tmp_path) -> Checkpoint:
    """The checkpoint after its journey through a file."""
    file = tmp_path / "one.safetensors"
    write(file, checkpoint.tensors, json.dumps(checkpoint.plain))
    tensors, text = read(file)
    return Checkpoint(tensors, json.loads(text))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_training_goes_on_as_if_never_stopped(case, tmp_path):
    trainer = Trainer(spec_of(case))
    for _ in range(13):
        trainer.advance()
    saved = again(capture(trainer), tmp_path)
    for _ in range(9):
        trainer.advance()
    fresh = Trainer(spec_of(case))
    for _ in range(3):
        fresh.advance()
    restore(fresh, saved)
    assert fresh.steps == 13
    for _ in range(9):
        fresh.advance()
    assert fresh.weights_sha256() == trainer.weights_sha256()
    restore(trainer, saved)
    for _ in range(9):
        trainer.advance()
    assert fresh.weights_sha256() == trainer.weights_sha256()


@pytest.mark.parametrize("at", range(len(TWEAKS) + 1))
def test_a_checkpoint_between_tweaks_restores_the_settings_then_in_force(at, tmp_path):
    trainer, saved = Trainer(spec_of({})), None
    for index, tweak in enumerate(TWEAKS):
        if index == at:
            saved = again(capture(trainer), tmp_path)
        trainer.set(tweak, text=True)
        for _ in range(5):
            trainer.advance()
    saved = saved or again(capture(trainer), tmp_path)
    other = Trainer(spec_of({}))
    restore(other, saved)
    for tweak in TWEAKS[at:]:
        other.set(tweak, text=True)
        for _ in range(5):
            other.advance()
    assert other.weights_sha256() == trainer.weights_sha256()
    assert other.spec == trainer.spec


STATEFUL = """
import random
import numpy as np
import torch

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(64, 8), torch.nn.Linear(8, 64)
        self.calls, self.mean = 0, torch.zeros(8)
        self.register_buffer("hidden", torch.zeros(8), persistent=False)
        self.frozen = torch.nn.Parameter(torch.ones(8), requires_grad=False)
        self.rng, self.old, self.dice = np.random.default_rng(3), np.random.RandomState(4), random.Random(5)
        GENERATOR

    def forward(self, x):
        code = torch.tanh(self.a(x)) * self.frozen
        if self.training or EVALUATING:
            self.calls += 1
            self.mean = 0.9 * self.mean + 0.1 * code.detach().mean(0)
            self.hidden += code.detach().std(0)
        if self.training:
            self.frozen.data.mul_(1.001)
        noise = torch.randn_like(code) + np.random.normal() + random.gauss(0, 1)
        noise = noise + self.rng.normal() + self.old.normal() + self.dice.gauss(0, 1) MORE
        return self.b(code + 0.1 * noise / (self.calls + 1) + self.mean + 0.01 * self.hidden)
"""
GENERATORS = {
    "that can be copied": ("pass", ""),
    "with a generator of PyTorch": (
        "self.torch_rng = torch.Generator().manual_seed(6)", "+ torch.randn(8, generator=self.torch_rng)"
    ),
}  # fmt: skip


def own_case(tmp_path, kind: str) -> dict:
    made, used = GENERATORS[kind]
    text = STATEFUL.replace("GENERATOR", made).replace("MORE", used).replace("EVALUATING", "True")
    (tmp_path / "own.py").write_text(text)
    return {"model.kind": "file", "model.path": f"{tmp_path / 'own.py'}:Own"}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_users_own_model_keeps_its_counters_buffers_and_randomness(tmp_path, kind):
    case = own_case(tmp_path, kind)
    trainer = Trainer(spec_of(case))
    for _ in range(7):
        trainer.advance()
    saved = again(capture(trainer), tmp_path)
    for _ in range(7):
        trainer.advance()
    other = Trainer(spec_of(case))
    restore(other, saved)
    random.seed(1)
    np.random.seed(1)
    for _ in range(7):
        other.advance()
        np.random.normal()
    assert other.weights_sha256() == trainer.weights_sha256()


@pytest.mark.parametrize("kind", GENERATORS)
def test_measuring_a_users_own_model_is_not_seen_in_its_training(tmp_path, kind):
    case = own_case(tmp_path, kind)
    alone, measured = Trainer(spec_of(case)), Trainer(spec_of(case))
    before = random.getstate(), np.random.get_state()[1].tolist()
    for _ in range(7):
        alone.advance()
        measured.advance()
        first, second = measured.evaluate(), measured.evaluate()
        assert first.loss == second.loss
    assert alone.weights_sha256() == measured.weights_sha256()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_goes_on(name):
    first, second = Trainer(presets.load(name)), Trainer(presets.load(name))
    for _ in range(4):
        first.advance()
    restore(second, capture(first))
    for _ in range(4):
        first.advance()
        second.advance()
    assert first.weights_sha256() == second.weights_sha256()


def test_batches_lie_where_they_would_in_memory():
    trainer, other = Trainer(spec_of({"train.batch_size": 17})), Trainer(spec_of({"train.batch_size": 17}))
    for _ in range(5):
        trainer.advance()
    restore(other, capture(trainer))
    for _ in range(40):
        mine, theirs = trainer.batches.next(), other.batches.next()
        assert mine.storage_offset() == theirs.storage_offset() and mine.equal(theirs)
