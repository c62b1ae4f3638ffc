"""What becomes of a run where the device fails it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from aetui.runs.folder import RunFolder
from aetui.runs.recording import Recording
from aetui.selftest.place import Place, Result
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer

_AT = 9
"""The step that fails."""
_LONGEST = 300
"""Characters of a sentence at most."""


def check(place: Place) -> Iterator[Result]:
    yield from _out_of_memory(place)
    yield from _gone(place)


def _out_of_memory(place: Place) -> Iterator[Result]:
    """The card fills up in the middle of a step, as by another process, and has room again."""
    wrong, said = [], ""
    for path, on_host in place.paths.items():
        straight = place.trainer(on_host=on_host)
        straight.run(2 * _AT)
        trainer = place.trainer(on_host=on_host)
        driven = place.driven(trainer)
        try:
            driven.train(_AT - 1)
            break_step(trainer, _full(place))
            failed = driven.train(_AT)
            said = failed.reason
            driven.train(2 * _AT - (_AT - 1))
        finally:
            driven.close()
        if failed.state != "failed" or not is_sentence(said) or f"step {_AT} failed: out of memory" not in said:
            wrong.append(f"it said: {said}")
        if trainer.weights_sha256() != straight.weights_sha256():
            wrong.append(f"the weights differ afterwards on the {path}")
    yield Result.of("out of memory in a step", not wrong, "; ".join(wrong) or f"{said}; trained on, equal bit for bit")


def _gone(place: Place) -> Iterator[Result]:
    """The device fails in a step, and takes nothing any more; only where that can be played: on the CPU."""
    name = "the device is gone"
    if not place.is_host:
        yield Result(name, "not applicable", "a real device can't be taken away; the CPU's selftest plays it")
        return
    straight = place.trainer(on_host=False)
    straight.run(_AT - 1)
    trainer, folder = place.trainer(on_host=False), place.run_folder()
    driven = place.driven(trainer, folder=folder)
    error = torch.AcceleratorError if hasattr(torch, "AcceleratorError") else RuntimeError
    try:
        driven.train(_AT - 1)
        broken = _raising(lambda: error("CUDA error: unspecified launch failure"))
        break_step(trainer, broken)
        trainer.recorder._read_ring = broken  # pyright: ignore[reportAttributeAccessIssue]
        said = driven.train(_AT).reason
    finally:
        driven.close()
    again = place.trainer(on_host=False)
    recording, _ = Recording.open(RunFolder(folder), SpecTraining(again))
    try:
        recording.resume(lambda *_: False)
    finally:
        recording.close("")
    intact = again.weights_sha256() == straight.weights_sha256()
    figures = f"{said}; the run is {'intact' if intact else 'not intact'} at step {again.steps}"
    yield Result.of(name, is_sentence(said) and f"step {_AT} failed" in said and intact, figures)


def break_step(trainer: Trainer, fail: Callable[..., Any]) -> None:
    """Have the next step fail between its gradient and its update, when batch and random numbers are taken."""
    trainer.optimizer.register_step_pre_hook(lambda *_: fail())


def is_sentence(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and "\n" not in text and "Traceback" not in text


def _raising(make: Callable[[], BaseException]) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise make()

    return fail


def _full(place: Place) -> Callable[..., Any]:
    """On CUDA more than the card has is asked for; elsewhere what PyTorch raises then."""
    if place.device.type == "cuda":
        return lambda: torch.empty(2**50, dtype=torch.uint8, device=place.device)
    return _raising(lambda: torch.OutOfMemoryError("out of memory. Tried to allocate 20.00 GiB"))
