"""Steps whose numbers stay on the device, taken on the CPU; `tests/selftest` tries every kind of everything."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from aetui.runs.export import script
from aetui.spec import RunSpec, changed
from aetui.training.checkpoint import capture, restore
from aetui.training.late import LateLosses
from aetui.training.trainer import Trainer

BASE = {
    "data.rows": "0:200", "model.hidden": (12,), "train.device": "cpu", "train.threads": 1, "train.batch_size": 32,
}  # fmt: skip
PLATEAU = {"schedule.kind": "plateau", "schedule.window": 3, "schedule.patience": 1, "schedule.threshold": 0.5}
CASES = {
    "adam": {"schedule.kind": "cosine", "schedule.steps": 50, "clip.kind": "global", "clip.threshold": 0.05},
    "sgd": {"optim.kind": "sgd", "optim.momentum": 0.9, "clip.kind": "per-tensor", "clip.threshold": 0.02},
    "rmsprop": {"optim.kind": "rmsprop", "clip.kind": "value", "clip.threshold": 0.002},
    "plateau": PLATEAU,
    "vae": {"model.kind": "vae", "model.kl_weight": 0.1, "model.kl_warmup": 20},
}


def on_device(changes: dict) -> Trainer:
    return Trainer(changed(RunSpec(), {**BASE, **changes}), on_host=False)


def test_losses_come_a_fixed_number_of_steps_late_and_those_that_are_not_finite_not_at_all():
    late, found = LateLosses(torch.device("cpu")), []
    for step in range(60):
        late.add(torch.tensor(float(step)), torch.tensor(step in (3, 20)))
        before = len(found)
        found += late.due()
        assert len(found) - before == (step >= LateLosses.LAG and step - LateLosses.LAG not in (3, 20))
    assert found == [float(step) for step in range(60 - LateLosses.LAG) if step not in (3, 20)]
    assert late.known() == [float(step) for step in range(60 - LateLosses.LAG, 60)]


def test_losses_under_way_come_back_with_a_checkpoint():
    late = LateLosses(torch.device("cpu"))
    for step in range(40):
        late.add(torch.tensor(float(step)), torch.tensor(step == 30))
        late.due()
    other = LateLosses(torch.device("cpu"))
    other.restore(json.loads(json.dumps(late.known())))
    for step in range(40, 60):
        for one in (late, other):
            one.add(torch.tensor(float(step)), torch.tensor(False))
        assert late.due() == other.due()


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_goes_on_bit_for_bit(case: str):
    trainer, other = on_device(CASES[case]), on_device(CASES[case])
    trainer.run(23)
    state = capture(trainer)
    trainer.run(40)
    restore(other, state)
    other.run(40)
    assert other.weights_sha256() == trainer.weights_sha256()
    assert other.rate == trainer.rate


def test_a_checkpoint_of_the_device_path_goes_on_where_losses_are_read_at_once():
    there, here = on_device(PLATEAU), Trainer(changed(RunSpec(), {**BASE, **PLATEAU}))
    there.run(30)
    restore(here, capture(there))
    straight = Trainer(changed(RunSpec(), {**BASE, **PLATEAU}))
    for loss in there.late.known() if there.late else []:
        assert loss is not None
        there.schedule.observe(loss)
    assert here.rate == there.rate != straight.rate


def test_a_plateau_lowers_the_rate_as_many_steps_later_as_it_hears_of_the_loss():
    host, device = Trainer(changed(RunSpec(), {**BASE, **PLATEAU})), on_device(PLATEAU)

    def first_drop(trainer: Trainer) -> int:
        while trainer.rate == trainer.spec.optim.lr:
            trainer.advance()
        return trainer.steps

    assert first_drop(device) == first_drop(host) + LateLosses.LAG


@pytest.mark.parametrize("case", CASES)
def test_an_exported_script_takes_the_same_steps(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainer = on_device(CASES[case])
    tweak = {"optim.lr": 0.004}
    trainer.run(20)
    trainer.set(tweak)
    trainer.run(30)
    monkeypatch.setattr(script, "Trainer", partial(Trainer, on_host=False))
    paths = script.write_script(
        tmp_path, name="run", spec=on_device(CASES[case]).spec, tweaks=[(20, tweak)], steps=50, threads=1,
        expected=trainer.weights_sha256(),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-I", str(paths[0])], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["weights_sha256"] == trainer.weights_sha256()


def test_a_checkpoint_of_another_kind_of_device_goes_on_from_its_weights():
    """A GPU's generator has a state of 16 bytes."""
    trainer, other = on_device({"model.noise": 0.1}), Trainer(changed(RunSpec(), {**BASE, "model.noise": 0.1}))
    trainer.run(20)
    state = capture(trainer)
    state.tensors["random.model.0"] = torch.zeros(16, dtype=torch.uint8)
    restore(other, state)
    assert torch.equal(other.flat.values, trainer.flat.values) and other.steps == 20
    other.run(10)
