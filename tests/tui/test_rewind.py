"""The list of checkpoints, and the traces of branches on the chart."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace
from textual.app import App

from aetui import protocol as p
from aetui.tui import checkpoint_rows, rewind
from aetui.tui.model import RunModel
from aetui.tui.panes.left_traces import LeftBranches
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.themes import variable_defaults

NOW = 1_760_000_000.0


def place(number: int, **changes: object) -> p.Place:
    values: dict[str, object] = {
        "checkpoint": number, "branch": 1, "step": 100 * number, "time": NOW - 60 * number, "reason": "pause",
        "loss": 0.5 / (1 + number), "explained": 0.8, "explained_step": 100 * number,
    }  # fmt: skip
    return p.Place(**(values | changes))  # pyright: ignore[reportArgumentType]


PLACES = (
    place(4, here=True, reason="pause"),
    place(3, on_path=False, reason="before optim.lr 0.1 -> 0.01"),
    place(2, loss=None, explained=None),
    place(0, reason="start"),
)


class DialogApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.dialog = rewind.RewindDialog()
        self.answers: list[int | None] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def on_mount(self) -> None:
        self.push_screen(self.dialog, self.answers.append)

    def text(self) -> str:
        strips = self.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


SIZES = [(120, 40), (80, 24), (40, 12)]


@pytest.mark.usefixtures("at_now")
@pytest.mark.parametrize("size", SIZES)
async def test_places_have_step_whereabouts_and_reason_at_every_size(size: tuple[int, int]) -> None:
    app = DialogApp()
    async with app.run_test(size=size) as pilot:
        assert "waiting for the engine" in app.text()
        app.dialog.show(PLACES)
        await pilot.pause()
        text = app.text()
        for part in ("here", "left", "400", "300", "start", "reason", "step 400 (here), pause", "Esc stays"):
            assert part in text
        assert all(len(line) == size[0] for line in text.split("\n"))
        rows = text.split("\n")
        head = next(row for row in rows if " step " in row)
        for number, row in ((400, "pause"), (300, "before")):
            shown = next(line for line in rows if f" {number} " in line and row in line)
            assert shown.index(f"{number}") + 3 == head.index("step") + 4
            assert shown.index(row) == head.index("reason")
        if size[0] >= 80:
            for part in ("0.100", "0.800", "4 min", "before optim.lr 0.1"):
                assert part in text
        await pilot.press("down")
        await pilot.pause()
        assert "step 300 (left), before optim.lr 0.1 -> 0.01, loss 0.125" in " ".join(
            app.text().replace("│", " ").split()
        )


@pytest.mark.parametrize(
    ("keys", "answer"),
    [(["enter"], 4), (["down", "enter"], 3), (["end", "enter"], 0), (["end", "home", "enter"], 4), (["escape"], None)],
)
async def test_enter_takes_the_marked_one_and_escape_none(keys: list[str], answer: int | None) -> None:
    app = DialogApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.dialog.show(PLACES)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        assert app.answers == [answer]


@pytest.mark.parametrize("shown", [None, ()])
async def test_without_places_it_says_why_and_enter_does_nothing(shown: tuple[p.Place, ...] | None) -> None:
    app = DialogApp()
    async with app.run_test(size=(40, 12)) as pilot:
        if shown is not None:
            app.dialog.show(shown)
        await pilot.press("enter", "down", "pagedown")
        await pilot.pause()
        assert ("waiting" if shown is None else "no checkpoint") in app.text()
        assert app.answers == []
        await pilot.press("escape")
        await pilot.pause()
        assert app.answers == [None]


@pytest.mark.parametrize("size", SIZES)
async def test_a_thousand_places_go_by_page_and_to_their_end(size: tuple[int, int]) -> None:
    many = [place(number) for number in range(1500, 0, -1)]
    app = DialogApp()
    async with app.run_test(size=size) as pilot:
        app.dialog.show(many)
        await pilot.pause()
        await pilot.press("pagedown")
        await pilot.pause()
        page = app.dialog.picks.cursor
        assert 1 < page <= size[1]
        assert f"{many[page].step:,}" in app.text()
        await pilot.press("end")
        await pilot.pause()
        assert "step 100, pause" in app.text()
        await pilot.press("pageup", "home", "enter")
        await pilot.pause()
        assert app.answers == [1500]


async def test_a_newer_list_leaves_the_cursor_on_its_checkpoint() -> None:
    app = DialogApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.dialog.show(PLACES)
        await pilot.press("down", "down")
        app.dialog.show((place(9), *PLACES))
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.answers == [2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (12.9, "12 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86_400 * 400, "400 d")],
)
def test_ages_have_one_unit_and_are_never_negative(seconds: float, text: str) -> None:
    assert rewind.age(seconds) == text


# --- branches on the chart ------------------------------------------------------------------------


def branch(start: int, end: int, loss: np.ndarray, number: int = 1) -> p.Branch:
    steps = np.linspace(start + 1, end, len(loss))
    return p.Branch(id=number, start=start, end=end, steps=p.Array.of(steps), loss=p.Array.of(loss))


WHOLE = (-np.inf, np.inf)


def test_a_trace_begins_where_the_branch_left_and_ends_where_it_ends() -> None:
    (band,), cut = LeftBranches().bands((branch(400, 900, np.linspace(1, 0.5, 250)),), 0, 1000, 100, WHOLE)
    assert not cut
    assert band.x.min() == pytest.approx(405, abs=10)
    assert band.x.max() == pytest.approx(895, abs=15)
    assert np.all(np.diff(band.x) == pytest.approx(20))
    assert np.interp(650, band.x, (band.low + band.high) / 2) == pytest.approx(0.75, abs=0.02)


def test_a_trace_of_few_points_is_drawn_between_them() -> None:
    (band,), _ = LeftBranches().bands((branch(0, 1000, np.array([1.0, 0.5])),), 0, 1000, 100, WHOLE)
    assert len(band.x) == 50
    (band,), _ = LeftBranches().bands((branch(500, 501, np.array([1.0])),), 0, 1000, 100, WHOLE)
    assert len(band.x) == 1


def test_values_that_are_not_finite_are_a_gap_and_never_drawn() -> None:
    loss = np.ones(1000)
    loss[300:600] = np.nan
    loss[600] = np.inf
    (band,), _ = LeftBranches().bands((branch(0, 1000, loss),), 0, 1000, 100, WHOLE)
    assert np.isfinite(band.low).all()
    assert np.isfinite(band.high).all()
    assert not ((band.x > 310) & (band.x < 590)).any()
    found, cut = LeftBranches().bands(
        (branch(0, 1000, np.full(10, np.nan)), branch(9, 9, np.empty(0))), 0, 1000, 9, WHOLE
    )
    assert (found, cut) == ([], False)


def test_what_is_far_from_the_present_loss_is_cut_and_said_so(
    run_model: Callable[..., RunModel], render_pane: Callable[..., list[str]]
) -> None:
    wild = branch(300, 900, np.geomspace(0.2, 1e9, 600))
    lines = render_pane(LossPane(), run_model(400, branches=(wild,), goal=None), (120, 24))
    assert "left cut" in lines[1]
    assert not any("1e8" in line for line in lines)
    near = branch(300, 900, np.geomspace(0.2, 0.1, 600))
    lines = render_pane(LossPane(), run_model(400, branches=(near,), goal=None), (120, 24))
    assert "⠒ ⠒ left" in lines[1]
    assert "cut" not in lines[1]


@pytest.mark.parametrize("keys", ["", "l", "w", "ww", "m", "lwm"])
@pytest.mark.parametrize("steps", [0, 1, 400, 5000])
def test_branches_go_with_every_axis_window_and_smoothing(
    run_model: Callable[..., RunModel], render_pane: Callable[..., list[str]], keys: str, steps: int
) -> None:
    left = tuple(branch(300 * i, 300 * i + 900, 0.2 + np.random.default_rng(i).random(200), i) for i in range(1, 41))
    lines = render_pane(LossPane(), run_model(steps, branches=left, goal=None), (100, 20), keys=keys)
    assert [len(line) for line in lines] == [100] * 20
    if not keys:
        assert "left (40 branches" in lines[1]


def test_the_chart_has_room_for_what_was_left(
    run_model: Callable[..., RunModel], render_pane: Callable[..., list[str]]
) -> None:
    model = run_model(100, branches=(branch(90, 1900, np.full(200, 0.3)),), goal=None)
    assert LossPane().view.range(model) == (0, 2000)


# --- rows -----------------------------------------------------------------------------------------


def pressed(number: int, step: int, **changes: object) -> p.Place:
    return place(
        number, step=step, time=NOW - 100 + number, reason=f"before optim.lr {number} -> {number + 1}", **changes
    )


HELD = (
    place(9, step=500, here=True),
    *(pressed(number, 50 + 5 * number) for number in range(6, 1, -1)),
    place(1, step=55, reason="before clip.kind none -> global, clip.threshold - -> 1"),
    place(0, reason="start"),
)


@pytest.mark.usefixtures("at_now")
@pytest.mark.parametrize("size", SIZES)
async def test_near_checkpoints_are_one_row_that_says_so_and_can_be_listed(size: tuple[int, int]) -> None:
    app = DialogApp()
    async with app.run_test(size=size) as pilot:
        app.dialog.show(HELD)
        await pilot.pause()
        assert len(app.dialog.picks.lines) == 4
        await pilot.press("down")
        await pilot.pause()
        assert "before optim.lr 2 -> 3 (+4 like it)" in app.dialog.picks.lines[1]
        said = " ".join(app.text().replace("│", " ").split())
        assert size[0] < 80 or "4 more up to step 80, right lists them" in said
        await pilot.press("right")
        await pilot.pause()
        assert len(app.dialog.picks.lines) == 8
        assert "(+" not in "".join(app.dialog.picks.lines)
        app.dialog.show((place(10, step=600), *HELD))
        assert app.dialog.picks.cursor == 6
        await pilot.press("up", "left")
        await pilot.pause()
        assert (len(app.dialog.picks.lines), app.dialog.picks.cursor) == (5, 2)
        await pilot.press("enter")
        await pilot.pause()
        assert app.answers == [2]


def test_only_near_checkpoints_before_tweaks_of_the_same_setting_on_the_same_branch_are_one_row() -> None:
    one = pressed(5, 1000)
    assert len(checkpoint_rows.grouped([one, pressed(4, 995)])) == 1
    assert len(checkpoint_rows.grouped([one, replace(pressed(4, 100), time=one.time - 1)])) == 1
    for other in (
        pressed(4, 995, branch=2),
        pressed(4, 995, on_path=False),
        pressed(4, 995, here=True),
        replace(pressed(4, 995), reason="before optim.beta1 0.9 -> 0.8"),
        replace(pressed(4, 995), reason="pause"),
        replace(pressed(4, 900), time=one.time - 60),
    ):
        assert len(checkpoint_rows.grouped([one, other])) == 2
    pauses = [place(number, step=100) for number in range(5)]
    assert len(checkpoint_rows.grouped(pauses)) == 5
