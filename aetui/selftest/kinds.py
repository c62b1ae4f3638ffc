"""Every kind of everything, once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetui import presets
from aetui.selftest.place import Place, Result
from aetui.spec.fields import variants

_OWN = f"{Path(presets.__file__).with_name('clinic') / 'models.py'}:Attached"
"""A module as a user's own."""
_SETTINGS: dict[str, dict[str, Any]] = {
    "loss bce": {"data.scaling": "minmax", "model.output_activation": "sigmoid"},
    "loss bce-logits": {"data.scaling": "minmax"},
    "optim sgd": {"optim.momentum": 0.9},
    "optim rmsprop": {"optim.momentum": 0.5, "optim.centered": True},
    "optim adamw": {"optim.amsgrad": True},
    "schedule step": {"schedule.every": 5},
    "schedule cosine": {"schedule.steps": 60},
    "schedule one-cycle": {"schedule.steps": 60},
    "schedule warmup": {"schedule.warmup": 20},
    "schedule plateau": {"schedule.window": 2, "schedule.patience": 1, "schedule.threshold": 0.5},
    "clip per-tensor": {"clip.threshold": 0.02},
    "clip global": {"clip.threshold": 0.05},
    "clip value": {"clip.threshold": 0.002},
    "model mlp": {"model.tied": True},
    "model conv": {"model.hidden": (6, 8), "model.batch_norm": True},
    "model vae": {"model.kl_weight": 0.1, "model.kl_warmup": 20},
    "model file": {"model.path": _OWN},
}
"""What a kind needs besides its name to show what it does."""
KINDS: dict[str, dict[str, Any]] = {
    f"{section} {kind}": {f"{section}.kind": kind, **_SETTINGS.get(f"{section} {kind}", {})}
    for section in ("loss", "optim", "schedule", "clip", "model")
    for kind in variants(section)
}
"""By section and kind, what is changed in the small run."""
TOLERANCE = 0.01
"""Relative difference of a step's loss from the CPU's at most; convolutions may take TF32, of 11 bits."""
DRAWN = 0.5
"""The same for a model that draws: each device draws its own numbers."""
DTYPES: dict[str, float] = {"float32": TOLERANCE, "bfloat16": 0.1, "float16": 0.02}
"""The same by number format, of 24, 8 and 11 bits."""
_OTHERS = {"optim.eps": 1e-4}
"""An eps that is not 0 in 16 bits."""


def check(place: Place) -> Iterator[Result]:
    steps = place.effort.kinds
    apart = {kind: _apart(place, changes, steps) for kind, changes in KINDS.items()}
    allowed = {kind: DRAWN if kind == "model vae" and not place.is_host else TOLERANCE for kind in KINDS}
    far = [f"{kind} {found:.1e}" for kind, found in apart.items() if not found <= allowed[kind]]
    worst = max(apart, key=lambda kind: apart[kind] / allowed[kind])
    than = "the host path" if place.is_host else "the CPU"
    figures = f"{len(KINDS)} kinds, {steps} steps, losses finite, at most {apart[worst]:.1e} apart ({worst}), "
    figures += f"{allowed[worst]} allowed"
    yield Result.of(f"every kind as on {than}", not far, f"losses too far apart: {', '.join(far)}" if far else figures)
    yield from _dtypes(place, steps)
    yield from _scaler(place, steps)


def _apart(place: Place, changes: dict[str, Any], steps: int) -> float:
    """Relative difference at most between the losses of the device path and a CPU; infinite where one is not finite.

    Losses and not weights: a bias before a normalization has no slope but rounding, and Adam takes whole steps by it.
    A schedule that follows the loss hears of it later on the device path, so there it is that path on the CPU.
    """
    trainer = place.trainer(changes, on_host=False)
    reference = place.reference(changes, on_host=not trainer.schedule.needs_loss)
    try:
        found, wanted = trainer.run(steps).total, reference.run(steps).total
    except FloatingPointError:
        return math.inf
    return float(np.max(np.abs(found - wanted) / np.abs(wanted)))


def _dtypes(place: Place, steps: int) -> Iterator[Result]:
    apart = {dtype: _apart(place, {**_OTHERS, "train.dtype": dtype}, steps) for dtype in DTYPES}
    figures = ", ".join(f"{dtype} {found:.1e} ({DTYPES[dtype]} allowed)" for dtype, found in apart.items())
    passed = all(found <= DTYPES[dtype] for dtype, found in apart.items())
    yield Result.of("number formats", passed, f"{steps} steps, losses apart: {figures}")


def _scaler(place: Place, steps: int) -> Iterator[Result]:
    """A loop by hand in float16 under autocast, with a scaler, watched and not; one overflow that the scaler skips."""
    from aetui.selftest.scaled import train

    plain, losses = train(place, steps, watched=False)
    watched, _ = train(place, steps, watched=True)
    same = torch.equal(plain, watched)
    finite = all(map(math.isfinite, losses)) and losses[-1] < losses[0]
    figures = f"{steps} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}, one overflow skipped; watched and unwatched "
    yield Result.of("float16 with a scaler", same and finite, figures + ("equal" if same else "differ"))
