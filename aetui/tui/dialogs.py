"""Questions and texts above the workbench. Enter takes the default, Escape changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from aetui import protocol as p
from aetui.spec import Difference
from aetui.tui.line_input import LineInput
from aetui.tui.pick import PickList
from aetui.tui.texts import plain


@dataclass(frozen=True)
class Choice:
    """One answer: what the dialog returns, the letter that picks it, and its words."""

    value: str
    key: str
    label: str


Result = TypeVar("Result")


class Dialog(ModalScreen[Result], Generic[Result]):
    """A titled box with a text that scrolls by page up and page down."""

    BINDINGS: ClassVar = [
        Binding("escape", "cancel", "Cancel", show=False),
        Binding("pageup", "scroll_body(-1)", "Scroll up", show=False, priority=True),
        Binding("pagedown", "scroll_body(1)", "Scroll down", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        & > .dialog {
            width: 90%;
            max-width: 76;
            height: auto;
            border: round $border;
            border-title-color: $foreground;
            border-subtitle-color: $series-muted;
            background: $surface;
            padding: 0 1;
        }
        & .dialog-body { height: auto; scrollbar-size-vertical: 1; }
        & .dialog-body > Static { width: 1fr; height: auto; }
        & .dialog-problem { color: $series-warning; height: 1; }
        & PickList { margin-top: 1; }
        & Input { margin-top: 1; height: 1; border: none; padding: 0; text-style: underline; }
    }
    """

    HINT: ClassVar[str] = "Esc closes"

    def __init__(self, title: str, text: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._title = plain(title)
        self._text = _lines_kept(text)

    @property
    def waits(self) -> bool:
        """Whether keys make no sense yet, since what they act on is on its way."""
        return False

    def controls(self) -> Sequence[Widget]:
        """What stands below the text."""
        return ()

    def compose(self) -> ComposeResult:
        body = VerticalScroll(Static(Content(self._text)), classes="dialog-body", can_focus=False)
        box = Vertical(body, *self.controls(), classes="dialog")
        box.border_title, box.border_subtitle = Content(self._title), Content(self.HINT)
        yield box

    def set_text(self, text: str) -> None:
        """Another text in place of the first."""
        self._text = _lines_kept(text)
        for shown in self.query(".dialog-body Static").results(Static):
            shown.update(Content(self._text))

    def rows_below(self) -> int:
        """Rows that the controls and the frame need."""
        return 2

    def on_resize(self, event: events.Resize) -> None:
        self.limit_body()

    def limit_body(self) -> None:
        """Leave the controls their rows."""
        self.query_one(".dialog-body").styles.max_height = max(1, self.size.height - 2 - self.rows_below())

    def action_scroll_body(self, by: int) -> None:
        body = self.query_one(".dialog-body", VerticalScroll)
        body.scroll_relative(y=by * max(1, body.size.height - 1), animate=False, immediate=True)

    def action_cancel(self) -> None:
        self.dismiss()


def _lines_kept(text: str) -> str:
    """`text` without what a terminal would obey, its lines and their indents as they are."""
    return "\n".join(line[: len(line) - len(line.lstrip(" "))] + plain(line) for line in text.split("\n"))


class Confirm(Dialog[str]):
    """A question with a few answers, the first of which is the default; the answer is its `value`."""

    HINT = "Enter takes it, Esc cancels"

    def __init__(self, title: str, text: str, choices: Sequence[Choice], cancel: str, **kwargs: Any) -> None:
        """`cancel` is the answer that Escape gives."""
        super().__init__(title, text, **kwargs)
        self._choices = tuple(choices)
        self._cancel = cancel

    def controls(self) -> Sequence[Widget]:
        return [PickList([f"[{choice.key}] {choice.label}" for choice in self._choices])]

    def rows_below(self) -> int:
        return len(self._choices) + 4

    def on_key(self, event: events.Key) -> None:
        for choice in self._choices:
            if event.character and event.character.lower() == choice.key:
                event.stop()
                self.dismiss(choice.value)

    @on(PickList.Picked)
    def _picked(self, event: PickList.Picked) -> None:
        self.dismiss(self._choices[event.index].value)

    def action_cancel(self) -> None:
        self.dismiss(self._cancel)


def quit_while_training(stored: bool = False) -> Confirm:
    """Whether to leave although the run trains and ends with the screen: `stay` or `stop`."""
    ends = "Quitting writes a checkpoint and ends it." if stored else "Quitting ends it."
    return Confirm(
        "Quit",
        f"The run is training. {ends}",
        [Choice("stay", "s", "stay"), Choice("stop", "q", "quit")],
        cancel="stay",
        id="quit",
    )


def quit_or_detach(step: int, training: bool, screens: int, name: str, script: str = "") -> Confirm:
    """How to leave a run that can go on without this screen: `detach`, `stop` or `stay`. script: of its own loop."""
    others = screens - 1
    watched = f" {others} other screen{'s' * (others > 1)} watch{'es' * (others == 1)} it." if others > 0 else ""
    background = "keep training in the background" if training else "leave it paused in the background"
    return Confirm(
        "Quit",
        f"The run is {'training' if training else f'paused at step {step:,}'}.{watched}",
        [
            Choice("detach", "k", f"{background}; aetui attach {name}".rstrip()),
            Choice("stop", "c", f"stop {script}, as Ctrl+C does" if script else "write a checkpoint and stop"),
            Choice("stay", "s", "stay"),
        ],
        cancel="stay",
        id="quit",
    )


def offer_new_run(structural: Sequence[Difference], live: Sequence[Difference] = ()) -> Confirm:
    """What to do with changes that a run in training can't take: `new`, `live` or `edit`."""
    lines = ["These changes need a new run:", *(f"  {one}" for one in structural)]
    if live:
        lines += ["", "These can be applied to the present one:", *(f"  {one}" for one in live)]
    choices = [Choice("new", "n", "start a new run with all of them")]
    if live:
        choices.append(Choice("live", "l", "only apply the live ones"))
    choices.append(Choice("edit", "k", "keep editing"))
    return Confirm("New run", "\n".join(lines), choices, cancel="edit")


class AskSteps(Dialog[int | None]):
    """How many more steps to train; None if the user would rather not."""

    HINT = "Enter runs them, Esc cancels"

    def __init__(self, steps: int = 100, **kwargs: Any) -> None:
        super().__init__("Run N steps", "Train this many more steps and pause:", **kwargs)
        self._steps = steps

    def controls(self) -> Sequence[Widget]:
        return [LineInput(str(self._steps), compact=True), Static(classes="dialog-problem")]

    def rows_below(self) -> int:
        return 4

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self.query_one(".dialog-problem", Static).update(Content(_steps(event.value)[1]))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        steps, problem = _steps(event.value)
        if not problem:
            self.dismiss(steps)

    def action_cancel(self) -> None:
        self.dismiss(None)


def _steps(text: str) -> tuple[int, str]:
    """The number of steps that a text stands for, and what is wrong with it."""
    plain = text.strip().replace(",", "").replace("_", "")
    try:
        number = float(plain)
    except ValueError:
        number = 0.0
    if not (number >= 1 and number.is_integer() and number < 2**63):
        return 0, f"{text.strip()!r} is not allowed; it takes a whole number of at least 1"
    return int(number), ""


class ShowText(Dialog[None]):
    """A text to read: what a preset shows, or an error in full."""

    BINDINGS: ClassVar = [
        Binding("enter,q,space", "cancel", "Close", show=False),
        Binding("up,k", "scroll_body_by(-1)", "Up", show=False),
        Binding("down,j", "scroll_body_by(1)", "Down", show=False),
    ]

    HINT = "Esc or Enter closes"

    def action_scroll_body_by(self, rows: int) -> None:
        self.query_one(".dialog-body", VerticalScroll).scroll_relative(y=rows, animate=False, immediate=True)


def about(info: p.RunInfo) -> ShowText:
    """What a run shows, and which settings to try."""
    knobs = "".join(f"\n  {knob}" for knob in info.knobs)
    text = (info.text or "This run has no description.") + (f"\n\nSettings to try:{knobs}" if knobs else "")
    return ShowText(info.title or info.source, text)
