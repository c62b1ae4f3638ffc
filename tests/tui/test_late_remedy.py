"""A remedy that comes too late where the run stands: what is offered, and what is then sent in which order."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from aetui import protocol as p
from aetui.report import TOO_LATE, Explained, Remedy, Report
from aetui.spec import RunSpec
from aetui.tui.app import Workbench
from aetui.tui.dialogs import Confirm
from aetui.tui.late_remedy import LateRemedyDialog, late_settings, sound_places

SIZES = [(120, 40), (80, 24)]
RUINED = "98% of the units of encoder.activation1 are 0 for every row (2% at step 0), and get no gradient"
Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def place(number: int, step: int, explained: float | None, **changes: Any) -> p.Place:
    known = {"branch": 1, "time": 0.0, "reason": "pause" if step else "start", "loss": 0.1, "explained": explained}
    return p.Place(checkpoint=number, step=step, **(known | {"explained_step": step} | changes))


HERE = place(9, 1200, 0.011, here=True)
START = place(1, 0, None)
SOUND = place(4, 600, 0.7)


@pytest.fixture
def ruined(run_model: Any) -> p.Diagnosis:
    found = run_model.diagnosis()
    return structs.replace(found, report=structs.replace(found.report, ruined=RUINED))


def text_of(app: Workbench) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def words(app: Workbench) -> str:
    """What the dialog says, in one line."""
    box = app.screen.query_one(".dialog").content_region
    rows = text_of(app).split("\n")[box.y : box.bottom]
    return " ".join(" ".join(row[box.x : box.right] for row in rows).split())


# --- where to ------------------------------------------------------------------------------------

REPORT = Report(verdict="collapsed", headline="", explained_variance=Explained(whole=0.01, linear=0.74), ruined=RUINED)


@pytest.mark.parametrize(
    ("places", "steps"),
    [
        ((HERE, SOUND, START), [600, 0]),
        ((HERE, place(5, 900, 0.72), SOUND, START), [900, 0]),
        ((HERE, place(5, 900, 0.2), SOUND, START), [600, 0]),
        ((HERE, place(5, 900, None), START), [0]),
        ((HERE, place(5, 900, 0.7, explained_step=850), START), [0]),
        ((HERE, place(5, 900, 0.7, loss=None), START), [0]),
        ((HERE, place(5, 900, 0.7, on_path=False), START), [0]),
        ((place(5, 900, 0.7, here=True), START), [0]),
        ((HERE,), []),
        ((), []),
    ],
)
def test_the_last_sound_checkpoint_comes_before_step_0(places: tuple[p.Place, ...], steps: list[int]) -> None:
    assert [one.step for one in sound_places(places, REPORT)] == steps


def test_without_a_yardstick_only_a_checkpoint_far_above_the_collapse_is_sound() -> None:
    report = structs.replace(REPORT, explained_variance=Explained(whole=None, linear=None))
    assert [one.step for one in sound_places((HERE, place(5, 900, 0.4), SOUND, START), report)] == [600, 0]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"optim.lr": 1e-4}, {"optim.lr": "0.0001"}),
        ({"optim.lr": 1e-4, "model.code": 3}, {}),
        ({"optim.lr": -1.0}, {}),
        ({"optim.lr": 1e-3}, {}),
        ({}, {}),
    ],
)
def test_only_a_remedy_whose_settings_are_all_live_can_be_applied_elsewhere(
    settings: dict[str, Any], found: dict[str, str]
) -> None:
    remedy = Remedy(id="x", text="x", set=settings)
    assert late_settings(RunSpec(), REPORT, remedy) == found
    assert late_settings(RunSpec(), structs.replace(REPORT, ruined=""), remedy) == {}


# --- what is asked and sent ----------------------------------------------------------------------


async def at_why(pilot: Any, link: Any, diagnosis: p.Diagnosis, *places: p.Place, state: str = "paused") -> None:
    link.diagnosis, link.places = diagnosis, places
    link.train(1200, state)
    await pilot.pause()
    await pilot.press("y")
    await pilot.pause()
    link.commands()


REWIND_AND_SET = [p.Rewind(id=0, checkpoint=1), p.Set(id=0, changes={"optim.lr": "0.0001"})]


@pytest.mark.parametrize("size", SIZES)
async def test_the_pane_says_that_it_is_too_late_and_f_goes_back_and_applies(
    workbench: Make, opened: Open, ruined: p.Diagnosis, size: tuple[int, int]
) -> None:
    app, link = workbench()
    async with opened(app, size=size) as pilot:
        await at_why(pilot, link, ruined, HERE, START)
        assert "f go back and apply" in text_of(app)
        assert TOO_LATE in text_of(app)
        await pilot.press("f")
        await pilot.pause()
        assert isinstance(app.screen, LateRemedyDialog)
        for said in (
            RUINED,
            "optim.lr 0.001 -> 0.0001 (live)",
            "[g] go back to step 0 and apply it there",
            "[f] put it into the form for the run as it is",
            "[c] cancel",
        ):
            assert said in words(app)
        assert all(len(line) == size[0] for line in text_of(app).split("\n"))
        await pilot.press("enter")
        await pilot.pause()
        assert link.commands() == REWIND_AND_SET
        assert (app.model.status.step, app.model.spec.optim.lr) == (0, 1e-4)
        assert app.bench.notice.text == "optim.lr 0.001 -> 0.0001, takes effect at step 1"
        await pilot.press("u")
        await pilot.pause()
        assert app.model.spec.optim.lr == 1e-3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("key", "checkpoint"), [("enter", 4), ("g", 4), ("0", 1)])
async def test_a_later_sound_checkpoint_is_offered_first_and_step_0_too(
    workbench: Make, opened: Open, ruined: p.Diagnosis, size: tuple[int, int], key: str, checkpoint: int
) -> None:
    app, link = workbench()
    async with opened(app, size=size) as pilot:
        await at_why(pilot, link, ruined, HERE, SOUND, START)
        await pilot.press("f")
        await pilot.pause()
        assert "[g] go back to step 600 (expl. var. 0.700) and apply it there" in text_of(app)
        assert "[0] go back to step 0 and apply it there" in text_of(app)
        await pilot.press(key)
        await pilot.pause()
        assert link.commands()[0] == p.Rewind(id=0, checkpoint=checkpoint)


async def test_a_run_that_trained_trains_on_there(workbench: Make, opened: Open, ruined: p.Diagnosis) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined, HERE, START, state="running")
        await pilot.press("f", "g")
        await pilot.pause()
        assert link.commands() == [*REWIND_AND_SET, p.Run(id=0)]
        assert app.session.training


async def test_the_settings_go_nowhere_where_the_way_back_is_refused(
    workbench: Make, opened: Open, ruined: p.Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, link = workbench()
    obey = link._obey

    def refuse(command: p.Commands) -> None:
        if isinstance(command, p.Rewind):
            link.say(p.Refused(command=command.id, text="the checkpoint is gone"))
        else:
            obey(command)

    monkeypatch.setattr(link, "_obey", refuse)
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined, HERE, START, state="running")
        await pilot.press("f", "g")
        await pilot.pause()
        assert link.commands() == REWIND_AND_SET[:1]
        assert app.bench.notice.text == "the checkpoint is gone"
        assert app.model.spec.optim.lr == 1e-3


async def test_the_settings_are_sent_once_the_run_has_arrived(
    workbench: Make, opened: Open, ruined: p.Diagnosis
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined, HERE, START)
        await pilot.press("f")
        await pilot.pause()
        link.holding = True
        await pilot.press("g")
        await pilot.pause()
        assert link.commands() == REWIND_AND_SET[:1]
        link.release()
        await pilot.pause()
        assert link.commands() == REWIND_AND_SET[1:]


@pytest.mark.parametrize(("key", "form"), [("f", True), ("c", False), ("escape", False)])
async def test_the_form_is_still_a_way_and_escape_changes_nothing(
    workbench: Make, opened: Open, ruined: p.Diagnosis, key: str, form: bool
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined, HERE, START)
        await pilot.press("f", key)
        await pilot.pause()
        assert link.commands() == []
        assert [one.path for one in app.bench.form.pending()] == ["optim.lr"] * form


async def test_keys_wait_for_the_checkpoints(workbench: Make, opened: Open, ruined: p.Diagnosis) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined, HERE, START)
        await pilot.press("f")
        await pilot.pause()
        dialog = app.screen
        assert isinstance(dialog, LateRemedyDialog) and not dialog.waits
        await pilot.press("escape")
        link.holding = True
        await pilot.press("f")
        await pilot.pause()
        dialog = app.screen
        assert isinstance(dialog, LateRemedyDialog) and dialog.waits
        assert "waiting for the checkpoints" in text_of(app)
        link.release()
        await pilot.pause()
        assert not dialog.waits
        assert "[g] go back to step 0" in text_of(app)


async def test_without_a_checkpoint_and_without_an_engine_the_form_is_left(
    workbench: Make, opened: Open, ruined: p.Diagnosis
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined)
        await pilot.press("f")
        await pilot.pause()
        assert "no earlier checkpoint is stored" in text_of(app)
        assert "go back to" not in text_of(app)
        await pilot.press("escape")
        link.lose("the engine was killed")
        await pilot.pause()
        await pilot.press("f")
        await pilot.pause()
        assert "the engine was killed" in text_of(app)
        await pilot.press("enter")
        assert [one.path for one in app.bench.form.pending()] == ["optim.lr"]


async def test_a_structural_remedy_stays_a_matter_of_a_new_run(
    workbench: Make, opened: Open, ruined: p.Diagnosis
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await at_why(pilot, link, ruined, HERE, START)
        await pilot.press("down", "f")
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)
        assert app.bench.notice.text == "model.hidden 128 -> 256 is in the form; it needs a new run, ^s offers one"
