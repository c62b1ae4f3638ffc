"""The choice of gradient clipping: its kind and its threshold, beside the gradient norms that it would meet."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from textual import on
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from aetui.spec import SpecError, changed
from aetui.spec.fields import kind_of, variants
from aetui.tui import figures
from aetui.tui.dialogs import Dialog
from aetui.tui.form_fields import kind_help, sentence
from aetui.tui.line_input import LineInput
from aetui.tui.model import RunModel
from aetui.tui.pick import PickList
from aetui.tui.texts import pad

_OFF = "none"
_RECENT = 1000
"""Steps whose norms are summed up."""


class ChooseClipping(Dialog[dict[str, str] | None]):
    """A kind and a threshold; the settings to put in force, None to leave all as it is.

    Typing goes to the threshold, up and down to the kinds.
    """

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", "Previous kind", show=False),
        Binding("down", "move(1)", "Next kind", show=False),
    ]
    HINT = "Up, Down kind; Enter applies, Esc cancels"
    # The sentence on a threshold that is refused takes two lines.
    DEFAULT_CSS = "ChooseClipping .dialog-problem { height: 2; }"

    def __init__(self, model: RunModel, **kwargs: Any) -> None:
        super().__init__("Gradient clipping", _norms(model), id="clipping", **kwargs)
        self._spec = model.spec
        self._kinds = list(variants("clip"))
        self._present = kind_of(model.spec.clip)
        in_force = getattr(model.spec.clip, "threshold", None)
        self._threshold = "1" if in_force is None else f"{in_force:g}"

    def controls(self) -> Sequence[Widget]:
        width = max(map(len, self._kinds)) + 2
        lines = [pad(kind, width) + kind_help("clip", kind) for kind in self._kinds]
        kinds = PickList(lines, self._kinds.index(self._present), columns=True)
        kinds.can_focus = False
        threshold = LineInput(self._threshold, compact=True)
        return [kinds, Static("Threshold:", classes="dialog-label"), threshold, Static(classes="dialog-problem")]

    def rows_below(self) -> int:
        return len(self._kinds) + 8

    @property
    def _kind(self) -> str:
        return self._kinds[self.query_one(PickList).cursor]

    def _changes(self) -> dict[str, str]:
        threshold = {} if self._kind == _OFF else {"clip.threshold": self.query_one(Input).value.strip()}
        return {"clip.kind": self._kind, **threshold}

    def _problem(self) -> str:
        try:
            changed(self._spec, self._changes(), text=True)
        except SpecError as error:
            return sentence(error, "clip.threshold")
        return ""

    def _check(self) -> str:
        problem = self._problem()
        self.query_one(".dialog-problem", Static).update(Content(problem))
        return problem

    def action_move(self, by: int) -> None:
        self.query_one(PickList).action_move(by)

    @on(PickList.Marked)
    def _marked(self) -> None:
        self._check()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        kinds = self.query_one(PickList)
        if event.value != self._threshold and self._kind == _OFF:
            # Whoever gives a threshold wants to clip; by the joint norm, as most do.
            kinds.mark(self._kinds.index("global"))
        self._check()

    @on(Input.Submitted)
    @on(PickList.Picked)
    def _taken(self) -> None:
        if not self._check():
            self.dismiss(self._changes())

    def action_cancel(self) -> None:
        self.dismiss(None)


def _norms(model: RunModel) -> str:
    """The gradient norms of late, and how much of them is clipped now."""
    norms = model.grad_norm
    if not len(norms):
        return "No step has been taken, so no gradient norm is known yet."
    last = f"Joint gradient norm {figures.number(norms.last())} at step {figures.count(len(norms))}"
    steps = min(_RECENT, len(norms))
    recent = norms.columns(len(norms) - steps, len(norms), steps).mean
    recent = recent[np.isfinite(recent)]
    if len(recent) < 2:
        return f"{last}."
    low, middle, high = np.quantile(recent, (0.05, 0.5, 0.95))
    spread = f"{figures.number(float(low))} to {figures.number(float(high))}, median {figures.number(float(middle))}"
    text = f"{last}; nine in ten of the last {figures.count(steps)} steps lie at {spread}."
    share = model.status.clipped_share
    return text if share is None else f"{text} Clipped now: {figures.share(share)} of the last 100 steps."
