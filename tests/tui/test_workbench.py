"""The layout: which panes are on the screen, where the focus is, and what a click does."""

import ast
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from textual.message_pump import MessagePump

import aetui.tui
from aetui import protocol as p
from aetui.tui.actions import PANES
from aetui.tui.app import Workbench
from aetui.tui.clip_dialog import ChooseClipping
from aetui.tui.workbench import KeyLine, TabLine

NARROW, MEDIUM, WIDE = (80, 24), (120, 40), (200, 50)
Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def visible(app: Workbench) -> set[str]:
    """The panes that have room on the screen, by name."""
    return {name for name, pane in app.bench.panes.items() if pane.display and pane.region.area}


def lines(app: Workbench) -> list[str]:
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


# --- layouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "panes"),
    [
        (NARROW, {"loss"}),
        ((99, 60), {"loss"}),
        ((300, 29), {"loss"}),
        ((100, 30), {"settings", "loss", "variance", "pairs"}),
        (MEDIUM, {"settings", "loss", "variance", "pairs"}),
        ((159, 70), {"settings", "loss", "variance", "pairs"}),
        ((160, 40), {"settings", "loss", "variance", "pairs", "code", "layers"}),
        (WIDE, {"settings", "loss", "variance", "pairs", "code", "layers"}),
    ],
)
async def test_the_size_of_the_terminal_decides_which_panes_are_shown(
    workbench: Make, opened: Open, size: tuple[int, int], panes: set[str]
) -> None:
    app, _ = workbench()
    async with opened(app, size) as pilot:
        await pilot.pause()
        assert visible(app) == panes
        regions = [app.bench.panes[name].region for name in panes]
        whole = app.bench.query_one("#panes").region
        assert sum(region.area for region in regions) == whole.area
        assert all(whole.contains_region(region) for region in regions)


@pytest.mark.parametrize("size", [NARROW, MEDIUM, WIDE, (60, 20), (40, 12), (20, 8)])
async def test_the_screen_is_filled_exactly_and_keeps_its_bars(
    workbench: Make, opened: Open, size: tuple[int, int]
) -> None:
    app, link = workbench()
    async with opened(app, size) as pilot:
        link.train(1200, "running")
        await pilot.pause()
        shown = lines(app)
        assert [len(line) for line in shown] == [size[0]] * size[1]
        assert shown[0].startswith(" aetui")
        assert shown[-1].startswith(" F5 pause")
        assert any("RUNNING" in line for line in shown)


@pytest.mark.parametrize("size", [NARROW, MEDIUM, WIDE])
async def test_number_keys_bring_each_pane_to_the_screen_with_the_focus(
    workbench: Make, opened: Open, size: tuple[int, int]
) -> None:
    app, _ = workbench()
    async with opened(app, size) as pilot:
        for number, (name, title) in enumerate(PANES, start=1):
            await pilot.press(str(number))
            await pilot.pause()
            assert app.bench.focused_pane == name
            assert name in visible(app)
            assert f" {number} {title} " in app.bench.tabs.render_line(0).text


async def test_the_last_place_is_shared_and_keeps_what_was_chosen(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, MEDIUM) as pilot:
        await pilot.press("7", "1")
        assert visible(app) == {"settings", "loss", "variance", "journal"}
        await pilot.press("6")
        assert visible(app) == {"settings", "loss", "variance", "layers"}
        await pilot.resize_terminal(*WIDE)
        await pilot.press("7")
        assert visible(app) == {"settings", "loss", "variance", "pairs", "code", "journal"}


# --- resizing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["1", "3", "4", "7"])
async def test_the_pane_in_focus_stays_on_the_screen_through_every_resize(
    workbench: Make, opened: Open, key: str
) -> None:
    app, _ = workbench()
    async with opened(app, WIDE) as pilot:
        await pilot.press(key)
        await pilot.pause()
        name = app.bench.focused_pane
        for size in (NARROW, MEDIUM, WIDE, (40, 12), MEDIUM):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.bench.focused_pane == name, size
            assert name in visible(app), size


async def test_without_a_focus_the_loss_stays(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, MEDIUM) as pilot:
        assert app.bench.focused is None
        await pilot.resize_terminal(*NARROW)
        await pilot.pause()
        assert visible(app) == {"loss"}


async def test_a_value_being_typed_survives_a_resize(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, MEDIUM) as pilot:
        await pilot.press("3")
        app.bench.form.select("optim.lr")
        await pilot.press("0", "full_stop", "2")
        await pilot.resize_terminal(*NARROW)
        await pilot.press("5")
        await pilot.resize_terminal(*WIDE)
        assert app.bench.form.editing
        await pilot.press("enter")
        assert app.bench.form.draft.optim.lr == 0.25


