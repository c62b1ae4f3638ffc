"""The choice of the forks of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from aetui import protocol as p
from aetui.tui import texts
from aetui.tui.dialogs import Dialog
from aetui.tui.line_input import LineInput
from aetui.tui.pick import PickList
from aetui.tui.whatif.proposals import Proposal, asked

_TEXT = (
    "Each change is tried on a fork of the run, on the same batches in the same order; the run itself stays as it is."
)
_AROUND = 10
"""Cells of a line that are no label: cursor, box, sign that there is more, frame."""
_BELOW = 7
"""Rows of the dialog besides its text and its list."""


class _Steps(LineInput):
    """Takes no spaces, which choose."""

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return key != "space" and super().check_consume_key(key, character)

    async def on_key(self, event: events.Key) -> None:
        if event.key == "space":
            event.prevent_default()
            return
        await super().on_key(event)


class ChooseForks(Dialog[p.TryForks | None]):
    """What to try, and for how many steps; None if the user would rather not."""

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("space", "turn", "Choose", show=False),
    ]

    HINT = "space chooses, Enter tries them, Esc cancels"
    DEFAULT_CSS = """
    ChooseForks {
        & > .dialog { width: 96%; max-width: 110; }
        & .dialog-label { height: 1; color: $series-muted; }
        & .dialog-marked { height: 2; color: $series-muted; }
        & Input { margin-top: 0; }
    }
    """

    def __init__(
        self, found: Sequence[Proposal], described: Sequence[str], step: int, seed: int, **kwargs: Any
    ) -> None:
        self._found = list(found)
        self._seed = seed
        code = " ".join(("Not tried, since no setting does it:", *described)) if described else ""
        super().__init__(f"What-if at step {step:,}", "\n".join(filter(None, (_TEXT, code))), **kwargs)

    def controls(self) -> Sequence[Widget]:
        picks = PickList(self._lines(), columns=True)
        picks.can_focus = False
        steps = _Steps("", placeholder="as many as the loss needs to move", compact=True)
        return [
            picks, Static(classes="dialog-marked"), Static("Steps of each fork:", classes="dialog-label"), steps,
            Static(classes="dialog-problem"),
        ]  # fmt: skip

    def on_mount(self) -> None:
        self._tell_marked()

    def rows_below(self) -> int:
        return min(len(self._found), max(3, self.size.height - 14)) + _BELOW

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.query_one(PickList).styles.max_height = max(3, self.size.height - 14)
        self._tell_marked()

    def _lines(self) -> list[str]:
        return [f"[{'x' if one.chosen else ' '}] {texts.plain(one.label)}" for one in self._found]

    def _tell_marked(self) -> None:
        """The marked line in full, where the list cuts it."""
        label = texts.plain(self._found[self.query_one(PickList).cursor].label)
        cut = len(label) > min(110, self.size.width * 96 // 100) - _AROUND
        self.query_one(".dialog-marked", Static).update(Content(label if cut else ""))

    def action_move(self, by: int) -> None:
        self.query_one(PickList).action_move(by)

    def action_turn(self) -> None:
        picks = self.query_one(PickList)
        one = self._found[picks.cursor]
        self._found[picks.cursor] = one.turned()
        picks.set_lines(self._lines())
        self._say("the two controls are always there: they tell what is noise" if one.fixed else "")

    def _say(self, text: str) -> None:
        self.query_one(".dialog-problem", Static).update(Content(text))

    @on(PickList.Marked)
    def _marked(self) -> None:
        self._tell_marked()
        self._say("")

    @on(PickList.Picked)
    def _clicked(self) -> None:
        self.action_turn()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        steps, problem = _steps(event.value)
        if not problem and not any(one.chosen and one.kind in ("remedy", "edit", "random") for one in self._found):
            problem = "choose something to try; Esc cancels"
        if problem:
            self._say(problem)
        else:
            self.dismiss(asked(self._found, steps, self._seed))

    def action_cancel(self) -> None:
        self.dismiss(None)


def _steps(text: str) -> tuple[int | None, str]:
    """The number of steps that a text stands for, None for none, and what is wrong with it."""
    plain = text.strip().replace(",", "").replace("_", "")
    if not plain:
        return None, ""
    if not plain.isdecimal() or not 2 <= int(plain) < 2**31:
        return None, f"{text.strip()!r} is not allowed; it takes a whole number of at least 2, or nothing"
    return int(plain), ""
