from collections import Counter
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.command import CommandPalette
from textual.widgets import Input

from aetui.tui.actions import (
    ACTIONS,
    ActionProvider,
    bindings,
    docs_table,
    footer_items,
    key_text,
    keymap_for,
    keys_of,
    shown,
)
from aetui.tui.themes import variable_defaults

EVERYWHERE = {
    "f1": "help", "f4": "examine", "f5": "run-pause", "f6": "step", "f7": "lr-down", "f8": "lr-up", "f9": "clipping",
    "ctrl+s": "apply-form", "ctrl+p": "command-palette", "ctrl+q": "quit", "ctrl+z": "undo", "ctrl+y": "redo",
    "f3": "rewind", "ctrl+d": "detach", "f2": "what-if", "ctrl+t": "copy",
}  # fmt: skip
PLAIN = {
    "space": "run-pause", "s": "step", "minus": "lr-down", "plus": "lr-up", "equals_sign": "lr-up", "c": "clipping",
    "n": "run-steps", "1": "pane-loss", "2": "pane-variance", "3": "pane-settings", "4": "pane-code",
    "5": "pane-pairs", "6": "pane-layers", "7": "pane-journal", "8": "pane-why", "y": "pane-why", "x": "examine",
    "z": "maximize", "question_mark": "help", "q": "quit", "u": "undo", "U": "redo", "b": "rewind", "d": "detach",
    "F": "what-if", "i": "next-pane", "I": "previous-pane",
}  # fmt: skip


class ActionApp(App[None]):
    """Records which action ran; the methods come from the registry."""

    BINDINGS: ClassVar = bindings()
    COMMANDS: ClassVar = {ActionProvider}

    def __init__(self, field: bool = False) -> None:
        super().__init__()
        self.field = field
        self.ran: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def compose(self) -> ComposeResult:
        if self.field:
            yield Input()

    def action_show_pane(self, name: str) -> None:
        self.ran.append(f"pane-{name}")


def _recording(action_id: str):
    def run(self: ActionApp) -> None:
        self.ran.append(action_id)

    return run


for _action in ACTIONS:
    if "(" not in _action.command and _action.id != "command-palette":
        setattr(ActionApp, f"action_{_action.command}", _recording(_action.id))


def test_ids_and_keys_belong_to_one_action() -> None:
    ids = Counter(action.id for action in ACTIONS)
    keys = Counter(key for action in ACTIONS for key in action.keys + action.plain_keys)
    assert max(ids.values()) == 1
    assert max(keys.values()) == 1
    assert all(action.label and action.help.endswith(".") for action in ACTIONS)


async def test_every_key_runs_its_action_while_no_field_has_the_focus() -> None:
    app = ActionApp()
    async with app.run_test() as pilot:
        for key, action in {**EVERYWHERE, **PLAIN}.items():
            if action != "command-palette":
                app.ran.clear()
                await pilot.press(key)
                assert app.ran == [action], key


async def test_in_a_field_function_keys_act_and_plain_keys_type() -> None:
    app = ActionApp(field=True)
    async with app.run_test() as pilot:
        field = app.query_one(Input)
        field.focus()
        for key, action in EVERYWHERE.items():
            if action != "command-palette":
                app.ran.clear()
                await pilot.press(key)
                assert app.ran == [action], key
        app.ran.clear()
        await pilot.press(*PLAIN)
        assert app.ran == []
        assert field.value == " s-+=cn12345678yxz?quUbdFiI"


async def test_every_action_can_be_given_another_key_that_works_in_a_field() -> None:
    app = ActionApp(field=True)
    async with app.run_test() as pilot:
        app.query_one(Input).focus()
        for action in ACTIONS:
            if action.id == "command-palette":
                continue
            app.ran.clear()
            app.set_keymap(keymap_for({action.id: "ctrl+l"}))
            await pilot.press("ctrl+l")
            assert app.ran == [action.id]
            if action.keys and not action.id.startswith("focus"):
                await pilot.press(action.keys[0])
                assert app.ran == [action.id]


async def test_the_palette_lists_every_action_and_runs_the_one_chosen() -> None:
    app = ActionApp()
    async with app.run_test(size=(100, 60)) as pilot:
        await pilot.press("ctrl+p")
        assert isinstance(app.screen, CommandPalette)
        provider = ActionProvider(app.screen)
        labels = [str(hit.display) async for hit in provider.discover()]  # pyright: ignore[reportAttributeAccessIssue]
        assert sorted(labels) == sorted(action.label for action in ACTIONS if action.id != "command-palette")
        found = [hit async for hit in provider.search("smooth")]
        assert found[0].text == "smoothing"
        await pilot.press(*"maximize")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert app.ran == ["maximize"]


def test_keys_are_shown_as_people_write_them() -> None:
    assert [shown(key) for key in ("f5", "ctrl+s", "question_mark", "shift+tab", "minus", "q", "f12")] == [
        "F5", "^s", "?", "shift+tab", "-", "q", "F12",
    ]  # fmt: skip


def test_the_users_keys_show_everywhere() -> None:
    keymap = {"step": "f10, x"}
    step = next(action for action in ACTIONS if action.id == "step")
    assert keys_of(step, keymap) == ("f10", "x")
    assert key_text("step", keymap) == "F10"
    assert ("F10", "step", "step") in footer_items(keymap)


def test_the_footer_fits_80_columns_and_names_the_way_to_the_rest() -> None:
    items = footer_items({}, 78)
    text = "  ".join(f"{key} {label}" for key, label, _ in items)
    assert len(text) <= 78
    assert {"F1", "F5", "^z", "F7/F8", "^p", "^q"} <= {key for key, _, _ in items}
    assert {"^s"} == {key for key, _, _ in footer_items({})} - {key for key, _, _ in items}


def test_the_docs_have_a_row_for_every_action() -> None:
    assert {row[1] for row in docs_table()} == {f"`{action.id}`" for action in ACTIONS}
