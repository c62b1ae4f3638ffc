"""Going back in a run, joining one, leaving one, and going on where the engine is gone."""

from collections.abc import Callable
from typing import Any

import pytest

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.tui.app import Workbench
from aetui.tui.dialogs import Confirm
from aetui.tui.rewind import RewindDialog
from aetui.tui.user_settings import Settings
from aetui.tui.workbench import WorkbenchScreen

NARROW = (80, 24)
FOLDER = "/runs/brisk-otter"
Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def notice(app: Workbench) -> str:
    return app.bench.notice.text


def places() -> tuple[p.Place, ...]:
    steps = {3: (400, "pause"), 2: (300, "before optim.lr 0.001 -> 0.00178"), 1: (0, "start")}
    return tuple(
        p.Place(checkpoint=n, branch=1, step=step, time=0.0, reason=reason, here=n == 3)
        for n, (step, reason) in steps.items()
    )


async def test_that_a_command_changed_nothing_is_said_in_whatever_words_the_engine_has(
    workbench: Make, opened: Open
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.say(p.Accepted(command=0, text="all of it holds", effect="none"))
        await pilot.pause()
        assert notice(app) == "all of it holds"


async def test_the_screen_names_the_key_that_trains_on_and_not_the_engine(workbench: Make, opened: Open) -> None:
    app, link = workbench(settings=Settings(keys={"run-pause": "f12"}))
    async with opened(app) as pilot:
        link.enter("running")
        link.say(p.StateChanged(state="finished", reason="finished 20 steps"))
        await pilot.pause()
        assert notice(app) == "finished 20 steps; F12 trains on"


# --- undo, redo, rewind -------------------------------------------------------------------------


async def test_undo_and_redo_move_the_run_and_say_so(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.enter("running")
        link.train(300, "paused")
        await pilot.press("f8")
        link.train(100, "running")
        await pilot.pause()
        assert len(app.model.loss) == 400
        await pilot.press("u")
        await pilot.pause()
        assert notice(app) == "undone: back at step 300"
        assert (len(app.model.loss), app.model.status.step, app.model.spec.optim.lr) == (300, 300, 0.001)
        assert [mark.kind for mark in app.model.marks] == ["pause"]
        assert "left" in app.bench.panes["loss"].render_line(0).text
        await pilot.press("U")
        await pilot.pause()
        assert notice(app) == "redone: back at step 400"
        assert app.model.spec.optim.lr == pytest.approx(0.00178, rel=1e-2)
        assert [mark.kind for mark in app.model.marks] == ["pause", "tweak"]
        await pilot.press("ctrl+y")
        assert notice(app) == "there is nothing to redo"


@pytest.mark.parametrize(
    ("size", "redo", "left", "said"),
    [
        (
            (120, 40),
            2600,
            2600,
            "undone: lr; now at step 100; ^y returns to step 2,600, F3 after training on",
        ),
        (
            (60, 24),
            2600,
            2600,
            "^y returns to step 2,600, F3 after training on: undone: lr; now at step 100",
        ),
        ((80, 24), 2600, None, "undone: lr; now at step 100; ^y returns to step 2,600"),
        ((80, 24), None, 2600, "undone: lr; now at step 100; F3 returns to step 2,600"),
        ((80, 24), None, None, "undone: lr; now at step 100"),
    ],
)
async def test_whoever_goes_back_is_told_the_key_that_leads_on(
    workbench: Make, opened: Open, size: tuple[int, int], redo: int | None, left: int | None, said: str
) -> None:
    app, link = workbench()
    async with opened(app, size=size) as pilot:
        link.move(9, 100, "undone: lr; now at step 100", redo=redo, left=left)
        await pilot.pause()
        assert notice(app) == said
        link.enter("finished" if left else "paused", "finished 100 steps, as the spec says")
        await pilot.pause()
        assert notice(app) == said


async def test_keys_that_are_mapped_elsewhere_or_nowhere_are_named_as_they_are(workbench: Make, opened: Open) -> None:
    app, link = workbench(settings=Settings(keys={"redo": "f2", "rewind": []}))
    async with opened(app, size=(120, 40)) as pilot:
        link.move(9, 100, "undone", redo=2600, left=2600)
        await pilot.pause()
        assert notice(app) == "undone; F2 returns to step 2,600"


async def test_a_redo_that_is_too_late_names_the_list_that_has_what_was_left(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.say(p.Refused(command=9, text="nothing to redo; what was left at step 2,600 is kept", left=2600))
        await pilot.pause()
        assert notice(app) == "nothing to redo; what was left at step 2,600 is kept; F3 lists it"
        assert len("error: " + notice(app)) <= 78


async def test_where_the_run_arrives_is_said_although_it_pauses_there(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await pilot.press("f8", "f5")
        link.train(400)
        link.say(p.StateChanged(state="paused"))
        link.say(p.Loading(stage="training on to step 300"))
        await pilot.pause()
        assert notice(app) == "training on to step 300"
        link.move(9, 300, "back at step 300")
        link.enter("paused")
        await pilot.pause()
        assert notice(app) == "back at step 300"
        await pilot.press("f5")
        await pilot.pause()
        assert notice(app) == ""
        assert app.session.training


async def test_edits_that_are_not_applied_outlive_an_undo(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app) as pilot:
        await pilot.press("f8")
        app.bench.form.set_value("model.code", "20")
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert [str(one) for one in app.bench.form.pending()] == ["model.code 10 -> 20"]
        assert app.bench.form.applied.optim.lr == 0.001


async def test_what_another_screen_does_is_said_to_be_of_another(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link._set(0, {"optim.lr": "0.01"})
        await pilot.pause()
        assert notice(app) == "another screen: optim.lr 0.001 -> 0.01, takes effect at step 1"
        link.move(0, 0, "undone: back at step 0")
        await pilot.pause()
        assert notice(app) == "another screen: undone: back at step 0"
        assert app.model.journal[-1].text == "undone: back at step 0"


async def test_rewind_goes_to_the_place_that_is_marked(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.train(400, "paused")
        link.places = places()
        await pilot.press("b")
        await pilot.pause()
        assert isinstance(app.screen, RewindDialog)
        link.commands()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert link.commands() == [p.Rewind(id=0, checkpoint=2)]
        assert notice(app) == "back at step 300"
        assert app.model.status.step == 300


async def test_rewind_to_where_the_run_stands_or_escape_sends_nothing(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.places = places()
        for key, said in (("enter", "the run stands there already"), ("escape", "x"), ("f3", "x")):
            await pilot.press("f3")
            await pilot.pause()
            link.commands()
            app.bench.notice.show_text("x")
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, WorkbenchScreen)
            assert link.commands() == []
            assert notice(app) == said


async def test_the_list_waits_for_the_engine_and_hears_of_its_end(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.holding = True
        await pilot.press("f3")
        dialog = app.screen
        assert isinstance(dialog, RewindDialog)
        assert dialog.places is None
        link.lose("the engine ended by signal SIGKILL")
        await pilot.pause()
        lines = ["".join(part.text for part in strip) for strip in dialog._compositor.render_strips()]
        assert any("the engine ended by signal SIGKILL" in line for line in lines)
        await pilot.press("escape", "f3")
        assert isinstance(app.screen, WorkbenchScreen)


async def test_the_list_is_asked_for_again_when_the_run_goes_elsewhere(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.train(400, "paused")
        link.places = places()
        await pilot.press("f3")
        await pilot.pause()
        link.places = places()[1:]
        link.move(0, 300, "back at step 300")
        await pilot.pause()
        assert isinstance(app.screen, RewindDialog)
        assert app.screen.places == link.places


# --- joining ------------------------------------------------------------------------------------


async def test_a_screen_that_joins_sends_nothing_and_has_the_whole_run(
    workbench: Make, opened: Open, fake_link: type
) -> None:
    first, link = workbench(link=fake_link(page=100, folder=FOLDER))
    async with opened(first) as pilot:
        await pilot.press("f8", "f5")
        link.train(950)
        await pilot.pause()
    link.sent.clear()
    app, _ = workbench(link=link, attached=True)
    async with opened(app) as pilot:
        assert link.commands() == []
        assert "joining the run" in app.bench.status.render_line(0).text
        link.join()
        await pilot.pause()
        assert (len(app.model.loss), app.session.training) == (950, True)
        assert [mark.kind for mark in app.model.marks] == ["tweak"]
        assert notice(app) == ""
        await pilot.press("f5")
        await pilot.pause()
        assert link.commands()[-1:] == [p.Pause(id=0)]


async def test_a_stored_run_is_opened_and_says_where_it_stands(workbench: Make, opened: Open) -> None:
    app, link = workbench(open_folder=FOLDER)
    link.step = 700
    async with opened(app):
        assert link.commands() == [p.Open(id=0, folder=FOLDER)]
        assert len(app.model.loss) == 700
        assert notice(app) == "at step 700; F5 trains on"


async def test_a_run_that_is_not_saved_says_so_in_the_header_and_why_in_the_notice(
    workbench: Make, opened: Open
) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        link.unsaved, link.screens = "No space left on device", 2
        link.train(10, "running")
        await pilot.pause()
        assert "NOT SAVED  2 screens" in app.bench.header.render_line(0).text
        assert notice(app) == "not saved: No space left on device"
        app.bench.notice.clear_text()
        link.train(10)
        app.session.look([], 0)
        await pilot.pause()
        assert notice(app) == ""


# --- leaving ------------------------------------------------------------------------------------


@pytest.fixture
def stored(workbench: Make, fake_link: type) -> Make:
    """`app, link = stored(**Workbench's arguments)` on a run with a folder."""
    return lambda **others: workbench(link=fake_link(folder=FOLDER), **others)


@pytest.mark.parametrize(
    ("keys", "leaving"),
    [
        (["q", "enter"], "detach"), (["ctrl+q", "k"], "detach"), (["q", "c"], "stop"), (["q", "down", "enter"], "stop"),
        (["ctrl+q", "ctrl+q"], "detach"), (["d"], "detach"), (["ctrl+d"], "detach"), (["q", "ctrl+d"], "detach"),
    ],
)  # fmt: skip
async def test_a_stored_run_in_training_goes_on_or_stops_as_chosen(
    stored: Make, opened: Open, keys: list[str], leaving: str
) -> None:
    app, _ = stored()
    async with opened(app, NARROW) as pilot:
        await pilot.press("f5", *keys)
        await pilot.pause()
        assert app._exit
        assert app.leaving == leaving


async def test_staying_changes_nothing(stored: Make, opened: Open) -> None:
    app, link = stored()
    async with opened(app, NARROW) as pilot:
        await pilot.press("f5")
        link.commands()
        for keys in (["q", "escape"], ["q", "s"], ["q", "end", "enter"]):
            await pilot.press(*keys)
            assert isinstance(app.screen, WorkbenchScreen)
        assert not app._exit
        assert link.commands() == []


async def test_a_paused_run_stops_without_a_question_and_detaches_if_told(stored: Make, opened: Open) -> None:
    for key, leaving in (("q", "stop"), ("d", "detach")):
        app, _ = stored()
        async with opened(app, NARROW) as pilot:
            await pilot.press(key)
            assert app._exit
            assert app.leaving == leaving


async def test_a_hang_up_leaves_a_stored_run_training(stored: Make, opened: Open) -> None:
    app, _ = stored()
    async with opened(app, NARROW):
        app.exit()
        assert app.leaving == "detach"


@pytest.mark.parametrize("make", [{"placement": "thread"}, {}])
async def test_what_can_not_go_on_alone_stops_and_says_why(
    workbench: Make, opened: Open, fake_link: type, make: dict[str, Any]
) -> None:
    app, _ = workbench(link=fake_link(folder=FOLDER if make else ""), **make)
    async with opened(app, NARROW) as pilot:
        await pilot.press("f5", "d")
        assert notice(app).startswith("can't detach: ")
        assert app.bench.notice.severity == "warning"
        assert not app._exit
        assert app.leaving == "stop"
        await pilot.press("q")
        assert isinstance(app.screen, Confirm)
        await pilot.press("q")
        await pilot.pause()
        assert app._exit
        assert app.leaving == "stop"


@pytest.mark.parametrize("attached", [True, False])
async def test_a_paused_run_that_others_watch_is_asked_about(stored: Make, opened: Open, attached: bool) -> None:
    app, link = stored(attached=attached)
    link.screens = 2
    async with opened(app, NARROW) as pilot:
        if attached:
            link._load(p.New(id=0, spec=link.info.spec))
        await pilot.pause()
        app.session.look([], 0)
        await pilot.pause()
        await pilot.press("q")
        assert isinstance(app.screen, Confirm)
        lines = ["".join(part.text for part in strip) for strip in app.screen._compositor.render_strips()]
        assert any("1 other screen watches it" in line for line in lines)
        await pilot.press("enter")
        await pilot.pause()
        assert app.leaving == "detach"


# --- when the engine is gone ----------------------------------------------------------------------


async def test_an_orderly_end_shows_its_text_and_is_no_failure(stored: Make, opened: Open) -> None:
    app, link = stored()
    async with opened(app, NARROW) as pilot:
        await pilot.press("f5")
        link.say(p.Ended(text="the run is stored at step 0; aetui resume brisk-otter goes on"))
        link.lose("the connection is closed")
        await pilot.pause()
        assert notice(app) == "the run is stored at step 0; aetui resume brisk-otter goes on"
        assert app.bench.notice.severity == "note"
        assert "ENDED" in app.bench.status.render_line(0).text
        assert app.model.error == ""
        await pilot.press("f8", "q")
        assert app._exit
        assert app.leaving == "stop"


async def test_a_loop_of_somebody_else_s_is_not_offered_another_engine(
    workbench: Make, opened: Open, fake_link: type
) -> None:
    begun: list[int] = []
    app, link = workbench(link=fake_link(folder=FOLDER, spec=""), new_engine=lambda: begun.append(1))
    async with opened(app, (120, 40)) as pilot:
        link.train(500, "running")
        await pilot.pause()
        link.lose("the run mine is stored at step 500")
        await pilot.pause()
        assert notice(app) == "the run mine is stored at step 500"
        await pilot.press("f5")
        await pilot.pause()
        assert notice(app) == "the run mine is stored at step 500" and not begun


@pytest.mark.parametrize("training", [True, False])
async def test_a_run_whose_engine_is_gone_goes_on_with_another(
    stored: Make, opened: Open, fake_link: type, training: bool
) -> None:
    second = fake_link(folder=FOLDER)
    app, link = stored(new_engine=lambda: second)
    async with opened(app, NARROW) as pilot:
        link.train(500, "running" if training else "paused")
        await pilot.pause()
        link.lose("the engine ended by signal SIGKILL")
        await pilot.pause()
        assert notice(app) == "F5 resumes the run from the store: the engine ended by signal SIGKILL"
        assert len(app.model.loss) == 500
        second.step = 480
        second.holding = True
        await pilot.press("f5")
        await pilot.pause(0.1)
        app.session.look([], 0)
        second.release()
        await pilot.pause()
        assert second.commands() == [p.Open(id=0, folder=FOLDER, start=training)]
        assert app.session.link is second
        assert link.detached
        assert app.session.training is training
        assert (app.model.status.step, len(app.model.loss)) == (480, 480)
        link.lose("once more")
        await pilot.pause()
        assert app.session.lost == ""
        await pilot.press("f8")
        assert second.commands() == [p.Nudge(id=0, by=1)]


async def test_an_engine_that_can_not_be_started_leaves_the_figures_and_may_be_tried_again(
    stored: Make, opened: Open
) -> None:
    def revive() -> p.Link:
        raise OSError("brisk-otter is in use by process 7")

    app, link = stored(new_engine=revive)
    async with opened(app, NARROW) as pilot:
        link.train(500, "running")
        await pilot.pause()
        link.lose("the engine ended by signal SIGKILL")
        for _ in range(2):
            await pilot.pause()
            await pilot.press("f5")
            await pilot.pause(0.1)
            assert notice(app) == "the run can't be resumed: brisk-otter is in use by process 7"
        assert len(app.model.loss) == 500


async def test_keys_while_the_engine_is_gone_name_the_one_that_helps(stored: Make, opened: Open) -> None:
    app, link = stored(new_engine=lambda: link, spec=RunSpec())
    async with opened(app, NARROW) as pilot:
        link.lose("the engine ended by signal SIGKILL")
        await pilot.pause()
        for key in ("f8", "u", "f6"):
            app.bench.notice.clear_text()
            await pilot.press(key)
            await pilot.pause()
            assert notice(app) == "F5 resumes the run from the store: the engine ended by signal SIGKILL"
