"""What a caller's loss is seen to do with what forward returns, before the first step."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.isolate import Randomness
from aetui.diagnosis.outputs import Places, take_apart
from aetui.diagnosis.paths import items_of
from aetui.diagnosis.subject import Bound, Subject
from aetui.diagnosis.taken import Look, look, path_to, statement, whole
from aetui.diagnosis.touched import DATA, Touch, tensors_in
from aetui.models import returned

_CASTS = ("long", "int", "short", "to", "type", "round", "floor", "embedding", "one_hot", "index_select", "gather")
_MOST_INDICES = 64
"""Columns of whole numbers that are tried as indices."""


def seen(subject: Subject) -> Subject:
    """The subject with what one watched batch of its training shows."""
    rows = min(subject.rows, subject.batch_size or subject.rows)
    x, target = subject.inputs[:rows].clone(), subject.targets[:rows]
    same = subject.targets is subject.inputs
    target = x if same else target
    copy = subject.copy().train()
    bound = Bound(subject, copy)
    own = not subject.loss.named

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        output = take_apart(model(batch[0]), batch[1].shape)
        total = bound.loss(output, batch[1])
        for penalty in bound.penalties.values():
            total = total + penalty(model, output, 0)
        return total

    try:
        with warnings.catch_warnings(), Randomness(subject.seed, subject.device).own(), torch.enable_grad():
            warnings.simplefilter("ignore")
            found = look(copy, (x, target), step)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError):
        return subject
    names = {id(x): "the data"}
    if not same:
        names[id(target)] = "the targets"
    places = _places(found, target) if own and subject.takes_raw else None
    parted = own and len(set(found.parts.plan)) > 1 and not subject.penalties
    return replace(
        subject,
        places=places,
        plan=found.parts.plan if parted else (),
        broadcasts=None if found.main is None or not own else found.main.broadcasts,
        exchanged=found.exchanged,
        masked=own and found.main is not None and whole(found.touch, found.main)[2] is not None,
        indices=index_columns(subject, found.touch),
        taken=statement(found, names),
    )


def _places(found: Look, target: Tensor) -> Places:
    """Where the loss takes its reconstruction and its KL from."""
    raw = found.raw
    made = None if found.main is None else path_to(found.touch, raw, found.main.made)
    if found.gaussian is not None:
        mean, spread = (path_to(found.touch, raw, one) for one in (found.gaussian.mean, found.gaussian.spread))
        if mean is not None and spread is not None:
            return Places(made, mean, spread, found.gaussian.form)
    return Places(made, *_by_name(raw, target))


def _by_name(raw: Any, target: Tensor) -> tuple[Any, Any]:
    """Mean and log-variance that forward itself calls so."""
    if isinstance(raw, list | tuple) and not hasattr(raw, "_asdict"):
        return None, None
    apart = returned.take_apart(raw, len(target), target[0].numel())
    if apart is None or apart.mean is None:
        return None, None
    places = {id(one): path for path, one in items_of(raw)}
    return places.get(id(apart.mean)), places.get(id(apart.log_variance))


def index_columns(subject: Subject, touch: Touch) -> Tensor | None:
    """Which values of a row forward uses as whole numbers only; None where there are none.

    A forward that cuts them off, as `.long()` does, gives the same output for values a quarter higher.
    """
    casts = any(record.name in _CASTS and any(touch.depends(one) == DATA for one in tensors_in(record.args))
                for record in touch.records.values())  # fmt: skip
    x = subject.inputs
    if not casts or x.ndim < 2:
        return None
    whole = (x == x.round()).all(0)
    places = whole.flatten().nonzero().flatten().tolist()
    if not places or len(places) > _MOST_INDICES:
        return None
    rows = x[: min(len(x), 32)]
    copy = subject.copy().eval()
    found = torch.zeros(x[0].numel(), dtype=torch.bool, device=x.device)

    def output(given: Tensor) -> list[Tensor]:
        with Randomness(subject.seed, subject.device).own(), torch.no_grad():
            return list(tensors_in(copy(given)))

    try:
        before = output(rows.clone())
        for place in places:
            moved = rows.clone()
            moved.view(len(moved), -1)[:, place] += 0.25
            after = output(moved)
            found[place] = len(after) == len(before) and all(map(torch.equal, before, after))
        # A column that forward does not use at all is none.
        for place in found.nonzero().flatten().tolist():
            mixed = rows.clone()
            flat = mixed.view(len(mixed), -1)
            flat[:, place] = flat[:, place].flip(0)
            found[place] = not all(map(torch.equal, before, output(mixed)))
    except (RuntimeError, ValueError, TypeError, LookupError):
        return None
    return found.reshape(x.shape[1:]) if bool(found.any()) else None
