"""Choosing clipping beside the norms, finding a setting by name, exporting by a key, and what a tweak did."""

import asyncio

import pytest
from textual.geometry import Region
from textual.widgets import Input

from aetui import protocol as p
from aetui.spec import RunSpec, changed
from aetui.tui import exporting, find_setting
from aetui.tui.clip_dialog import ChooseClipping
from aetui.tui.find_setting import FindSetting
from aetui.tui.form_fields import rows_of
from aetui.tui.journal_entries import Entry
from aetui.tui.tweak_effect import comparison

pytestmark = pytest.mark.usefixtures("plain_backdrop")

SIZES = [(80, 24), (120, 40), (200, 50)]


async def at_step(pilot, link, step: int) -> None:
    link.step = step
    link.enter("paused")
    await pilot.pause(0.1)
    link.commands()


@pytest.mark.parametrize("size", SIZES)
async def test_clipping_at_a_threshold_takes_five_keys_and_nothing_else_is_in_force_on_the_way(
    workbench, opened, fake_link, size
):
    link = fake_link()
    app, _ = workbench(link=link)
    async with opened(app, size) as pilot:
        await at_step(pilot, link, 1200)
        await pilot.press("f9")
        assert isinstance(app.screen, ChooseClipping)
        assert "at step 1,200" in app.screen._text and "median" in app.screen._text
        await pilot.press("0", "full_stop", "5")
        assert link.commands() == []
        await pilot.press("enter")
        assert link.commands() == [p.Set(id=0, changes={"clip.kind": "global", "clip.threshold": "0.5"})]


async def test_clipping_is_left_as_it_is_by_escape_and_a_bad_threshold_is_refused(workbench, opened, fake_link):
    link = fake_link()
    app, _ = workbench(link=link)
    async with opened(app, (120, 40)) as pilot:
        await at_step(pilot, link, 1200)
        await pilot.press("f9", "x", "enter")
        assert isinstance(app.screen, ChooseClipping)
        assert "'x'" in app.screen._problem()
        await pilot.press("escape")
        assert not isinstance(app.screen, ChooseClipping) and link.commands() == []


@pytest.mark.parametrize("size", SIZES)
async def test_why_a_threshold_is_refused_is_shown_whole(workbench, opened, fake_link, size):
    link = fake_link()
    app, _ = workbench(link=link)
    async with opened(app, size) as pilot:
        await at_step(pilot, link, 1200)
        await pilot.press("f9", "x", "enter")
        await pilot.pause()
        shown = app.screen.query_one(".dialog-problem")
        lines = " ".join(strip.text.strip() for strip in shown.render_lines(Region(0, 0, *shown.size)))
        assert lines.strip() == app.screen._problem() and lines.endswith("000,000")
        assert shown.region in app.screen.region and shown.region in shown.parent.region


async def test_a_kind_is_chosen_by_arrows(workbench, opened, fake_link):
    link = fake_link()
    app, _ = workbench(link=link)
    async with opened(app, (80, 24)) as pilot:
        await at_step(pilot, link, 10)
        await pilot.press("c", "down", "enter")
        assert link.commands() == [p.Set(id=0, changes={"clip.kind": "per-tensor", "clip.threshold": "1"})]


@pytest.mark.parametrize("size", SIZES)
async def test_a_setting_is_found_by_name_and_edited_from_anywhere(workbench, opened, fake_link, size):
    link = fake_link()
    app, _ = workbench(link=link)
    async with opened(app, size) as pilot:
        await at_step(pilot, link, 10)
        await pilot.press("slash", "c", "o", "d", "e", "enter")
        await pilot.pause(0.1)
        assert app.bench.form.editing and app.bench.form.selected == "model.code"
        await pilot.press("4", "enter")
        assert [(one.path, one.new) for one in app.bench.form.pending()] == [("model.code", "4")]


