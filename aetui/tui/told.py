"""What the screen makes of the settings that a run tells."""

from __future__ import annotations

from aetui import protocol as p
from aetui.spec import RunSpec, SpecError, changed, loads
from aetui.tui.form_fields import Row


def spec_of(info: p.RunInfo) -> RunSpec:
    """The spec of a run; of one that has none, the standard one with what it tells of its optimizer."""
    if info.spec or not info.settings:
        return loads(info.spec)
    told = {one.path: one.value for one in info.settings}
    spec = RunSpec()
    kinds = {"optim.kind": "sgd" if "optim.momentum" in told else "adam"}
    for path, value in (kinds | told).items():
        try:
            spec = changed(spec, {path: value}, text=True)
        except SpecError:
            continue  # one that no spec has
    return spec


def is_told(info: p.RunInfo | None) -> bool:
    """Whether a run has no spec, so that its settings are what it tells."""
    return info is not None and not info.spec and bool(info.settings)


def settable(info: p.RunInfo | None) -> frozenset[str] | None:
    """The settings that a run without a spec has, all others being in its own code; None where a spec has them all."""
    if info is None or not is_told(info):
        return None
    return frozenset(one.path for one in info.settings) | {"clip.kind", "clip.threshold"}


def shown(rows: list[Row], info: p.RunInfo | None) -> list[Row]:
    """The rows of a form that are of the run: all but for one without a spec, which has what it tells."""
    if info is None or not is_told(info):
        return rows
    told = {one.path for one in info.settings}
    # Clipping that is about to be chosen brings a threshold.
    kept = [row for row in rows if not row.heading and (row.path in told or row.section == "clip")]
    sections = {row.section for row in kept}
    return [row for row in rows if row in kept or (row.heading and row.section in sections)]
