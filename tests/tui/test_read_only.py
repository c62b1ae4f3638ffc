"""A screen that only watches: which keys it refuses, what it says, and how it leaves."""

from collections.abc import Callable
from typing import Any

import pytest

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.tui.actions import ACTIONS, TRAINING, TWEAKS
from aetui.tui.app import Workbench
from aetui.tui.session import Session

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]
LOCAL = ("find-setting", "reset-form")
"""Actions of these groups that touch the screen's own form alone."""
STEERING = [action for action in ACTIONS if action.group in (TRAINING, TWEAKS) and action.id not in LOCAL]


async def test_every_key_that_steers_is_refused_with_one_sentence(workbench: Make, opened: Open) -> None:
    app, link = workbench(attached=True, read_only=True)
    async with opened(app) as pilot:
        link.join()
        link.train(50, "running")
        await pilot.pause()
        app.bench.form.set_value("optim.lr", "0.5")
        link.commands()
        for key in [key for action in STEERING for key in action.keys + action.plain_keys]:
            app.bench.notice.clear_text()
            await pilot.press(key)
            await pilot.pause()
            assert (app.bench.notice.text, app.bench.notice.severity) == (p.READ_ONLY, "warning"), key
            assert app.screen is app.bench, key
        assert link.commands() == []
        assert (link.state, link.step) == ("running", 50)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_the_status_line_says_that_it_only_watches(size, workbench: Make, opened: Open) -> None:
    for read_only in (True, False):
        app, link = workbench(attached=True, read_only=read_only)
        async with opened(app, size=size) as pilot:
            link.join()
            link.train(50, "running")
            await pilot.pause()
            app.watched.replies.take(link.view(app.model.look([], 0)))
            assert ("READ-ONLY" in app.bench.status.render_line(0).text) == read_only
            shown = {command for _, _, command in app.bench.keys.texts()}
            assert "quit" in shown and ("run_pause" not in shown) == ("lr_down" not in shown) == read_only


async def test_leaving_asks_nothing_and_leaves_the_run_alone(workbench: Make, opened: Open) -> None:
    app, link = workbench(attached=True, read_only=True)
    async with opened(app) as pilot:
        link.join()
        link.train(50, "running")
        await pilot.pause()
        link.commands()
        await pilot.press("q")
        await pilot.pause()
        assert app.leaving == "detach" and not app.is_running
    assert link.commands() == []


def test_whatever_asks_for_something_all_the_same_is_refused_before_it_is_sent(fake_link) -> None:
    link = fake_link()
    session = Session(link, RunSpec(), read_only=True)
    heard: list[p.Reply] = []

    def take(reply: p.Reply) -> None:
        heard.append(reply)
        session.absorb(reply)

    session.connect(take, lambda text: None)
    link.join()
    for ask in (session.toggle, session.undo, session.redo, session.examine):
        ask()
    session.set({"optim.lr": "1"})
    session.rewind_and_set(1, {"optim.lr": "1"})
    assert [reply.text for reply in heard if isinstance(reply, p.Refused)] == [p.READ_ONLY] * 6
    assert link.commands() == [] and not session.waiting
