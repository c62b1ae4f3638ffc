"""The forks of an experiment as rows of a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aetui import protocol as p
from aetui.comparison import Row
from aetui.spec import RunSpec, SpecError, changed, loads
from aetui.spec.fields import SECTIONS, fields_of, kind_of


def rows_of(state: p.TryState) -> list[Row]:
    """A row for each fork, the controls first."""
    spec = loads(state.spec)
    return [_row(fork, state, spec) for fork in state.forks]


def _row(fork: p.ForkState, state: p.TryState, spec: RunSpec) -> Row:
    steps = fork.steps.numpy().astype(np.int64)
    anew = " (from step 0)" if not fork.live else ""
    row = Row(
        name=fork.name,
        state=fork.status,
        kind="fork",
        settings=settings_of(spec, fork.settings),
        change=fork.change + anew,
        start=fork.start,
        done=fork.step,
        goal=fork.end,
        loss=fork.loss.numpy(),
        recorded_at=steps,
        measured_at=steps,
        explained=fork.explained.numpy(),
        linear_explained=state.linear,
        verdict=fork.verdict,
        told=fork.text,
        variance_ratio=fork.ratio,
        lost=fork.lost,
        dead=fork.dead,
    )
    return replace(row, source=f"of {state.run}")


def settings_of(spec: RunSpec, changes: dict[str, str]) -> dict[str, str]:
    """Every setting of a spec as text by path, with changes."""
    try:
        spec = changed(spec, changes, text=True)
    except SpecError:
        return dict(changes)
    found: dict[str, str] = {}
    for section in SECTIONS:
        part = getattr(spec, section)
        if kind := kind_of(part):
            found[f"{section}.kind"] = kind
        for name, field in fields_of(type(part)).items():
            found[f"{section}.{name}"] = field.format(getattr(part, name))
    return found
