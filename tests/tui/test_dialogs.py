from typing import Any

import pytest
from textual.app import App
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen

from aetui.spec import Difference
from aetui.tui.actions import ACTIONS, shown
from aetui.tui.dialogs import AskSteps, Confirm, ShowText, offer_new_run, quit_or_detach, quit_while_training
from aetui.tui.help import GLOSSARY, HelpScreen, binding_rows
from aetui.tui.themes import variable_defaults


class DialogApp(App[None]):
    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self.dialog = screen
        self.answers: list[Any] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def on_mount(self) -> None:
        self.push_screen(self.dialog, self.answers.append)

    def shown_lines(self) -> list[str]:
        return ["".join(segment.text for segment in strip) for strip in self.screen._compositor.render_strips()]


STRUCTURAL = [Difference("model.code", "10", "20", False), Difference("data.path", "", "[b]odd[/] [", False)]
LIVE = [Difference("optim.lr", "0.001", "0.1", True)]


@pytest.mark.parametrize(
    ("make", "keys", "answer"),
    [
        (lambda: quit_while_training(), ["enter"], "stay"),
        (lambda: quit_while_training(), ["escape"], "stay"),
        (lambda: quit_while_training(), ["q"], "stop"),
        (lambda: quit_while_training(), ["down", "enter"], "stop"),
        (lambda: quit_or_detach(5, True, 1, "otter"), ["enter"], "detach"),
        (lambda: quit_or_detach(5, True, 1, "otter"), ["k"], "detach"),
        (lambda: quit_or_detach(5, True, 1, "otter"), ["c"], "stop"),
        (lambda: quit_or_detach(5, True, 1, "otter"), ["s"], "stay"),
        (lambda: quit_or_detach(5, True, 1, "otter"), ["escape"], "stay"),
        (lambda: offer_new_run(STRUCTURAL, LIVE), ["enter"], "new"),
        (lambda: offer_new_run(STRUCTURAL, LIVE), ["l"], "live"),
        (lambda: offer_new_run(STRUCTURAL, LIVE), ["end", "enter"], "edit"),
        (lambda: offer_new_run(STRUCTURAL, LIVE), ["escape"], "edit"),
        (lambda: offer_new_run(STRUCTURAL), ["l", "k"], "edit"),
        (AskSteps, ["enter"], 100),
        (AskSteps, ["ctrl+u", "2", "0", "enter"], 20),
        (AskSteps, ["ctrl+u", "1", "e", "3", "enter"], 1000),
        (AskSteps, ["escape"], None),
        (lambda: ShowText("a", "b"), ["escape"], None),
        (lambda: ShowText("a", "b"), ["enter"], None),
        (HelpScreen, ["escape"], None),
        (HelpScreen, ["f1"], None),
        (HelpScreen, ["q"], None),
        (HelpScreen, ["question_mark"], None),
    ],
)
async def test_every_answer_has_its_keys(make: Any, keys: list[str], answer: Any) -> None:
    app = DialogApp(make())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        assert app.answers == [answer]


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "many", "nan", "inf", "1e30"])
async def test_steps_take_a_whole_number_of_at_least_one(text: str) -> None:
    app = DialogApp(AskSteps())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+u", *(key.replace("-", "minus").replace(".", "full_stop") for key in text), "enter")
        await pilot.pause()
        assert app.answers == []
        assert "it takes a whole number of at least 1" in "\n".join(app.shown_lines())


async def test_differences_are_shown_as_they_are_and_choices_with_their_letters() -> None:
    app = DialogApp(offer_new_run(STRUCTURAL, LIVE))
    async with app.run_test(size=(80, 24)):
        text = "\n".join(app.shown_lines())
        for part in ("model.code 10 -> 20", "data.path - -> [b]odd[/] [", "optim.lr 0.001 -> 0.1", "[n]", "[l]", "[k]"):
            assert part in text


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
async def test_a_long_list_leaves_the_answers_on_the_screen_and_scrolls(size: tuple[int, int]) -> None:
    many = [Difference(f"model.field{i}", "1", "2", False) for i in range(60)]
    app = DialogApp(offer_new_run(many, LIVE))
    async with app.run_test(size=size) as pilot:
        lines = app.shown_lines()
        assert any("keep editing" in line for line in lines)
        assert any("Esc cancels" in line for line in lines)
        await pilot.press("pagedown")
        for _ in range(40):
            app.dialog.action_scroll_body(1)
        await pilot.pause()
        assert any("optim.lr 0.001 -> 0.1" in line for line in app.shown_lines())


async def test_a_text_scrolls_to_its_end_and_is_not_read_as_markup() -> None:
    app = DialogApp(ShowText("[title", "first [/] line \x1b[2J\n" + "more\n" * 80 + "[last]"))
    async with app.run_test(size=(80, 24)) as pilot:
        text = "\n".join(app.shown_lines())
        assert "first [/] line [2J" in text
        assert "[title" in text
        await pilot.press("down", *["pagedown"] * 6)
        assert "[last]" in "\n".join(app.shown_lines())


async def test_a_click_on_an_answer_takes_it() -> None:
    app = DialogApp(quit_while_training())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click("PickList", offset=(3, 1))
        await pilot.pause()
        assert app.answers == ["stop"]


async def test_help_has_every_action_the_panes_keys_and_the_terms() -> None:
    pane = [Binding("p", "toggle", "scatter/units", id="code.toggle", tooltip="scatter or unit variances")]
    screen = HelpScreen({"step": "f2", "code.toggle": "u"}, [("Code", pane)])
    sections = dict(screen.sections())
    rows = [row for group in sections.values() for row in group]
    for action in ACTIONS:
        keys = next(left for left, right in rows if right == action.help)
        wanted = ["F2"] if action.id == "step" else [shown(key) for key in action.keys + action.plain_keys]
        assert keys.split() == wanted
    assert sections["In the Code pane"] == [("u", "scatter or unit variances")]
    assert sections["Terms"] == list(GLOSSARY)
    app = DialogApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "Training" in "\n".join(app.shown_lines())
        await pilot.press("end")
        await pilot.pause()
        assert "new run" in "\n".join(app.shown_lines())
        await pilot.press("home", "down", "pagedown", "pageup")
        await pilot.pause()
        assert app.screen.query_one(VerticalScroll).scroll_offset.y < 3


def test_keys_of_one_binding_share_a_row() -> None:
    assert binding_rows([Binding("up,k", "by(-1)", "up"), Binding("down", "by(1)", "down")], {}) == [
        ("up k", "up"), ("down", "down"),
    ]  # fmt: skip


async def test_what_is_pressed_in_a_dialog_stays_there() -> None:
    app = DialogApp(Confirm("a", "b", quit_while_training()._choices, "stay"))
    ran: list[str] = []
    app.bind("x", "bell")
    app.bell = lambda: ran.append("x")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("x", "space")
        assert ran == []
        assert app.answers == []