async def test_a_pane_that_a_resize_brings_is_drawn_at_once(workbench: Make, opened: Open) -> None:
    app, link = workbench(start=True)
    async with opened(app, NARROW) as pilot:
        link.train(1200)
        await pilot.resize_terminal(*MEDIUM)
        await pilot.pause()
        screen = "\n".join(lines(app))
        assert "features" in screen
        assert "sample 1 of 64" in screen


# --- maximizing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("back", ["z", "escape"])
async def test_a_pane_gets_the_whole_screen_and_gives_it_back(workbench: Make, opened: Open, back: str) -> None:
    app, _ = workbench()
    async with opened(app, MEDIUM) as pilot:
        await pilot.press("2", "z")
        await pilot.pause()
        assert visible(app) == {"variance"}
        await pilot.press("5")
        assert visible(app) == {"pairs"}
        await pilot.press(back)
        assert visible(app) == {"settings", "loss", "variance", "pairs"}
        assert app.bench.focused_pane == "pairs"
        await pilot.press("escape")
        assert app.bench.focused is None


async def test_where_one_pane_has_the_screen_anyway_it_says_so(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, NARROW) as pilot:
        await pilot.press("2", "z")
        assert "whole screen already" in app.bench.notice.text
        await pilot.press("escape")
        assert app.bench.focused is None


# --- mouse --------------------------------------------------------------------------------------


def place(text: str, part: str) -> tuple[int, int]:
    """Offset in a bar with one cell of padding."""
    return text.index(part) + 1, 0


async def test_a_click_on_a_tab_shows_its_pane(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.train(1200, "paused")
        # The Output pane has a tab where the run has an output.
        for name, title in PANES[:-1]:
            await pilot.click(TabLine, offset=place(app.bench.tabs.render_line(0).text, title))
            await pilot.pause()
            assert visible(app) == {name}
            assert app.bench.focused_pane == name


async def test_a_click_on_a_key_of_the_footer_acts(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.commands()
        text = app.bench.keys.render_line(0).text
        for part in ("F5", "step", "F7", "clip"):
            await pilot.click(KeyLine, offset=place(text, part))
        await pilot.pause()
        assert link.commands() == [p.Run(id=0), p.Run(id=0, steps=1), p.Nudge(id=0, by=-1)]
        assert isinstance(app.screen, ChooseClipping)
        await pilot.press("escape")
        await pilot.click(KeyLine, offset=(79, 0))
        assert link.commands() == []


# --- bars ---------------------------------------------------------------------------------------


async def test_the_footer_says_what_its_first_key_will_do(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        for state in ("paused", "running", "paused", "running", "finished", "running", "non-finite"):
            link.enter(state)
            await pilot.pause()
            assert lines(app)[-1].startswith(" F5 pause " if state == "running" else " F5 run "), state


async def test_the_quiet_line_names_the_key_that_starts_and_the_first_warning(
    workbench: Make, opened: Open, fake_link: type
) -> None:
    app, link = workbench(link=fake_link(warnings=("digits: 3 of 64 columns are constant",), text="It trains."))
    async with opened(app, MEDIUM) as pilot:
        assert "F5 starts training   a tells what it shows   digits: 3 of 64 columns are constant" in lines(app)[-2]
        link.train(1, "paused")
        await pilot.pause()
        assert lines(app)[-2].strip() == ""


# --- the framework's names ----------------------------------------------------------------------


@cache
def classes(module: str) -> dict[str, set[str]]:
    """Private attributes that each class of a module sets on itself, by its name."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    return {
        cls.name: {
            node.attr
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and node.attr.startswith("_")
        }
        for cls in ast.walk(tree)
        if isinstance(cls, ast.ClassDef)
    }


def assigned(cls: type) -> set[str]:
    return classes(cls.__module__).get(cls.__name__, set())


def test_no_widget_overwrites_a_private_attribute_of_textual() -> None:
    modules = [import_module(one.name) for one in pkgutil.walk_packages(aetui.tui.__path__, "aetui.tui.")]
    ours = {
        one
        for module in modules
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, MessagePump) and one.__module__.startswith("aetui.")
    }
    assert len(ours) > 20
    for cls in ours:
        theirs = [base for base in cls.__mro__ if base.__module__.startswith("textual.")]
        taken = {name: base for base in theirs for name in assigned(base) | set(vars(base)) if name.startswith("_")}
        clashes = {name: taken[name].__name__ for name in assigned(cls) if name in taken}
        assert not clashes, f"{cls.__name__}: {clashes}"
