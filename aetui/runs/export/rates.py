"""The learning rate of every step, from the spec and the tweaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aetui.runs.lineage import Tweak
from aetui.spec import RunSpec, changed
from aetui.spec import sections as s
from aetui.training.lengths import goal_of
from aetui.training.schedules import RateSchedule


def rates(spec: RunSpec, tweaks: Sequence[Tweak], totals: np.ndarray, rows: int | None) -> np.ndarray:
    """Learning rates in force, shape (steps,), float64.

    Args:
        spec: as the run began.
        totals: loss with penalties of each step, (steps,), which a schedule may follow.
        rows: training rows, for schedules that end with the run; None where they are not known.
    """
    found = np.empty(len(totals))
    schedule = RateSchedule(spec.schedule)
    at = 0
    for tweak in (*tweaks, None):
        end = len(totals) if tweak is None else min(tweak.step, len(totals))
        # Of a model of one's own nobody knows here whether it takes a single row.
        least = 2 if getattr(spec.model, "batch_norm", False) else 1
        goal = goal_of(spec.train, rows, least) if rows else spec.train.steps or None
        if isinstance(spec.schedule, s.Constant):
            found[at:end] = spec.optim.lr
        else:
            for step in range(at, end):
                found[step] = spec.optim.lr * schedule.factor(step, goal)
                if schedule.needs_loss and np.isfinite(totals[step]):
                    schedule.observe(float(totals[step]))
        at = max(at, end)
        if tweak is not None:
            new = changed(spec, tweak.changes, text=True)
            if new.schedule != spec.schedule:
                schedule.change(new.schedule, tweak.step)
            spec = new
    return found
