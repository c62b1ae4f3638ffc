"""A tweak takes effect at the step that its acknowledgement names."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from aetui import protocol as p
from aetui.selftest.exact import MODELS
from aetui.selftest.place import Place, Result
from aetui.training.records import Records
from aetui.training.trainer import Trainer

_TWEAKS: dict[str, dict[str, str]] = {
    "rate": {"optim.lr": "0.004"},
    "clipping global": {"clip.kind": "global", "clip.threshold": "0.01"},
    "clipping per tensor": {"clip.kind": "per-tensor", "clip.threshold": "0.01"},
    "clipping by value": {"clip.kind": "value", "clip.threshold": "0.0005"},
    "KL weight": {"model.kl_weight": "0.5", "model.kl_warmup": "0"},
    "batch size": {"train.batch_size": "48"},
    "loss": {"loss.kind": "mae"},
}
_APART = 8
"""Steps at least between two tweaks."""

Made = list[tuple[int, dict[str, str]]]


def check(place: Place) -> Iterator[Result]:
    for path, on_host in place.paths.items():
        trainer = place.trainer(MODELS["vae"], on_host=on_host)
        made, recorded = _steered(place, trainer)
        again, records = _replayed(place, on_host, made, trainer.steps)
        exact = again.weights_sha256() == trainer.weights_sha256() and records.agrees_until(recorded) == trainer.steps
        late = [
            name for number, name in enumerate(_TWEAKS) if _looks_the_same_later(place, on_host, made, number, recorded)
        ]
        steps = ", ".join(f"{name} {step + 1:,}" for name, (step, _) in zip(_TWEAKS, made, strict=True))
        figures = f"{path}, first step with each: {steps}; "
        if not exact:
            figures += "training again with each at that step gives other weights"
        elif late:
            figures += f"a step later would look the same: {', '.join(late)}"
        else:
            figures += "training again is equal bit for bit, and with any one a step later is not"
        yield Result.of("tweaks take effect at the step named", exact and not late, figures)


def _steered(place: Place, trainer: Trainer) -> tuple[Made, Records]:
    """Tweaks of a run while it trains, each with the steps that were complete then, and what the steps recorded."""
    made: Made = []
    driven = place.driven(trainer)
    try:
        driven.obey(p.Run)
        for changes in _TWEAKS.values():
            goal = trainer.steps + _APART
            while trainer.steps < goal:
                time.sleep(0.001)
            made.append((driven.obey(p.Set, changes=changes).step, changes))
        driven.obey(p.Pause)
        driven.train(_APART)
        run = driven.engine.run
        assert run is not None
        page = run.history.since(0)
        assert page is not None
        loss = page.loss.numpy()
        total = loss if page.total is None else page.total.numpy()
        return made, Records(loss, total, page.grad_norm.numpy(), np.zeros(len(loss)))
    finally:
        driven.close()


def _replayed(
    place: Place, on_host: bool, made: Sequence[tuple[int, dict[str, str]]], steps: int
) -> tuple[Trainer, Records]:
    """The same by hand: each change between two steps."""
    trainer = place.trainer(MODELS["vae"], on_host=on_host)
    parts: list[Records] = []
    for step, changes in made:
        parts.append(trainer.run(step - trainer.steps))
        trainer.set(changes, text=True)
    parts.append(trainer.run(steps - trainer.steps))
    return trainer, Records.joined(parts)


def _looks_the_same_later(place: Place, on_host: bool, made: Made, number: int, recorded: Records) -> bool:
    """Whether the record would be the same had this tweak come a step later."""
    step, changes = made[number]
    until = min(len(recorded), step + 3)
    _, records = _replayed(place, on_host, [*made[:number], (step + 1, changes)], until)
    return records.agrees_until(recorded[:until]) == until
