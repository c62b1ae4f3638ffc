"""Pictures of the whole screen on a recorded run; `pytest --snapshot-update` takes them anew.

A failing picture is in `snapshot_report.html`, beside the one expected.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from aetui import protocol as p
from aetui.tui.app import Workbench
from aetui.tui.form_editors import TextEditor

Make = Callable[..., tuple[Workbench, Any]]
Compare = Callable[..., bool]
Steps = Callable[[Pilot[None]], Awaitable[None]]

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x50": (200, 50)}
INTRODUCTION = {
    "title": "Digits: a healthy autoencoder",
    "text": "1797 handwritten digits of 8 x 8 pixels, a code of 10 numbers. The loss falls below the mean floor at "
    "once and below the linear floor in the first few hundred steps.",
    "knobs": ("optim.lr=1e-5", "model.code=2"),
    "warnings": ("digits: 3 of 64 columns are constant in the training rows: 0, 32, 39",),
}


@pytest.fixture
def picture(workbench: Make, fake_link: type, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`picture(size, state, keys=(), then=None, **info)`: compare the screen in a state of the run, after some keys."""
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")

    def compare(
        size: str = "120x40",
        state: str = "running",
        keys: tuple[str, ...] = (),
        then: Steps | None = None,
        theme: str | None = None,
        diagnosis: Any = None,
        **info: Any,
    ) -> bool:
        app, link = workbench(link=fake_link(**INTRODUCTION, **info), theme=theme)

        async def reach(pilot: Pilot[None]) -> None:
            await pilot.pause()
            link.diagnosis = diagnosis
            if state == "running":
                link.train(400, "running")
                await pilot.pause()
                app.session.nudge("optim.lr", -2)
                link.train(800)
            elif state == "non-finite":
                link.loss[700:] = float("nan")
                link.train(701)
                link.enter("non-finite", "step 701: loss NaN, gradient norm NaN; last finite at step 700: loss 0.192")
            await pilot.pause()
            await pilot.press(*keys)
            if then is not None:
                await then(pilot)
            await pilot.pause()
            # Panes follow at their own pace; here they are to be up to date.
            app.session.look(app.bench.gauges, app.bench.pairs.sample)
            await pilot.pause()
            app.bench.show(app.model)
            await pilot.pause()

        return snap_compare(app, terminal_size=SIZES[size], run_before=reach)

    return compare


@pytest.mark.parametrize("state", ["ready", "running", "non-finite"])
@pytest.mark.parametrize("size", SIZES)
def test_layouts(picture: Any, size: str, state: str) -> None:
    assert picture(size, state)


@pytest.mark.parametrize("pane", ["2", "3", "4", "5", "6", "7"])
def test_panes_at_80x24(picture: Any, pane: str) -> None:
    assert picture("80x24", keys=(pane,))


@pytest.mark.parametrize("found", ["collapsed", "healthy", "waiting"])
@pytest.mark.parametrize("size", SIZES)
def test_why(picture: Any, run_model: Any, reports: dict[str, Any], size: str, found: str) -> None:
    diagnosis = run_model.diagnosis(reports[found]) if found in reports else None
    assert picture(size, "running" if diagnosis else "ready", keys=("y",), diagnosis=diagnosis)


def test_probes_at_work(picture: Any, run_model: Any) -> None:
    diagnosis = run_model.diagnosis(stage="probe 2 of 5: learning rate / 10")
    assert picture("80x24", keys=("y", "down"), diagnosis=diagnosis)


def test_verdict_beside_the_loss(picture: Any, run_model: Any) -> None:
    assert picture(diagnosis=run_model.diagnosis())


@pytest.mark.parametrize("theme", ["light", "high-contrast", "color-blind-safe", "ansi"])
def test_themes(picture: Any, theme: str) -> None:
    assert picture(theme=theme)


def test_no_color(picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert picture()


@pytest.mark.parametrize("size", ["80x24", "120x40"])
def test_help(picture: Any, size: str) -> None:
    assert picture(size, keys=("f1",))


def test_new_run(picture: Any) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, Workbench)
        pilot.app.bench.form.set_value("model.code", "20")
        pilot.app.bench.form.set_value("optim.lr", "0.01")
        await pilot.press("3", "ctrl+s")

    assert picture(then=ask)


def test_quit_while_training(picture: Any) -> None:
    assert picture("80x24", keys=("q",))


@pytest.mark.parametrize("size", ["80x24", "120x40"])
def test_quit_while_a_stored_run_trains(picture: Any, size: str) -> None:
    assert picture(size, keys=("q",), folder="/runs/brisk-otter")


def gone_back(keys: tuple[str, ...]) -> Steps:
    """A tweak that went wrong, undone; two screens, and a full disk."""

    async def steps(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, Workbench)
        link: Any = app.session.link
        app.session.nudge("optim.lr", 4)
        link.loss[1200:1500] = np.geomspace(0.2, 4, 300)
        link.train(300, "paused")
        await pilot.pause()
        await pilot.press("u")
        link.loss[1200:1500] = 0.14
        link.enter("running")
        link.train(150)
        link.screens, link.unsaved = 2, "No space left on device"
        reasons = (
            "pause",
            "before optim.lr 0.000316228 -> 0.00316228",
            "before optim.lr 0.001 -> 0.000316228",
            "start",
        )
        link.places = tuple(
            p.Place(
                checkpoint=9 - i, branch=1, step=(1500, 1200, 400, 0)[i], time=link.NOW - 60.0 * 7**i, reason=reason,
                loss=(4.0, 0.16, 0.24, None)[i], explained=(-3.1, 0.84, 0.75, None)[i],
                explained_step=(1500, 1200, 400, 0)[i], on_path=i > 0, here=i == 1,
            )
            for i, reason in enumerate(reasons)
        )  # fmt: skip
        await pilot.press(*keys)

    return steps


@pytest.mark.parametrize("size", ["80x24", "120x40"])
@pytest.mark.parametrize("key", ["1", "7", "b"])
def test_after_an_undo(picture: Any, fake_link: Any, monkeypatch: pytest.MonkeyPatch, size: str, key: str) -> None:
    monkeypatch.setattr(time, "time", lambda: fake_link.NOW)
    assert picture(size, then=gone_back((key,)))


def test_a_value_being_typed(picture: Any) -> None:
    async def type_it(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, Workbench)
        await pilot.press("3")
        pilot.app.bench.form.select("optim.lr")
        await pilot.press("0", "full_stop", "5", "x")
        pilot.app.query_one(TextEditor).cursor_blink = False

    assert picture("80x24", then=type_it)


def test_a_list_of_choices(picture: Any) -> None:
    async def open_it(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, Workbench)
        await pilot.press("3")
        pilot.app.bench.form.select("optim.kind")
        await pilot.press("enter")

    assert picture("80x24", then=open_it)


def test_a_lost_engine(picture: Any) -> None:
    async def lose(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, Workbench)
        pilot.app.session.lose("the engine ended by signal SIGKILL; its log is run.log")

    assert picture("80x24", then=lose)


def test_a_run_that_can_not_be_loaded(
    workbench: Make, fake_link: type, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    link = fake_link()
    link.fails = "data.path: 'measurements.csv' does not exist; give the path of a file"
    app, _ = workbench(link=link)
    assert snap_compare(app, terminal_size=SIZES["80x24"])
