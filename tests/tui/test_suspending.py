"""Where a screen can be suspended, and what the first ctrl+z says."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.tui import suspending
from aetui.tui.app import Workbench
from aetui.tui.form_fields import rows_of

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


@pytest.mark.parametrize(
    ("session", "group", "parents", "possible"),
    [
        (10, 30, {30: 10}, True),  # a job of a shell
        (10, 25, {30: 25, 25: 10}, True),  # a job whose first process started it, as `uv run` does
        (30, 30, {30: 1}, False),  # alone in its session, as by `ssh -t host aetui`
        (10, 10, {30: 10, 10: 1}, False),  # started by a shell without job control
        (10, 25, {30: 25, 25: 1}, False),  # its shell is gone
    ],
)
def test_a_shell_that_waits_for_the_job_is_told_from_none(
    monkeypatch: pytest.MonkeyPatch, session: int, group: int, parents: dict[int, int], possible: bool
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 30)
    monkeypatch.setattr(os, "getppid", lambda: parents[30])
    monkeypatch.setattr(os, "getpgrp", lambda: group)
    monkeypatch.setattr(os, "getsid", lambda pid: 1 if pid == 1 else session)
    monkeypatch.setattr(os, "getpgid", lambda pid: {30: group, 25: 25, 10: 10, 1: 1}[pid])
    monkeypatch.setattr(suspending, "_parent", lambda pid: parents.get(pid, 0))
    assert (suspending.obstacle("process") == "") is possible
    assert "--engine process" in suspending.obstacle("thread")


def test_the_parent_of_a_process_is_read_where_the_system_tells() -> None:
    assert suspending._parent(os.getpid()) in (os.getppid(), 0)
    assert suspending._parent(2**30) == 0


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_first_ctrl_z_says_what_it_did_how_to_go_back_and_what_suspends(
    size: tuple[int, int], workbench: Make, opened: Open
) -> None:
    app, link = workbench()
    async with opened(app, size) as pilot:
        for rate in ("0.01", "0.02", "0.03"):
            app.session.set({"optim.lr": rate})
            link.train(100, "paused")
        await pilot.pause()
        await pilot.press("u")
        await pilot.pause()
        assert "suspends" not in app.bench.notice.text
        await pilot.press("ctrl+z")
        await pilot.pause()
        said = app.bench.notice.text
        assert "undone" in said and said.endswith("; ^\\ suspends to the shell") and len(said) <= size[0] - 2
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert "undone" in app.bench.notice.text and "suspends" not in app.bench.notice.text


@pytest.mark.parametrize(("columns", "lead"), [(80, "undone; ^y returns"), (200, "undone: optim.lr 0.01 -> 0.001")])
async def test_the_first_ctrl_z_says_the_way_back_at_any_width(
    columns: int, lead: str, workbench: Make, opened: Open
) -> None:
    app, link = workbench()
    async with opened(app, (columns, 24)):
        moving = app.watched.moving
        text = "undone: optim.lr 0.01 -> 0.001 of step 1,100: the run is back at step 1,100"
        event = p.Moved(command=1, text=text, info=link.info, redo=1200)
        moving.explain_undo()
        said = moving.way_back(event)
        assert said.startswith(lead) and "^y returns to step 1,200" in said and len(said) <= columns - 2
        assert said.endswith("; ^\\ suspends to the shell")
        moving.explain_undo()
        assert "suspends" not in moving.way_back(event)


async def test_a_ctrl_z_that_undoes_nothing_says_what_suspends_too(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, (80, 24)) as pilot:
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert app.bench.notice.text == "there is no tweak to take back; ^\\ suspends to the shell"
        assert link.commands()[-1] == p.Undo(id=0)


def test_the_form_begins_with_what_can_be_changed_live() -> None:
    rows = rows_of(RunSpec())
    sections = list(dict.fromkeys(row.section for row in rows))
    assert sections[:3] == ["optim", "schedule", "clip"]
    headings = {row.section: row.marker for row in rows if row.heading}
    words = [headings[section] for section in sections]
    assert words == sorted(words)  # live before new run


async def test_the_form_remembers_where_one_was(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, (80, 24)) as pilot:
        await pilot.press("3")
        assert app.bench.form.selected == "optim.kind"
        await pilot.press("down", "down", "escape", "1", "3")
        assert app.bench.form.selected == rows_of(RunSpec())[3].path