async def test_a_setting_of_another_kind_is_said_to_be_one(workbench, opened, fake_link):
    link = fake_link()
    app, _ = workbench(link=link)
    async with opened(app, (120, 40)) as pilot:
        await at_step(pilot, link, 10)
        await pilot.press("ctrl+g", *"momentum", "enter")
        assert isinstance(app.screen, FindSetting)
        assert app.screen.query_one(Input).value == "momentum"
        assert "optim.momentum goes with optim.kind sgd" in find_setting.missing("momentum")
        await pilot.press("escape")
        assert not app.bench.form.editing


@pytest.mark.parametrize(
    ("query", "path"),
    [("code", "model.code"), ("lr", "optim.lr"), ("optim.lr", "optim.lr"), ("weight decay", "optim.weight_decay"),
     ("batch size", "train.batch_size"), ("wdecay", "optim.weight_decay"), ("seed", "train.seed")],
)  # fmt: skip
def test_what_is_likely_meant_comes_first(query, path):
    spec = changed(RunSpec(), {"optim.kind": "adamw"})
    rows = [row for row in rows_of(spec) if not row.heading]
    assert find_setting.matches(query, rows)[0].path == path


def test_what_fits_nothing_is_said():
    assert find_setting.matches("zzzz", [row for row in rows_of(RunSpec()) if not row.heading]) == []
    assert find_setting.missing("zzzz") == "no setting fits 'zzzz'"


async def test_a_run_that_is_not_stored_is_not_exported(workbench, opened, fake_link):
    link = fake_link(folder="")
    app, _ = workbench(link=link)
    async with opened(app, (120, 40)) as pilot:
        await at_step(pilot, link, 10)
        await pilot.press("e")
        assert "not stored" in app.bench.notice.text


def test_an_export_runs_the_command_line_and_says_what_came_of_it(tmp_path, monkeypatch, private_home):
    from aetui.cli.main import main
    from aetui.runs.folder import RunFolder

    assert main(["train", "digits", "--steps", "2", "--name", "taken"]) == 0
    monkeypatch.chdir(tmp_path)
    folder = str(RunFolder.find("taken").path)
    assert asyncio.run(exporting.export(folder, "csv")) == ("exported taken.csv", True)
    assert (tmp_path / "taken.csv").stat().st_size > 0
    text, done = asyncio.run(exporting.export(str(tmp_path / "none"), "csv"))
    assert not done and "there is no run" in text


def tweak(step: int, time: float, **changes: object) -> Entry:
    return Entry(step, time, "tweak", f"optim.lr at {step}", mark="tweak", last=step, **changes)  # pyright: ignore


def state(step: int, time: float, text: str) -> Entry:
    return Entry(step, time, "state", text, mark="pause" if text == "paused" else "")


def test_a_tweak_is_compared_before_and_since(run_model):
    model = run_model(1200)
    entries = [state(0, 100.0, "running"), tweak(400, 104.0), tweak(800, 106.0)]
    text = comparison(model, entries, 1)
    assert text.startswith("before: loss ") and "100 steps/s; since, to step 800: loss " in text
    assert text.endswith("200 steps/s") and " at 390" in text.partition(";")[0]
    losses = [float(part.split()[0].rstrip(",")) for part in text.split("loss ")[1:]]
    assert losses[0] > losses[1]


def test_a_pause_is_no_slowness(run_model):
    model = run_model(1200)
    entries = [
        state(0, 100.0, "running"), state(400, 104.0, "paused"), tweak(400, 500.0), state(400, 900.0, "running"),
        tweak(800, 902.0),
    ]  # fmt: skip
    text = comparison(model, entries, 2)
    assert "100 steps/s; since" in text and text.endswith("200 steps/s")


def test_what_is_not_known_yet_is_not_said(run_model):
    model = run_model(1200)
    assert comparison(model, [tweak(1200, 5.0)], 0) == ""
    assert comparison(model, [tweak(400, 5.0, left=True)], 0) == ""
    assert comparison(model, [state(400, 5.0, "paused")], 0) == ""
