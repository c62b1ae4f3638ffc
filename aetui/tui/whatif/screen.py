"""The screen of an experiment: the forks' table and chart while they train, and what to do with the best."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding
from textual.screen import ModalScreen

from aetui import protocol as p
from aetui.tui import figures, texts
from aetui.tui.compare.screen import SidesScreen, keys_text
from aetui.tui.compare.sides import Sides
from aetui.tui.dialogs import Choice, Confirm, ShowText
from aetui.tui.whatif.rows import rows_of

ADOPT, WRITE, NOTHING = "adopt", "write", "nothing"


def spec_file(fork: str) -> str:
    """The file that the spec of a fork is written to."""
    return re.sub(r"[^\w.+-]", "-", fork) + ".toml"


class WhatIfScreen(SidesScreen, ModalScreen[None]):
    """Follows an experiment; the keys of the workbench that are plain letters do not reach the run meanwhile."""

    DEFAULT_CSS = """
    WhatIfScreen { background: $background; layout: vertical; align: left top; }
    """
    BINDINGS: ClassVar = [
        Binding("a", "adopt", "adopt", tooltip="go on with the change of the marked fork, or write its spec"),
        Binding("c", "cancel", "cancel", tooltip="end the experiment; what it has shown stays"),
        Binding("n", "again", "new", tooltip="choose another experiment"),
        Binding("f1,question_mark", "help", "help", show=False, tooltip="these keys"),
        Binding("escape,q", "leave", "leave", key_display="esc", tooltip="take the cursor away, then leave"),
    ]

    def __init__(self, ask: Callable[[str, str], None]) -> None:
        """ask: does what a key asks for, ADOPT or WRITE with the name of a fork, `cancel` or `again`."""
        sides = Sides()
        sides.curve = "explained variance"
        super().__init__(sides)
        self._ask = ask
        self.state: p.TryState | None = None
        self._said = ""
        self._role = "text"

    def take(self, state: p.TryState) -> None:
        """Take the experiment as it is now; once it is over, its winner is marked."""
        before, self.state = self.state, state
        if before is None or (before.run, before.spec, before.step) != (state.run, state.spec, state.step):
            self._start_over()
        ended = before is not None and before.state == "running" and state.state != "running"
        if ended or self._role == "text":
            self._said = ""
        if ended and state.winner:
            self.sides.mark_name(state.winner)
        self.sides.changes += 1
        self.chart.forked_at = None if not state.step or self._first(state) == state.step else state.step
        self.follow(rows_of(state))

    def _start_over(self) -> None:
        self.sides.sides.clear()
        self.sides.pinned.clear()
        self._said = ""
        self.sides.filter("")
        self.sides.go(None)

    @staticmethod
    def _first(state: p.TryState) -> int:
        return min((fork.start for fork in state.forks), default=0)

    def tell(self, text: str, severity: str) -> None:
        """Show what the workbench would say in its notice."""
        self._said, self._role = texts.plain(text), "text" if severity == "note" else severity
        self.sides.changes += 1
        self.show()

    def keys(self) -> Sequence[Any]:
        return [*WhatIfScreen.BINDINGS, *SidesScreen.BINDINGS]

    def head_lines(self) -> list[list[tuple[str, str]]]:
        state = self.state
        if state is None:
            return [[(" What-if  ", "data"), ("the forks are being made", "muted")], []]
        judged = f", judged by its {state.symptom}" if state.symptom else ""
        span = f"compared at steps {figures.count(state.half)} and {figures.count(state.full)}{judged}"
        where = span if self.sides.at is None else f"cursor at step {figures.count(self.sides.at)}"
        head = [(" What-if  ", "data"), (f"{state.run} at step {figures.count(state.step)}, {where}", "text")]
        warned = self.warning()
        head += [(f"  {warned}", "warning")] if warned else []
        word = {"running": "TRYING", "done": "DONE", "cancelled": "CANCELLED", "failed": "FAILED"}[state.state]
        role = {"running": "data", "done": "good" if state.winner else "text"}.get(state.state, "warning")
        said = (self._said, self._role) if self._said else (texts.plain(state.text), "text")
        return [head, [(f" {word}  ", role), said]]

    # --- actions --------------------------------------------------------------------------------

    def _marked_fork(self) -> p.ForkState | None:
        marked = self.sides.marked
        forks = self.state.forks if self.state is not None else ()
        return next((fork for fork in forks if marked is not None and fork.name == marked.row.name), None)

    def action_adopt(self) -> None:
        fork, state = self._marked_fork(), self.state
        if fork is None or state is None:
            return
        if fork.control:
            self.tell(f"{fork.name} changes nothing, so there is nothing to adopt", "warning")
            return
        verdict = f" ({fork.verdict})" if fork.verdict else f" ({fork.status}, without a verdict)"
        if fork.live and fork.start:
            text = "The run goes on from where the fork left it, with its change; undo takes it back."
        elif fork.live:
            text = "The run goes back to step 0 and trains from there with the change; what came after is kept."
        else:
            text = "It starts over: a new run with its spec. The present one stays in the store."
        choices = (
            Choice(ADOPT, "a", f"adopt {fork.name}"),
            Choice(WRITE, "w", f"write its spec to {spec_file(fork.name)}"),
            Choice(NOTHING, "c", "cancel"),
        )

        def chosen(answer: str | None) -> None:
            if answer in (ADOPT, WRITE):
                self._ask(answer, fork.name)

        question = Confirm(f"{fork.name}{verdict}", f"{fork.change}\n\n{text}", choices, NOTHING)
        self.app.push_screen(question, chosen)

    def action_cancel(self) -> None:
        self._ask("cancel", "")

    def action_again(self) -> None:
        self._ask("again", "")

    def action_help(self) -> None:
        self.app.push_screen(ShowText("Keys", keys_text(self.keys())))

    def action_leave(self) -> None:
        if self.sides.at is not None:
            self.sides.go(None)
            self.show()
        else:
            self.dismiss()
