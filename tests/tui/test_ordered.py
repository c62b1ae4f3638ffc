"""Keys that arrive together do what they do one by one, whatever opens or closes between them."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot

from aetui import protocol as p
from aetui.tui.app import Workbench
from aetui.tui.dialogs import AskSteps
from aetui.tui.panes.why_pane import WhyPane
from aetui.tui.rewind import RewindDialog

pytestmark = pytest.mark.usefixtures("plain_backdrop")

CHARACTERS = {"enter": "\r", "escape": "\x1b", "backspace": "\x7f", "space": " ", "tab": "\t"}
KEYS = (
    *"12345678nfrzlwmc[]?asbdxytkle09", *(f"f{number}" for number in (1, 3, 4, 5, 6, 7, 8, 9)), *["enter"] * 3,
    "escape", "escape", "up", "down", "left", "right", "tab", "shift+tab", "home", "end", "pagedown", "backspace",
    "ctrl+s", "ctrl+s", "ctrl+r", "ctrl+z", "ctrl+y", "ctrl+p",
)  # fmt: skip
NAMES = {"[": "left_square_bracket", "]": "right_square_bracket", "?": "question_mark"}


async def all_obeyed(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, Workbench)
    await pilot.pause()
    while not app.settled:
        await pilot.pause(0.01)
    await pilot.pause()


async def send(pilot: Pilot[None], *keys: str) -> None:
    """Hand over all keys before any of them is obeyed, as one read of the terminal does."""
    for key in keys:
        character = key if len(key) == 1 else CHARACTERS.get(key)
        pilot.app.post_message(events.Key(NAMES.get(key, key), character))
    await all_obeyed(pilot)


async def one_by_one(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await send(pilot, key)


def state(app: Workbench, link: Any) -> dict[str, object]:
    """Everything that keys can change."""
    bench = app.bench
    why = bench.panes["why"]
    assert isinstance(why, WhyPane)
    return {
        "commands": link.commands(),
        "screens": [type(screen).__name__ for screen in app.screen_stack],
        "focus": bench.focused_pane,
        "draft": bench.form.draft,
        "row": bench.form.selected,
        "editing": bench.form.editing,
        "notice": bench.notice.text,
        "visible": sorted(str(pane.id) for pane in bench.visible_panes),
        "alone": bench.alone,
        "sample": bench.pairs.sample,
        "theme": app.theme,
        # How far a pane is scrolled depends on what it shows, and so on the time of its last picture.
        "views": [bench.panes[name].view_state() for name in ("loss", "code")],  # pyright: ignore
        # The cause by name is there once the pane has been drawn; which finding it is, is known before.
        "finding": (why.selected, why.remedy),
    }


@pytest.fixture(autouse=True)
def patient(monkeypatch) -> None:
    """Nothing here is under way forever, and a busy machine may take longer than anybody would wait."""
    monkeypatch.setattr("aetui.tui.ordered.LONGEST", 60.0)


@pytest.fixture
def after(workbench, opened, fake_link, run_model) -> Callable[..., Any]:
    """What the keys have brought about, `together` or one by one, on a diagnosed run."""

    async def press(size: tuple[int, int], keys: tuple[str, ...], together: bool) -> dict[str, object]:
        link = fake_link()
        link.diagnosis = run_model.diagnosis()
        link.places = (p.Place(checkpoint=3, branch=1, step=100, time=0.0, reason="pause"),)
        app, _ = workbench(link=link)
        async with opened(app, size) as pilot:
            link.step = 1200
            link.enter("paused")
            await all_obeyed(pilot)
            link.commands()
            await (send if together else one_by_one)(pilot, *keys)
            return state(app, link)

    return press


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_remedy_is_applied_by_keys_of_one_read(after, size):
    found = await after(size, ("8", "f", "ctrl+s"), together=True)
    assert found == await after(size, ("8", "f", "ctrl+s"), together=False)
    assert found["commands"] or found["screens"][-1] == "Confirm"


async def test_a_number_typed_right_after_the_key_that_asks_for_it(after):
    keys = ("n", "backspace", "backspace", "backspace", "4", "2", "enter", "f6")
    assert (await after((120, 40), keys, together=True))["commands"] == [p.Run(id=0, steps=42), p.Run(id=0, steps=1)]


async def test_keys_behind_a_dialog_that_closes_reach_what_is_below(after):
    found = await after((120, 40), ("f1", "escape", "n", "enter", "3", *["down"] * 20, "enter"), together=True)
    assert found["commands"] == [p.Run(id=0, steps=100)]
    assert found["editing"]
    assert found["screens"][-1] == "WorkbenchScreen"


async def test_a_command_is_found_and_run_by_keys_of_one_read(after):
    found = await after((120, 40), ("ctrl+p", *"maximize", "enter", "n"), together=True)
    assert found["alone"]
    assert found["screens"][-1] == AskSteps.__name__


async def test_a_key_waits_for_what_is_to_be_done_once_the_screen_is_laid_out(
    workbench, opened, fake_link, monkeypatch
):
    """A busy machine lays out late; the editor of a setting that was found opens then, and belongs to that row."""
    at_once = App.call_after_refresh

    def late(self: App[None], callback: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
        self.set_timer(0.3, lambda: at_once(self, callback, *arguments, **named))
        return True

    app, link = workbench(link=fake_link())
    async with opened(app, (200, 50)) as pilot:
        link.enter("paused")
        await all_obeyed(pilot)
        monkeypatch.setattr(App, "call_after_refresh", late)
        await send(pilot, "slash", *"code", "enter", "4", "enter", "ctrl+s")
        await pilot.pause(0.6)
        assert [str(one) for one in app.bench.form.pending()] == ["model.code 10 -> 4"]
        assert not app.bench.form.editing and type(app.screen).__name__ == "Confirm"


async def test_a_key_with_a_meaning_of_its_own_is_not_lost_while_an_editor_opens(workbench, opened, fake_link):
    app, link = workbench(link=fake_link())
    async with opened(app, (120, 40)) as pilot:
        link.enter("paused")
        await all_obeyed(pilot)
        form = app.bench.form
        form.set_value("model.code", "4")
        app.bench.choose("settings")
        await all_obeyed(pilot)
        form.edit()
        app.screen.set_focus(form._rows, scroll_visible=False)
        await send(pilot, "ctrl+s")
        assert type(app.screen).__name__ == "Confirm"


async def test_enter_waits_for_the_list_of_checkpoints(workbench, opened, fake_link):
    link = fake_link()
    link.places = (p.Place(checkpoint=3, branch=1, step=100, time=0.0, reason="pause"),)
    app, _ = workbench(link=link)
    async with opened(app) as pilot:
        link.commands()
        link.holding = True
        for key in ("f3", "enter"):
            app.post_message(events.Key(key, CHARACTERS.get(key)))
        while not isinstance(app.screen, RewindDialog):
            await pilot.pause(0.01)
        await pilot.pause(0.2)
        assert isinstance(app.screen, RewindDialog) and not link.commands()
        link.release()
        await all_obeyed(pilot)
        assert link.commands() == [p.Rewind(id=0, checkpoint=3)]


@pytest.mark.parametrize("seed", range(24))
async def test_any_keys_do_together_what_they_do_one_by_one(after, seed):
    chosen = random.Random(seed)
    size = chosen.choice([(80, 24), (120, 40), (200, 50)])
    keys = tuple(chosen.choice(KEYS) for _ in range(14))
    assert await after(size, keys, together=True) == await after(size, keys, together=False), keys
