"""A remedy that comes too late where the run stands: go back to a sound checkpoint and apply it there."""

import math
from collections.abc import Sequence
from typing import Any

from aetui import protocol as p
from aetui.report import TOO_LATE, Remedy, Report
from aetui.spec import RunSpec, SpecError, changed
from aetui.tui import figures, form_fields, remedies
from aetui.tui.dialogs import Choice, Confirm
from aetui.tui.pick import PickList

FORM, CANCEL = "form", "cancel"
"""Answers of `LateRemedyDialog` besides the number of a checkpoint."""
_HALFWAY = 0.5
"""Share of the way from the explained variance of the collapse to that of PCA from which a checkpoint is sound."""


def late_settings(
    spec: RunSpec, report: Report, remedy: Remedy, settable: frozenset[str] | None = None
) -> dict[str, str]:
    """The settings of a remedy that comes too late, as text by path; empty where the form is the way to it.

    That is so where the run can be mended as it is, and where a setting needs a new run.
    """
    if not report.ruined or remedies.in_code(remedy, settable):
        return {}
    try:
        live, structural = form_fields.split(spec, changed(spec, remedy.set))
    except SpecError:
        return {}
    return {} if structural else live


def sound_places(places: Sequence[p.Place], report: Report) -> list[p.Place]:
    """Where on the way to the present state a remedy can still be applied, the latest first; the last is step 0."""
    behind = sorted((one for one in places if one.on_path and not one.here), key=lambda one: -one.step)
    collapsed = max(0.0, report.explained_variance.whole or 0.0)
    linear = report.explained_variance.linear
    least = collapsed + _HALFWAY * ((1.0 if linear is None else linear) - collapsed)
    later = [one for one in behind if one.step and _finite(one.loss) and (_explained(one) or 0.0) >= least > collapsed]
    starts = [one for one in behind if not one.step]
    return later[:1] + starts[:1]


def _explained(place: p.Place) -> float | None:
    """Explained variance at the very step; one measured before may be from before the collapse."""
    return place.explained if place.explained_step == place.step else None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


class LateRemedyDialog(Confirm):
    """Where to apply a remedy that comes too late: the answer is the number of a checkpoint, FORM or CANCEL."""

    def __init__(self, spec: RunSpec, report: Report, remedy: Remedy, **kwargs: Any) -> None:
        self._report = report
        self._said = [f"{TOO_LATE} {report.ruined}.", "", *(f"  {text}" for text, _ in remedies.effect(spec, remedy))]
        super().__init__("Go back and apply", self._text_with("waiting for the checkpoints"), _REST, CANCEL, **kwargs)
        self.places: tuple[p.Place, ...] | None = None
        """None until they come."""
        self._explained = False

    @property
    def waits(self) -> bool:
        return self.places is None and not self._explained

    def show(self, places: Sequence[p.Place]) -> None:
        """Offer the checkpoints that come into question."""
        self.places = tuple(places)
        found = sound_places(places, self._report)
        self._offer([Choice(str(one.checkpoint), key, _label(one)) for key, one in zip("g0", found, strict=False)])
        self._say(
            "the other settings become those of then; what came after is kept"
            if found
            else "no earlier checkpoint is stored"
        )

    def explain(self, text: str) -> None:
        """Say why there are no checkpoints to go to."""
        self._explained = True
        self._offer([])
        self._say(text)

    def _offer(self, ways: Sequence[Choice]) -> None:
        self._choices = (*ways, *_REST)
        # They may come before the dialog is drawn.
        for picks in self.query(PickList):
            picks.set_lines([f"[{one.key}] {one.label}" for one in self._choices], 0)
            self.limit_body()

    def _text_with(self, remark: str) -> str:
        return "\n".join([*self._said, "", remark])

    def _say(self, remark: str) -> None:
        self.set_text(self._text_with(remark))


_REST = (Choice(FORM, "f", "put it into the form for the run as it is"), Choice(CANCEL, "c", "cancel"))


def _label(place: p.Place) -> str:
    known = "" if place.explained is None or not place.step else f" (expl. var. {figures.explained(place.explained)})"
    return f"go back to step {figures.count(place.step)}{known} and apply it there"
