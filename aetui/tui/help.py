"""The help screen: every action with its keys, the keys of the panes, and the terms on the screen."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from aetui.tui.actions import grouped, keys_of, shown

FORM_KEYS: tuple[tuple[str, str], ...] = (
    ("up down  k j", "previous and next setting; page up, page down, home and end too"),
    ("enter  F2", "edit the value, or open the list of choices"),
    ("0-9  .", "start a new value; on a choice the digits still go to the panes"),
    ("left right", "previous and next choice, at once"),
    ("backspace", "back to the value in force"),
    ("enter, down, up", "while editing: take the value and move on"),
    ("esc", "while editing: leave the value as it was"),
)

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("explained variance", "1 - squared error / squared deviation from the mean of each feature. 0 is as good as "
     "predicting the mean, 1 is perfect."),
    ("mean floor", "Loss of the best constant output: the mean of each feature for squared error, the median for "
     "absolute error."),
    ("linear floor", "Loss of PCA with as many components as the code is wide: the best a linear autoencoder can do."),
    ("entropy floor", "The least binary cross-entropy that targets between 0 and 1 allow."),
    ("variance ratio", "Variance of an output feature over the samples / variance of the same feature in the data."),
    ("collapse", "Outputs that hardly vary, although the linear floor shows that much more was possible."),
    ("effective rank", "In how many directions the code really varies: exp of the entropy of its normalized "
     "singular values."),
    ("active units", "Code units whose mean varies from sample to sample."),
    ("dead unit", "A hidden unit whose output is the same for every sample."),
    ("update ratio", "Norm of a layer's last update / norm of its weights; around 0.001 is common."),
    ("clipped share", "Share of recent steps in which clipping changed the gradient."),
    ("verdict", "What the run's figures say as a whole, in a word: healthy, under-trained, collapsed."),
    ("finding", "A cause with its evidence. A root has to be changed; what follows from it mends with it."),
    ("confidence", "From 0 to 1: how sure it is that this cause is what has to be changed."),
    ("remedy", "A change that should help; where settings do it, a key puts them into the form."),
    ("probe", "A short training on a copy of the run, with one thing changed and the same batches. The run itself "
     "stays as it is."),
    ("fork", "A copy of the run that trains on with a change; the run itself stays as it is."),
    ("control", "A fork without a change: one as the run would go on, one with other batches and noise. How far they "
     "are apart is the noise band, within which nothing is told from noise."),
    ("checkpoint", "All that a run needs to go on from a step exactly as if it had never stopped."),
    ("branch, left", "Training that the run has gone back behind: it stays in the store, dotted on the chart, and "
     "rewind returns to it."),
    ("live", "Takes effect between two steps of the present run."),
    ("new run", "Needs a run that starts over from step 0."),
)  # fmt: skip


def binding_rows(bindings: Iterable[BindingType], keymap: Mapping[str, str]) -> list[tuple[str, str]]:
    """Keys and meaning of a pane's own BINDINGS, as the user has them."""
    rows: dict[str, tuple[list[str], str]] = {}
    for binding in Binding.make_bindings(bindings):
        keys, _ = rows.setdefault(binding.action, ([], binding.tooltip or binding.description))
        own = keymap.get(binding.id or "", binding.key).split(",")
        keys.extend(key for key in map(shown, own) if key not in keys)
    return [(" ".join(keys), meaning) for keys, meaning in rows.values()]


class HelpScreen(ModalScreen[None]):
    """Scrolls by keys; the keys that opened it close it."""

    BINDINGS: ClassVar = [
        Binding("escape,f1,q,question_mark,enter", "dismiss", "Close", show=False),
        Binding("k", "scroll('up')", "Up", show=False),
        Binding("j", "scroll('down')", "Down", show=False),
        Binding("space", "scroll('page_down')", "Page down", show=False),
    ]

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        & > VerticalScroll {
            width: 96%;
            max-width: 96;
            height: 94%;
            border: round $border;
            border-title-color: $foreground;
            border-subtitle-color: $series-muted;
            background: $surface;
            padding: 0 1;
            scrollbar-size-vertical: 1;
        }
        & Static { width: 1fr; height: auto; color: $foreground; }
        & .help-heading { text-style: bold; color: $series-data; margin-top: 1; }
    }
    """

    def __init__(
        self,
        keymap: Mapping[str, str] | None = None,
        panes: Sequence[tuple[str, Sequence[BindingType]]] = (),
        **kwargs: Any,
    ) -> None:
        """`keymap` is the user's; `panes` are titles with their own BINDINGS."""
        super().__init__(**kwargs)
        self._keymap = keymap or {}
        self._panes = panes

    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Everything that is shown: headings with rows of two columns."""
        found: list[tuple[str, list[tuple[str, str]]]] = []
        for group, actions in grouped().items():
            rows = [(" ".join(map(shown, keys_of(action, self._keymap))), action.help) for action in actions]
            found.append((group, rows))
        found.append(("In the settings form", list(FORM_KEYS)))
        for title, bindings in self._panes:
            rows = binding_rows(bindings, self._keymap)
            if rows:
                found.append((f"In the {title} pane", rows))
        found.append(("Terms", list(GLOSSARY)))
        return found

    def compose(self) -> ComposeResult:
        scroll = VerticalScroll()
        scroll.border_title, scroll.border_subtitle = "Help", "up down scroll, Esc closes"
        with scroll:
            for title, rows in self.sections():
                yield Static(Content(title), classes="help-heading")
                yield Static(self._table(rows))

    def _table(self, rows: Sequence[tuple[str, str]]) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=19)
        table.add_column(ratio=1)
        for left, right in rows:
            table.add_row(Text(left, style="bold"), Text(right))
        return table

    async def action_scroll(self, how: str) -> None:
        await self.query_one(VerticalScroll).run_action(f"scroll_{how}")
