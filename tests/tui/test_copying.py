"""The key that copies: what it takes in each pane, where it puts it, and what it says."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetui import protocol as p
from aetui.paths import home_folder
from aetui.tui import copying
from aetui.tui.app import Workbench
from aetui.tui.characters import Terminal

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What went to the clipboard."""
    monkeypatch.setenv("AETUI_HOME", str(tmp_path / "home"))
    found: list[str] = []
    monkeypatch.setattr(Workbench, "copy_to_clipboard", lambda self, text: found.append(text))
    return found


def kept() -> str:
    return (home_folder() / copying.FILE).read_text()


async def test_each_pane_gives_what_is_under_its_cursor(
    workbench: Make, opened: Open, copied: list[str], run_model: Any
) -> None:
    app, link = workbench(start=False)
    link.diagnosis = run_model.diagnosis()
    async with opened(app) as pilot:
        link.train(1200, "running")
        await pilot.pause()
        app.watched.replies.take(link.view(app.model.look(["diagnosis"], 0)))
        await pilot.press("8", "Y")
        report = link.diagnosis.report
        assert copied[-1] == f"--set optim.lr={report.findings[0].remedies[0].set['optim.lr']!r}"
        await pilot.press("3")
        app.bench.form.select("optim.lr")
        await pilot.press("Y")
        assert copied[-1] == "--set optim.lr=0.001"
        await pilot.press("enter", "5", "ctrl+t")
        assert copied[-1] == "--set optim.lr=0.001" and app.bench.form.editing
        await pilot.press("escape", "escape", "7")
        remark = "a remark that is far too long for a line of the pane, " * 3 + "to its end"
        link.say(p.Noted(text=remark))
        await pilot.pause()
        app.bench.show(app.model)
        await pilot.press("Y")
        assert copied[-1].splitlines()[-1].endswith(f"step 1200  note  {remark}")
        assert "│" not in copied[-1]
        await pilot.press("1", "Y")
        lines = copied[-1].splitlines()
        assert lines[0] == "run brisk-otter: digits 1797 x 64, 64-128-[10]-128-64"
        assert lines[1] == f"verdict: {report.verdict.upper()}, {report.headline}"
        assert "step 1,200 of 2,000" in lines and any(line.startswith("loss 0.1") for line in lines)
        assert kept() == copied[-1] + "\n"
        assert os.stat(home_folder() / copying.FILE).st_mode & 0o777 == 0o600
        assert app.bench.notice.text.startswith(f"copied, also in {home_folder() / copying.FILE}: run brisk-otter")


async def test_a_terminal_without_a_clipboard_gets_the_file_alone(
    workbench: Make, opened: Open, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetui.tui.characters.of_environment", lambda wanted: Terminal(queries=False))
    app, _ = workbench()
    async with opened(app) as pilot:
        await pilot.press("Y")
        assert copied == [] and kept().startswith("run brisk-otter")
        assert app.bench.notice.text.startswith(f"copied, in {home_folder() / copying.FILE}: ")


async def test_where_no_file_can_be_written_the_message_says_so(
    workbench: Make, opened: Open, copied: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AETUI_HOME", str(tmp_path / "file"))
    app, _ = workbench()
    async with opened(app) as pilot:
        await pilot.press("Y")
        assert len(copied) == 1 and "no file has it: " in app.bench.notice.text


async def test_the_text_goes_to_the_terminal_as_a_sequence_that_draws_nothing() -> None:
    from aetui.tui.cells import Cells

    cells = Cells(20, 2, lambda codes: codes)
    assert cells.write("\x1b]52;c;LS1zZXQ=\x07") == "\x1b]52;c;LS1zZXQ=\x07"
    cells.encode(cells.changes()[0], 1e9)
    assert cells.write("\x1b]52;c;LS1zZXQ=\x07") and cells.changes() == ([], [])
