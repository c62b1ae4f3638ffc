"""The same training gives the same weights, whatever happens beside it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch

from aetui import protocol as p
from aetui.runs.folder import RunFolder
from aetui.runs.recording import Recording
from aetui.selftest.place import Place, Result, distance
from aetui.training.checkpoint import capture, restore
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"model.noise": 0.1, "model.dropout": 0.1},
    "conv": {"model.kind": "conv", "model.hidden": (6, 8), "model.batch_norm": True},
    "vae": {"model.kind": "vae", "model.kl_weight": 0.1, "model.kl_warmup": 20},
}
"""What draws random numbers, and what sums in an order of its own."""
CLOSE = 0.02
"""Distance at most, as a share of the way trained, of a training that was on another device for a while."""


def check(place: Place) -> Iterator[Result]:
    yield from _twice(place)
    yield from _watched(place)
    yield from _steered(place)
    yield from _across(place)


def _plain(place: Place, changes: dict[str, Any], on_host: bool, steps: int) -> Trainer:
    trainer = place.trainer(changes, on_host=on_host)
    trainer.run(steps)
    return trainer


def _twice(place: Place) -> Iterator[Result]:
    steps = place.effort.steps
    different: list[str] = []
    for name, changes in MODELS.items():
        for path, on_host in place.paths.items():
            first, second = (_plain(place, changes, on_host, steps) for _ in range(2))
            if first.weights_sha256() != second.weights_sha256():
                different.append(f"{name} on the {path}: {_not_deterministic(place, changes, on_host)}")
    figures = "; ".join(different) or f"{', '.join(MODELS)}: {steps} steps, equal bit for bit"
    yield Result.of("same spec twice", not different, figures)


def _not_deterministic(place: Place, changes: dict[str, Any], on_host: bool) -> str:
    """The operations that PyTorch knows not to be deterministic on the device, as it names them."""
    trainer = place.trainer(changes, on_host=on_host)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            trainer.run(2)
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    found = {str(one.message).split(" does not have")[0] for one in caught if "determin" in str(one.message)}
    return ", ".join(sorted(found)) or "the weights differ, and PyTorch names no operation"


def _watched(place: Place) -> Iterator[Result]:
    steps, different, looks = place.effort.steps, [], 0
    for path, on_host in place.paths.items():
        unwatched = _plain(place, MODELS["vae"], on_host, steps)
        trainer = place.trainer(MODELS["vae"], on_host=on_host)
        driven = place.driven(trainer, watched=True)
        try:
            driven.train(steps)
            driven.settle()
            view = driven.engine.view(p.Look(run=1, have=dict.fromkeys(p.GAUGES, 0)))
            looks += sum(getattr(view, name) is not None for name in p.GAUGES)
        finally:
            driven.close()
        if trainer.weights_sha256() != unwatched.weights_sha256():
            different.append(path)
    figures = f"{steps} steps with every pane open ({looks} pictures at the end): " + (
        f"the weights differ on the {' and the '.join(different)}" if different else "equal bit for bit"
    )
    yield Result.of("watched and unwatched", not different and looks > 0, figures)


def _steered(place: Place) -> Iterator[Result]:
    part, different = place.effort.steps // 3, []
    for path, on_host in place.paths.items():
        straight = _plain(place, MODELS["vae"], on_host, 3 * part).weights_sha256()
        folder = place.run_folder()
        driven = place.driven(place.trainer(MODELS["vae"], on_host=on_host), folder=folder)
        try:
            driven.train(part)
            driven.obey(p.Set, changes={"optim.lr": "0.01", "train.batch_size": "20"})
            driven.train(part)
            driven.obey(p.Undo)
            driven.train(part)
        finally:
            driven.close()
        trainer = place.trainer(MODELS["vae"], on_host=on_host)
        recording, _ = Recording.open(RunFolder(folder), SpecTraining(trainer))
        try:
            recording.resume(lambda *_: False)
            stood = trainer.steps
            trainer.run(3 * part - stood)
        finally:
            recording.close("")
        if stood != 2 * part or trainer.weights_sha256() != straight:
            different.append(f"{path} (resumed at step {stood})")
    figures = (
        f"paused at {part}, tweaked, undone at {2 * part}, resumed from the disk at {2 * part}, up to {3 * part}: "
    )
    figures += f"the weights differ on the {' and the '.join(different)}" if different else "equal bit for bit"
    yield Result.of("paused, tweaked, undone, resumed", not different, figures)


def _across(place: Place) -> Iterator[Result]:
    name = "a checkpoint on the CPU and back"
    if place.is_host:
        yield Result(name, "not applicable", "the device is the CPU")
        return
    part = place.effort.steps // 3
    there, here, back = place.trainer(), place.reference(), place.trainer()
    straight = place.trainer()
    start = straight.flat.values.detach().clone()
    straight.run(3 * part)
    there.run(part)
    for one, other in ((there, here), (here, back)):
        state = capture(one)
        # A checkpoint restores into a training of its own device's spec.
        state.plain["spec"] = capture(other).plain["spec"]
        restore(other, state)
        other.run(part)
    far = distance(back, straight, start)
    figures = f"{part} steps on the device, {part} on the CPU, {part} on the device: close, not equal; "
    yield Result.of(name, far <= CLOSE, figures + f"{far:.1e} of the way trained, at most {CLOSE}")
