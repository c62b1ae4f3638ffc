"""The hyperparameters as a form, generated from the spec: one scrolling widget, one editor at a time."""

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.events import DescendantFocus
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from aetui import protocol as p
from aetui.report import option
from aetui.spec import Difference, RunSpec, SpecError, changed, differences
from aetui.tui import form_fields as fields
from aetui.tui import told
from aetui.tui.form_editors import ChoiceList, TextEditor
from aetui.tui.form_rows import FormRows
from aetui.tui.model import RunModel
from aetui.tui.told_settings import ToldSettings

Editor = TextEditor | ChoiceList


class SpecForm(Widget):
    """The settings of a run: `applied` are in force, `draft` is what the user has made of them.

    A text that is refused never reaches the draft; the help lines say why while it is typed.
    """

    TITLE: ClassVar[str] = "Settings"
    GAUGES: ClassVar[tuple[str, ...]] = ()
    TOPICS: ClassVar[tuple[str, ...]] = ("run",)

    DEFAULT_CSS = """
    SpecForm {
        layout: vertical;
        layers: base editor;
        border: round $border-blurred;
        border-title-color: $foreground;
        border-subtitle-color: $series-warning;
        padding: 0 1;
        &:focus-within { border: round $border; }
        & > FormRows { height: 1fr; }
        & > #form-help {
            height: 4;
            color: $series-muted;
            &.-problem { color: $series-warning; text-style: bold; }
        }
    }
    """

    class ApplyRequested(Message):
        """The user asked, with the mouse, to apply the draft."""

    def __init__(self, spec: RunSpec | None = None, apply_key: str = "^s", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.applied = spec or RunSpec()
        self.draft = self.applied
        self.apply_key = apply_key
        """How the key that applies the form is shown."""
        self.border_title = self.TITLE
        self._rows = FormRows()
        self._help = Static(id="form-help", markup=False)
        self._editor: Editor | None = None
        self._kinds: dict[str, str] = {}
        self._problem = ""
        self._shown: tuple[object, ...] = ()
        self._info: p.RunInfo | None = None
        self._told = ToldSettings()
        """Those that the run tells and no spec has."""
        self._features = 0
        """Of the run's data, 0 where they are not loaded."""

    # --- what others ask and tell ----------------------------------------------------------

    @property
    def editing(self) -> bool:
        """Whether a row's editor is open."""
        return self._editor is not None

    @property
    def selected(self) -> str:
        """Path of the row in focus."""
        return self._rows.current.path

    def load(self, spec: RunSpec) -> None:
        """Show another run's settings; edits of the former are dropped."""
        self.cancel()
        self.applied = self.draft = spec
        self._told.drop()
        self._refresh_rows()

    def set_applied(self, spec: RunSpec) -> None:
        """Take note of the settings now in force; edits that they do not touch stay."""
        self.draft = fields.carried_over(self.applied, self.draft, spec)
        self.applied = spec
        self._refresh_rows()

    def follow(self, model: RunModel) -> None:
        """Keep to the run's settings, drawn or not; another run starts with its own."""
        state = (id(model), model.loads, model.versions["run"])
        if state == self._shown:
            return
        same_run, self._shown = state[:2] == self._shown[:2], state
        self._info, self._features = model.info, model.info.features if model.info else 0
        known = [row.path for row in told.shown(fields.rows_of(model.spec), model.info)]
        told_ones = model.info.settings if model.info is not None and told.is_told(model.info) else ()
        self._told.follow(told_ones, [*known, "clip.threshold"])
        if same_run:
            self.set_applied(model.spec)
        else:
            self.load(model.spec)

    def show(self, model: RunModel) -> None:
        """As a pane does; the rows draw themselves."""
        self.follow(model)

    @property
    def _data_width(self) -> int:
        """Features of the data of the draft, 0 where those are not the run's."""
        return self._features if self.draft.data == self.applied.data else 0

    def pending(self) -> list[Difference]:
        """The settings that differ between what is in force and the draft."""
        return [*differences(self.applied, self.draft), *self._told.pending()]

    def live_and_structural(self) -> tuple[dict[str, str], list[Difference]]:
        """The pending changes: those to set between two steps, kinds first, and those that need a new run."""
        live, structural = fields.split(self.applied, self.draft)
        return live | self._told.edits, structural

    def reset(self) -> None:
        """Drop every pending change."""
        self.cancel()
        self._told.drop()
        self._take(self.applied)

    def set_value(self, path: str, text: str) -> None:
        """Put a value, as text, into the draft.

        Raises:
            SpecError: the setting does not exist or refuses the text.
        """
        self.cancel()
        self._take(self._changed(path, text))

    def put(self, values: Mapping[str, Any]) -> list[Difference]:
        """Put values into the draft, all or none; those that it changes against what is in force.

        Raises:
            SpecError: a setting does not exist or refuses its value.
        """
        draft = changed(self.draft, values)
        touched = {*values, *(one.path for one in differences(self.draft, draft))}
        found = [one for one in differences(self.applied, draft) if one.path in touched]
        self.cancel()
        self._take(draft)
        if found:
            self.select(found[0].path)
        return found

    def copied(self) -> str:
        """The setting in focus with its value in the draft, as an option of the command line."""
        row = self._rows.current
        return option(row.path, row.value) if row.path and not row.heading else ""

    def select(self, path: str) -> None:
        """Move to the row of a setting."""
        self._rows.select(path)

    def commit(self) -> bool:
        """Take over what is being typed; False, with the editor left open, where it is refused."""
        return self._finish()

    def cancel(self) -> None:
        """Close the editor, the row as it was."""
        if self._kinds:
            self._kinds.clear()
            self._refresh_rows()
        self._close()

    def focus(self, scroll_visible: bool = True) -> "SpecForm":
        self._rows.focus(scroll_visible)
        return self

    # --- drawing ---------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self._rows
        yield self._help

    def on_mount(self) -> None:
        self._refresh_rows()

    def on_resize(self) -> None:
        width, height = self.content_size
        lines = 4 if width < 44 else 3 if width < 70 else 2
        self._help.styles.height = max(1, min(lines, height // 4))
        self._update_help()
        self.call_after_refresh(self._place_editor)

    def _refresh_rows(self) -> None:
        if not self._rows.is_attached:
            return
        pending = {one.path for one in self.pending()} | {f"{section}.kind" for section in self._kinds}
        self._rows.show_rows(self.rows, pending)
        if self._editor is not None and self._editor.path != self.selected:
            self._close()
        count = len(self.pending())
        self.border_subtitle = f"{count} change{'s' if count > 1 else ''}, {self.apply_key} applies" if count else ""
        self._update_help()

    def _update_help(self, instead: str = "") -> None:
        width = self.content_size.width
        row = self._rows.current
        said = self._problem or instead
        # Of a value that is being typed `instead` says it.
        remark = "" if self._editor is not None else fields.remark(self.draft, row.path, self._data_width)
        text = f"{row.path}: {said}" if said else fields.about(row, self._in_force, remark)
        height = self._help.styles.height
        lines = fields.fitted(text, width, int(height.value) if height is not None else 4) if width else []
        self._help.set_class(bool(self._problem), "-problem")
        self._help.update(Content("\n".join(lines)), layout=False)

    @property
    def rows(self) -> list[fields.Row]:
        """Headings and settings, with the values of the draft."""
        return self._told.added(told.shown(fields.rows_of(self.draft, self._kinds), self._info))

    @property
    def _in_force(self) -> Mapping[str, str]:
        """Every value in force as text, by path."""
        return {**fields.texts_of(self.applied), **self._told.texts}

    def _place_editor(self) -> None:
        if self._editor is not None:
            self._editor.place(self._rows.value_region(), self.content_size.height)

    # --- editing ---------------------------------------------------------------------------

    def edit(self, text: str | None = None) -> None:
        """Open the editor on the row in focus, with `text` or with the present value selected."""
        row = self._rows.current
        if row.heading or self._editor is not None:
            return
        if row.choices:
            self._editor = ChoiceList(row.path, row.choices, row.value)
        else:
            self._editor = TextEditor(row.path, row.value, text)
        self._problem = ""
        self.mount(self._editor)
        self._place_editor()
        self.screen.set_focus(self._editor, scroll_visible=False)
        self._rows.refresh()

    def cycle(self, by: int) -> None:
        """Take the next or the previous choice of the row in focus at once."""
        row = self._rows.current
        if row.choices:
            self._accept(row.path, row.choices[(row.choices.index(row.value) + by) % len(row.choices)])

    def restore(self) -> None:
        """Give the row in focus the value in force."""
        row = self._rows.current
        in_force = self._in_force.get(row.path)
        if in_force is not None and in_force != row.value:
            self._accept(row.path, in_force)

    def relay(self, key: str, character: str | None) -> None:
        """Hand a key to the editor that reached the rows while it was being opened."""
        if self._editor is not None:
            self._editor.take_key(key, character)

    def _accept(self, path: str, text: str) -> bool:
        """`text` into the draft as the value of a setting; False where it is refused."""
        section, _, name = path.partition(".")
        needs = fields.unfilled(self.draft, section, text) if name == "kind" else ""
        if needs:
            self._close()
            self._kinds[section] = text
            self._refresh_rows()
            self.select(needs)
            self.edit()
            return True
        try:
            draft = self._changed(path, text)
        except SpecError as error:
            self._say(fields.sentence(error, path))
            return False
        self._kinds.clear()
        self._close()
        self._take(draft)
        return True

    def _changed(self, path: str, text: str, *, taken: bool = True) -> RunSpec:
        """The draft with a value. taken: also where no spec has the setting, which is then among the edits."""
        if path in self._told:
            (self._told.take if taken else self._told.check)(path, text)
            return self.draft
        kinds = {f"{section}.kind": kind for section, kind in self._kinds.items()}
        return changed(self.draft, {**kinds, path: text}, text=True)

    def _take(self, draft: RunSpec) -> None:
        self.draft = draft
        self._problem = ""
        self._refresh_rows()

    def _say(self, problem: str) -> None:
        self._problem = problem
        self._update_help()

    def _close(self) -> None:
        editor, self._editor = self._editor, None
        self._problem = ""
        if editor is not None:
            if self.screen.focused is editor:
                self.screen.set_focus(self._rows, scroll_visible=False)
            editor.remove()
            self._rows.refresh()
            self._update_help()

    # --- messages --------------------------------------------------------------------------

    @on(FormRows.Moved)
    def _moved(self) -> None:
        if self._editor is not None and self._editor.path != self.selected:
            self._leave()
        else:
            self._problem = ""
            self._update_help()

    @on(TextEditor.Changed)
    def _typed(self, event: TextEditor.Changed) -> None:
        event.stop()
        editor = self._editor
        if not isinstance(editor, TextEditor) or event.input is not editor:
            return
        problem = remark = ""
        try:
            if event.value != editor.original:
                draft = self._changed(editor.path, event.value, taken=False)
                remark = fields.remark(draft, editor.path, self._data_width)
        except SpecError as error:
            problem = fields.sentence(error, editor.path)
        editor.set_class(bool(problem), "-refused")
        if problem != self._problem:
            self._say(problem)
        if not problem and editor.path == "model.code":
            self._update_help(remark)

    @on(TextEditor.Done)
    def _done(self, event: TextEditor.Done) -> None:
        event.stop()
        if event.editor is self._editor and self._finish() and event.move and self._editor is None:
            self._rows.move(event.move)

    @on(TextEditor.Left)
    def _left(self, event: TextEditor.Left) -> None:
        event.stop()
        if event.editor is self._editor:
            self._leave()

    def _finish(self) -> bool:
        """Take over what was typed; False where it is refused."""
        editor = self._editor
        if not isinstance(editor, TextEditor) or (editor.value == editor.original and not self._kinds):
            self._close()
            return True
        return self._accept(editor.path, editor.value)

    def _leave(self) -> None:
        """The focus went elsewhere: what is valid is taken, what is not is dropped and the reason shown."""
        if not self._finish():
            reason = self._problem
            self.cancel()
            self._say(f"not taken: {reason}")

    @on(TextEditor.Canceled)
    @on(ChoiceList.Canceled)
    def _canceled(self, event: TextEditor.Canceled | ChoiceList.Canceled) -> None:
        event.stop()
        if event.editor is self._editor:
            self.cancel()

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        event.stop()
        editor = self._editor
        if isinstance(editor, ChoiceList) and event.list is editor:
            text = editor.choices[event.index]
            self._close()
            if self._accept(editor.path, text) and self._editor is None:
                self._rows.move(1)

    @on(ChoiceList.Marked)
    def _marked(self, event: ChoiceList.Marked) -> None:
        event.stop()
        editor = self._editor
        if isinstance(editor, ChoiceList) and event.list is editor and editor.path.endswith(".kind"):
            kind = editor.choices[event.index]
            self._update_help(f"{kind}: {fields.kind_help(editor.path.partition('.')[0], kind)}")

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._rows.refresh()

    def on_click(self) -> None:
        """A click on the frame, where the pending changes are counted, asks to apply them."""
        if self.pending() and not self.editing:
            self.post_message(self.ApplyRequested())
