"""Every action of the workbench by its keys, on a fake engine: what is sent, and what changes on the screen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.geometry import Region
from textual.pilot import Pilot

from aetui import protocol as p
from aetui.spec import RunSpec, changed, loads
from aetui.tui.actions import ACTIONS, PANES, Action
from aetui.tui.app import Workbench
from aetui.tui.clip_dialog import ChooseClipping
from aetui.tui.dialogs import AskSteps, Confirm, ShowText
from aetui.tui.find_setting import FindSetting
from aetui.tui.help import HelpScreen
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.rewind import RewindDialog
from aetui.tui.whatif.choose import ChooseForks
from aetui.tui.workbench import WorkbenchScreen

pytestmark = pytest.mark.usefixtures("plain_backdrop")

NARROW = (80, 24)
Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def notice(app: Workbench) -> str:
    return app.bench.notice.text


async def edit(pilot: Pilot[None], path: str, *keys: str) -> None:
    """Open the editor of a setting, with its value selected, and type."""
    app = pilot.app
    assert isinstance(app, Workbench)
    await pilot.press("3")
    app.bench.form.select(path)
    await pilot.press("enter", *keys)


# --- every action by each of its keys -----------------------------------------------------------


def loss_pane(app: Workbench) -> LossPane:
    pane = app.bench.panes["loss"]
    assert isinstance(pane, LossPane)
    return pane


def sends(*wanted: p.Commands) -> Callable[[Workbench, Any], bool]:
    return lambda app, link: link.commands() == list(wanted)


def opens(screen: type) -> Callable[[Workbench, Any], bool]:
    return lambda app, link: isinstance(app.screen, screen) and link.commands() == []


DONE: dict[str, Callable[[Workbench, Any], bool]] = {
    "run-pause": sends(p.Run(id=0)),
    "step": sends(p.Run(id=0, steps=1)),
    "run-steps": opens(AskSteps),
    "examine": sends(p.Examine(id=0)),
    "what-if": opens(ChooseForks),
    "undo": sends(p.Undo(id=0)),
    "redo": sends(p.Redo(id=0)),
    "rewind": lambda app, link: isinstance(app.screen, RewindDialog) and p.ListPlaces() in link.sent,
    "detach": lambda app, link: notice(app).startswith("can't detach: the run is not stored"),
    "lr-down": sends(p.Nudge(id=0, path="optim.lr", by=-1)),
    "lr-up": sends(p.Nudge(id=0, path="optim.lr", by=1)),
    "clipping": opens(ChooseClipping),
    "find-setting": opens(FindSetting),
    "export": lambda app, link: "not stored" in notice(app) and link.commands() == [],
    "apply-form": lambda app, link: notice(app) == "no setting is edited" and link.commands() == [],
    "reset-form": lambda app, link: app.bench.form.pending() == [] and not app.bench.form.editing,
    "next-pane": lambda app, link: app.bench.focused_pane == "variance",
    "previous-pane": lambda app, link: app.bench.focused_pane == "why",
    "suspend": lambda app, link: notice(app) == "can't suspend: this screen has no terminal; ^d detaches",
    "maximize": lambda app, link: app.bench.alone and len(app.bench.visible_panes) == 1,
    "focus-next": lambda app, link: app.bench.focused_pane in ("pairs", "code", "layers", "journal", "why"),
    "focus-previous": lambda app, link: app.bench.focused_pane == "loss",
    "leave": lambda app, link: app.bench.focused is None,
    "chart-log": lambda app, link: not loss_pane(app).logarithmic,
    "chart-window": lambda app, link: loss_pane(app).view.latest == 1000,
    "chart-curve": lambda app, link: loss_pane(app).curve == "gradient norm",
    "chart-axis": lambda app, link: loss_pane(app).axis == "epoch",
    "chart-marker": lambda app, link: loss_pane(app).marker == "quadrants",
    "chart-smoothing": lambda app, link: loss_pane(app).smoothing == 10,
    "sample-next": lambda app, link: link.looks()[-1].sample in (1, 2),
    "sample-previous": lambda app, link: link.looks()[-1].sample in (1, 0),
    "next-theme": lambda app, link: app.theme == "high-contrast" and notice(app) == "theme high-contrast",
    "about": opens(ShowText),
    "copy": lambda app, link: notice(app).startswith("copied, also in "),
    "screenshot": lambda app, link: Path("aetui-brisk-otter-1200.svg").read_text().startswith("<svg"),
    "command-palette": opens(CommandPalette),
    "help": opens(HelpScreen),
} | {
    f"pane-{name}": lambda app, link, name=name: app.bench.focused_pane == name and app.bench.panes[name].display
    for name, _ in PANES
}
IN_EDITOR = {
    "next-pane": lambda app, link: app.bench.focused_pane == "code" and app.bench.form.draft.optim.lr == 0.25,
    "apply-form": sends(p.Set(id=0, changes={"optim.lr": "0.25"})),
    "focus-next": lambda app, link: app.bench.focused_pane == "loss" and app.bench.form.draft.optim.lr == 0.25,
    "focus-previous": lambda app, link: app.bench.form.draft.optim.lr == 0.25,
    "leave": lambda app, link: not app.bench.form.editing and app.bench.form.pending() == [],
}
"""What is different while a value is typed."""


async def at_rest(pilot: Pilot[None], link: Any) -> None:
    """Paused at step 1,200, without clipping, edits, dialogs or focus."""
    app = pilot.app
    assert isinstance(app, Workbench)
    while app.screen is not app.bench:
        await pilot.press("escape")
    app.bench.form.reset()
    app.bench.active = "loss"
    app.session.set({"clip.kind": "none", "optim.lr": "0.001"})
    link.step = 1200
    link.enter("paused")
    if app.bench.alone:
        app.bench.toggle_maximize()
    app.bench.set_focus(None)
    await pilot.pause()
    link.commands()


async def act(pilot: Pilot[None], link: Any, action: Action, key: str) -> None:
    """What there must be for an action to do something, and the key."""
    app = pilot.app
    assert isinstance(app, Workbench)
    if action.id == "reset-form" and not app.bench.form.editing:
        app.bench.form.set_value("optim.lr", "0.5")
    if action.id in ("leave", "focus-next", "focus-previous") and not app.bench.form.editing:
        app.bench.choose("variance")
        await pilot.pause()
    link.commands()
    await pilot.press(key)
    await pilot.pause()


GROUPS = sorted({action.group for action in ACTIONS})


@pytest.mark.parametrize("group", GROUPS)
async def test_every_key_does_what_its_action_says(
    workbench: Make, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str
) -> None:
    monkeypatch.chdir(tmp_path)
    app, link = workbench()
    async with opened(app) as pilot:
        for action in ACTIONS:
            for key in action.keys + action.plain_keys:
                if action.group == group and action.id != "quit":
                    await at_rest(pilot, link)
                    await act(pilot, link, action, key)
                    assert DONE[action.id](app, link), f"{action.id} by {key}"


async def test_function_and_control_keys_act_while_a_value_is_typed(
    workbench: Make, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    app, link = workbench()
    async with opened(app) as pilot:
        for action in ACTIONS:
            for key in action.keys:
                if action.id != "quit":
                    await at_rest(pilot, link)
                    app.bench.choose("settings")
                    await pilot.pause()
                    app.bench.form.select("optim.lr")
                    app.bench.form.edit("0.25")
                    await pilot.pause()
                    assert app.bench.form.editing
                    await act(pilot, link, action, key)
                    assert IN_EDITOR.get(action.id, DONE[action.id])(app, link), f"{action.id} by {key}"


@pytest.mark.parametrize(("key", "typing"), [("q", False), ("ctrl+q", False), ("ctrl+q", True)])
async def test_at_rest_quitting_needs_no_question(workbench: Make, opened: Open, key: str, typing: bool) -> None:
    app, _ = workbench()
    async with opened(app, NARROW) as pilot:
        if typing:
            await edit(pilot, "optim.lr", "1")
        await pilot.press(key)
        assert app._exit


def test_every_action_has_its_check() -> None:
    assert set(DONE) | {"quit"} == {action.id for action in ACTIONS}


async def test_plain_keys_are_typed_while_a_value_is_edited(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await edit(pilot, "data.rows", *"1:9:2sqz", "space")
        assert link.commands()[1:] == []
        assert app.bench.focused_pane == "settings"
        assert app.focused is not None and getattr(app.focused, "value", "") == "1:9:2sqz "


# --- training -----------------------------------------------------------------------------------


async def test_a_key_that_waits_is_acknowledged_and_its_repeat_undoes_nothing(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, size=(80, 24)) as pilot:
        link.train(50, "running")
        await pilot.pause()
        link.commands()
        link.holding = True
        await pilot.press("f5", "f5")
        assert link.commands() == [p.Pause(id=0)]
        assert app.bench.notice.text == "pausing: waits for the step under way"
        assert shown_status(app).startswith(" PAUSING")
        await pilot.press("f8")
        await pilot.pause(1.0)
        assert app.bench.notice.text == "optim.lr 0.001 -> 0.00177828 ...: waits for the step under way"
        link.release()
        await pilot.pause()
        assert shown_status(app).startswith(" PAUSED")
        assert app.bench.notice.text.startswith("optim.lr 0.001 -> 0.00177828, takes effect at step")


def shown_status(app: Any) -> str:
    return app.bench.status.render_lines(Region(0, 0, 80, 1))[0].text


async def test_keys_before_the_run_is_loaded_are_sent_after_it(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    link.holding = True
    async with opened(app) as pilot:
        await pilot.press("f5", "f7", "f6")
        new, *rest = link.commands()
        assert isinstance(new, p.New)
        assert rest == [p.Run(id=0), p.Nudge(id=0, by=-1), p.Run(id=0, steps=1)]
        link.release()
        await pilot.pause()
        assert app.model.spec.optim.lr == pytest.approx(1e-3 / 10**0.25, rel=1e-5)


async def test_a_run_can_start_by_itself(workbench: Make, opened: Open) -> None:
    app, link = workbench(start=True)
    async with opened(app):
        (new,) = link.commands()
        assert new.start
        assert app.session.training


async def test_a_number_of_steps_is_asked_for_and_sent(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.commands()
        await pilot.press("n", "ctrl+u", *"2e3", "enter", "n", "escape")
        await pilot.pause()
        assert link.commands() == [p.Run(id=0, steps=2000)]
        assert app.model.status.step == 2000


async def test_a_tweak_says_when_it_takes_effect(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.train(1233, "running")
        await pilot.press("f8", "f7")
        await pilot.pause()
        assert notice(app) == "optim.lr 0.00177828 -> 0.001, takes effect at step 1,234"


async def test_quitting_asks_once_while_training(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app) as pilot:
        await pilot.press("f5", "ctrl+q")
        assert isinstance(app.screen, Confirm)
        await pilot.press("escape")
        assert isinstance(app.screen, WorkbenchScreen)
        await pilot.press("q", "ctrl+q")
        assert app._exit


# --- the form -----------------------------------------------------------------------------------


async def test_live_edits_are_sent_at_once_and_alone(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        app.bench.form.set_value("optim.lr", "3e-4")
        app.bench.form.set_value("train.batch_size", "32")
        link.commands()
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert link.commands() == [p.Set(id=0, changes={"optim.lr": "0.0003", "train.batch_size": "32"})]
        assert app.bench.form.pending() == []
        assert notice(app) == "optim.lr 0.001 -> 0.0003, train.batch_size 64 -> 32, takes effect at step 1"


DRAFT = changed(RunSpec(), {"model.code": 20, "optim.lr": 0.01})


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("n", lambda found: [loads(one.spec) for one in found] == [DRAFT]),
        ("l", lambda found: found == [p.Set(id=0, changes={"optim.lr": "0.01"})]),
        ("k", lambda found: found == []),
        ("escape", lambda found: found == []),
    ],
)
async def test_edits_that_need_a_new_run_offer_one(
    workbench: Make, opened: Open, key: str, sent: Callable[[list[Any]], bool]
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        app.bench.form.set_value("model.code", "20")
        app.bench.form.set_value("optim.lr", "0.01")
        link.commands()
        await pilot.press("ctrl+s")
        assert link.commands() == []
        await pilot.press(key)
        await pilot.pause()
        assert sent(link.commands())
        assert len(app.bench.form.pending()) == {"n": 0, "l": 1}.get(key, 2)
        assert app.bench.form.draft == DRAFT


async def test_a_value_that_is_refused_keeps_the_editor_and_sends_nothing(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await edit(pilot, "optim.lr", *"fast")
        link.commands()
        await pilot.press("ctrl+s")
        assert link.commands() == []
        assert app.bench.form.editing
