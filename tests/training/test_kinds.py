"""A kind of loss, optimizer, schedule or clipping is one entry of a table, from which all else derives."""

import dataclasses
import dis
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from aetui.diagnosis.floors import floors_of
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.gauges.floors import best_constant
from aetui.runs.export.script import write_script
from aetui.spec import RunSpec, changed
from aetui.spec import sections as s
from aetui.training import clipping, losses, optimizers, schedules
from aetui.training.clipping import CLIPS, ClipKind
from aetui.training.kinds import complete, takes
from aetui.training.losses import LOSSES, LossKind
from aetui.training.optimizers import OPTIMIZERS, OptimizerKind
from aetui.training.schedules import SCHEDULES, ScheduleKind
from aetui.training.trainer import Trainer

BASE = {"data.rows": "0:200", "model.hidden": (12,), "train.device": "cpu", "train.threads": 1, "train.batch_size": 32}
TABLES = {s.Loss: LOSSES, s.Optim: OPTIMIZERS, s.Schedule: SCHEDULES, s.Clip: CLIPS}


# --- made up: none of these is anywhere else ---


def quartic(output: Tensor, target: Tensor) -> Tensor:
    error = output - target
    return error * error * error * error


def cubed(error: Tensor) -> Tensor:
    return error * error * error


class SignDescent(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, weight_decay=0.0, rho=0.9, eps=1e-6):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "rho": rho, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * group["rho"] * parameter.grad.sign())


def inverse_root(step: int, decay: float) -> float:
    return decay / (1 + step) ** 0.5


def clip_to_half(grads: list[Tensor], views: list[Tensor], limit: float, norm: float) -> bool:
    for grad in grads:
        grad.mul_(0.5)
    return True


def clip_to_half_on_device(grads: list[Tensor], views: list[Tensor], limit: float, norm: Tensor) -> Tensor:
    for grad in grads:
        grad.mul_(0.5)
    return norm > limit


MADE_UP: dict[str, tuple[dict[type, Any], type, Any, dict[str, Any]]] = {
    "loss": (LOSSES, s.LogCosh, LossKind("quartic", quartic, cubed), {"loss.kind": "log-cosh"}),
    "optimizer": (
        OPTIMIZERS, s.Adadelta, OptimizerKind(SignDescent, (0.001, 0.01, 0.1)),
        {"optim.kind": "adadelta", "optim.lr": 0.01},
    ),
    "schedule": (
        SCHEDULES, s.Exponential, ScheduleKind(inverse_root), {"schedule.kind": "exponential", "schedule.decay": 0.9}
    ),
    "clip": (
        CLIPS, s.PerTensor, ClipKind(clip_to_half, clip_to_half_on_device),
        {"clip.kind": "per-tensor", "clip.threshold": 1e-3},
    ),
}  # fmt: skip


@pytest.fixture(params=MADE_UP)
def made_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    """A spec whose kind means something else: the entry of the table is all that is replaced."""
    table, section, entry, settings = MADE_UP[request.param]
    monkeypatch.setitem(table, section, entry)
    return changed(RunSpec(), {**BASE, **settings})


def test_one_entry_is_enough_for_the_engine_the_diagnosis_and_an_exported_script(made_up: RunSpec, tmp_path: Path):
    usual = Trainer(changed(RunSpec(), BASE))
    trainer = Trainer(made_up)
    loop = Loop(subject_of_trainer(trainer))
    losses_of_run = trainer.run(25).loss
    usual.run(25)
    assert trainer.weights_sha256() != usual.weights_sha256()
    assert loop.advance(25)
    torch.testing.assert_close(loop.losses, losses_of_run.tolist(), rtol=1e-3, atol=1e-6)
    paths = write_script(
        tmp_path, name="run", spec=made_up, tweaks=[], steps=25, threads=1, expected=trainer.weights_sha256()
    )
    done = subprocess.run([sys.executable, "-I", str(paths[0])], capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(done.stdout)["weights_sha256"] == trainer.weights_sha256()


def test_one_entry_is_enough_for_the_floors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(LOSSES, s.LogCosh, MADE_UP["loss"][2])
    trainer = Trainer(changed(RunSpec(), {**BASE, "loss.kind": "log-cosh"}))
    x = trainer.train_data.double()
    floor = trainer.floors().mean
    assert floor is not None
    for shift in (-0.01, 0.01):
        moved = (best_constant(x, trainer.objective) + shift).expand_as(x)
        assert floor < float((moved - x).pow(4).mean())
    assert floors_of(subject_of_trainer(trainer))["mean"] == pytest.approx(floor)


# --- a part that is missing ---


@pytest.mark.parametrize("union", TABLES)
def test_every_kind_has_an_entry(union):
    assert tuple(TABLES[union]) == get_args(union)


@pytest.mark.parametrize("union", TABLES)
def test_a_kind_without_an_entry_and_an_entry_without_a_kind_are_refused(union):
    table = dict(TABLES[union])
    first = next(iter(table))
    with pytest.raises(TypeError, match="a kind and its entry have to come together"):
        complete({kind: entry for kind, entry in table.items() if kind is not first}, union)
    with pytest.raises(TypeError, match="int: a kind and its entry"):
        complete({**table, int: table[first]}, union)


def test_a_function_that_does_not_take_a_setting_is_refused():
    with pytest.raises(TypeError, match="step_decay takes no decay"):
        takes(schedules.step_decay, {"every": 1, "decay": 1})


def functions() -> list[Callable[..., Any]]:
    """All that exported scripts take word for word because an entry names it."""
    found: list[Any] = [kind.function for kind in LOSSES.values() if not kind.native]
    found += [kind.make for kind in OPTIMIZERS.values() if not kind.native]
    found += [part for kind in SCHEDULES.values() for part in (kind.factor, *kind.uses) if part is not None]
    found += [part for kind in CLIPS.values() if kind for part in dataclasses.astuple(kind)]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("part", functions(), ids=lambda part: part.__name__)
def test_what_a_script_takes_needs_nothing_of_the_package(part):
    assert inspect.getmodule(part) in (losses, optimizers, schedules, clipping)
    known = {"torch", "F", "math", "Tensor", "dataclass", *(other.__name__ for other in functions())}
    used: set[str] = set()
    queue = [compile(inspect.getsource(part), "script", "exec", dont_inherit=True)]
    while queue:
        one = queue.pop()
        used |= {line.argval for line in dis.get_instructions(one) if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        queue += [const for const in one.co_consts if inspect.iscode(const)]
    own = {name for name in vars(inspect.getmodule(part)) if not name.startswith("__")}
    assert used & own <= known
