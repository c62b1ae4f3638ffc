"""A step whose loss is not finite changes nothing, and the run stops and names it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from aetui.selftest.kinds import KINDS
from aetui.selftest.place import Place, Result
from aetui.training.trainer import Trainer

_LATER = 12
"""A step that is not the first."""


def check(place: Place) -> Iterator[Result]:
    yield from _weights(place)
    yield from _sentence(place)


def poison(trainer: Trainer) -> None:
    """Make the next batch NaN; the data stay as they are."""
    batches = trainer.batches
    if not batches.ready:
        batches.gather(batches.size)
    batches.ready[-1].fill_(torch.nan)


def _weights(place: Place) -> Iterator[Result]:
    moved: list[str] = []
    tried = 0
    optimizers = {kind: changes for kind, changes in KINDS.items() if kind.startswith("optim ")}
    for kind, changes in optimizers.items():
        for path, on_host in place.paths.items():
            for step in (1, _LATER):
                trainer = place.trainer(changes, on_host=on_host)
                trainer.run(step - 1)
                before = _state(trainer)
                poison(trainer)
                trainer.advance()
                after = _state(trainer)
                for _ in range(2):
                    trainer.advance()
                tried += 1
                # A first step begins the state, with zeros.
                same = all(
                    torch.equal(value, before.get(name, torch.zeros_like(value))) for name, value in after.items()
                )
                if not same or not bool(trainer.flat.values.isfinite().all()):
                    moved.append(f"{kind} at step {step} on the {path}")
    figures = f"{len(optimizers)} optimizers, at step 1 and at step {_LATER}: weights and state as before, bit for bit"
    yield Result.of(
        "a step that is not finite changes no weight", not moved, "moved: " + "; ".join(moved) if moved else figures
    )


def _state(trainer: Trainer) -> dict[str, Tensor]:
    """Weights and what the optimizer keeps for each of them."""
    kept = trainer.optimizer.state.get(trainer.flat.values, {})
    values = {name: value for name, value in kept.items() if torch.is_tensor(value) and value.ndim}
    return {name: value.detach().clone() for name, value in {"weights": trainer.flat.values, **values}.items()}


def _sentence(place: Place) -> Iterator[Result]:
    wrong, said = [], ""
    for path, on_host in place.paths.items():
        trainer = place.trainer(on_host=on_host)
        driven = place.driven(trainer)
        try:
            driven.train(_LATER - 1)
            poison(trainer)
            state = driven.train(place.effort.steps)
        finally:
            driven.close()
        said = state.reason
        if state.state != "non-finite" or not said.startswith(f"step {_LATER}:"):
            wrong.append(f"on the {path} it stood at {state.state}: {said}")
    yield Result.of("the run stops and names the step", not wrong, "; ".join(wrong) or said)
