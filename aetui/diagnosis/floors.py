"""The losses that need no training, for a subject's loss where it has a name."""

from __future__ import annotations

from aetui.diagnosis.subject import Subject
from aetui.gauges.floors import floors
from aetui.training.losses import LOSSES, Objective

SECTIONS: dict[str, type] = {kind.name: section for section, kind in LOSSES.items()}
"""A spec's loss for each name of `aetui.diagnosis.losses` that has one."""


def floors_of(subject: Subject) -> dict[str, float | None]:
    """Mean, linear and entropy floor; empty where the loss is the caller's own."""
    objective = subject.objective
    if objective is None:
        section = SECTIONS.get(subject.loss.kind)
        if section is None or not subject.loss.named:
            return {}
        objective = Objective(section(reduction="sum" if subject.loss.summed else "mean"))
    found = floors(subject.targets.flatten(1), objective, subject.code_width or 1)
    linear = found.linear if subject.code_width is not None else None
    return {"mean": found.mean, "linear": linear, "entropy": found.entropy}
