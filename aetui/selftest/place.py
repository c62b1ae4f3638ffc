"""Where the checks run, how much of it, and what one finds."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from aetui.bench.driven import Driven
from aetui.engine.worker import Engine
from aetui.spec import RunSpec, changed
from aetui.spec.fields import fields_of, variants
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer

SMALL: dict[str, Any] = {
    "data.rows": "0:300", "model.hidden": (24,), "model.code": 6, "train.batch_size": 32, "train.threads": 1,
}  # fmt: skip
"""What is trained, unless a check says otherwise: a small MLP on some of the digits."""


class Result(msgspec.Struct, frozen=True):
    """What a check found: its name, how it stands, and its figures, a line."""

    name: str
    state: Literal["ok", "FAILED", "measured", "not applicable"]
    figures: str

    @staticmethod
    def of(name: str, passed: bool, figures: str) -> Result:
        return Result(name, "ok" if passed else "FAILED", figures)


@dataclass(frozen=True)
class Effort:
    """How much of everything."""

    steps: int
    """Of a short training."""
    long: int
    """Steps of the training whose memory is watched, with the tweaks, undos and probes in its course."""
    tweaks: int
    undos: int
    probes: int
    kinds: int
    """Steps that each kind is trained."""
    cases: tuple[str, ...]
    """The bench's, whose speed is measured."""
    seconds: float
    """Of one measurement of speed; 0 measures none."""


FULL = Effort(200, 2000, 50, 20, 5, 50, ("tiny", "classic", "large"), 0.5)
SHORT = Effort(30, 120, 4, 2, 1, 12, (), 0.0)
"""For a test of the suite."""


class Place:
    """A device, and a folder for the runs that are tried there."""

    def __init__(self, device: torch.device, effort: Effort, folder: Path) -> None:
        self.device, self.effort, self._folder = device, effort, folder
        self._runs = 0

    @property
    def is_host(self) -> bool:
        return self.device.type == "cpu"

    @property
    def paths(self) -> dict[str, bool]:
        """The ways a step is finished there, by name, and whether numbers are read as they come; on a CPU both."""
        return {"host path": True, "device path": False} if self.is_host else {"device path": False}

    def spec(self, changes: Mapping[str, Any] = {}) -> RunSpec:
        known = fields_of(variants("model")[changes.get("model.kind", "mlp")])
        small = {path: value for path, value in SMALL.items() if path.split(".")[0] != "model" or path[6:] in known}
        return changed(RunSpec(), {**small, "train.device": str(self.device), **changes})

    def trainer(self, changes: Mapping[str, Any] = {}, *, on_host: bool | None = None) -> Trainer:
        return Trainer(self.spec(changes), on_host=on_host)

    def reference(self, changes: Mapping[str, Any] = {}, *, on_host: bool = True) -> Trainer:
        """The same on the CPU."""
        return Trainer(changed(self.spec(changes), {"train.device": "cpu"}), on_host=on_host)

    def run_folder(self) -> Path:
        """A new, private folder for a run."""
        self._runs += 1
        path = self._folder / f"run-{self._runs}"
        path.mkdir(mode=0o700)
        (path / "checkpoints").mkdir(mode=0o700)
        return path

    def driven(self, trainer: Trainer, *, watched: bool = False, folder: Path | None = None) -> Driven:
        """An engine that trains it, stored; watched by somebody who looks at everything all the time."""
        from aetui import protocol as p

        engine = Engine("selftest", folder=folder or self.run_folder(), training=SpecTraining(trainer))
        look = p.Look(run=1, have=dict.fromkeys(p.GAUGES, 0))

        def missing() -> bool:
            view = engine.view(look)
            return view is None or any(getattr(view, name) is None for name in p.GAUGES)

        return Driven(engine, missing if watched else None)

    def held(self) -> int:
        """Bytes that tensors hold on the device; on a CPU those of all tensors that Python knows."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return torch.cuda.memory_allocated(self.device)
        if self.device.type == "mps":
            torch.mps.synchronize()
            return torch.mps.current_allocated_memory()
        storages: dict[int, int] = {}
        for one in gc.get_objects():
            # Asking an object for its class may run code of its own.
            if issubclass(type(one), torch.Tensor):
                with suppress(RuntimeError, NotImplementedError):  # one without memory of its own
                    storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return sum(storages.values())


def distance(trainer: Trainer, reference: Trainer, start: torch.Tensor) -> float:
    """How far the weights of two trainings are from each other, as a share of the way that the second has gone."""
    one, other = trainer.flat.values.detach().double().cpu(), reference.flat.values.detach().double().cpu()
    return float((one - other).norm() / (other - start.double().cpu()).norm().clamp(min=1e-12))
