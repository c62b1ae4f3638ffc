"""Every pane's actions at every layout, with Settings never on the screen: what they act on is the run's own."""

import pytest
from textual.binding import Binding

from aetui import protocol as p
from aetui.spec import RunSpec, changed, differences, loads
from aetui.tui.actions import PANES
from aetui.tui.dialogs import Dialog

pytestmark = pytest.mark.usefixtures("plain_backdrop")

MINE = changed(RunSpec(), {"data.scaling": "none", "model.code": 3, "optim.lr": 0.0007, "train.steps": 300})
"""Differs from the defaults in every kind of setting."""
WORKBENCH_KEYS = ("space", "s", "u", "U", "minus", "plus", "l", "w", "m", "right_square_bracket", "left_square_bracket")
SHAPES = [(60, 15, False), (80, 24, False), (80, 24, True), (120, 40, True), (200, 50, True)]
"""Columns, rows, and whether a pane has the whole screen: Settings is drawn in none of them."""


async def rested(app, pilot) -> None:
    await pilot.pause()
    while not app.settled:
        await pilot.pause(0.01)
    await pilot.pause()


@pytest.mark.parametrize(("columns", "rows", "alone"), SHAPES)
@pytest.mark.parametrize("name", [name for name, _ in PANES if name != "settings"])
async def test_what_a_pane_does_is_built_on_the_settings_of_the_run(
    workbench, opened, fake_link, run_model, name, columns, rows, alone
):
    link = fake_link()
    link.diagnosis = run_model.diagnosis()
    app, _ = workbench(link=link, spec=MINE)
    async with opened(app, (columns, rows)) as pilot:
        link.train(300, "paused")
        await rested(app, pilot)
        form, pane = app.bench.form, app.bench.panes[name]
        app.run_worker(app.run_action(f"show_pane('{name}')"))
        await rested(app, pilot)
        if alone:
            await pilot.press("z")
        own = [key for one in Binding.make_bindings(type(pane).BINDINGS) for key in one.key.split(",")]
        for key in (*own, *WORKBENCH_KEYS, "f", "ctrl+s"):
            await pilot.press(key)
            await rested(app, pilot)
            assert not form.is_on_screen
            assert form.applied == link.spec, key
            edited = {one.path for one in form.pending()}
            assert {one.path for one in differences(link.spec, form.draft)} == edited, key
            assert form.draft.model.code == 3 or "model.code" in edited
            if isinstance(app.screen, Dialog):
                await pilot.press("escape")
                await rested(app, pilot)
        # A new run has the run's own settings, but for what is edited.
        form.reset()
        form.set_value("model.code", "4")
        link.commands()
        await pilot.press("ctrl+s", "n")
        await rested(app, pilot)
        (new,) = [one for one in link.commands() if isinstance(one, p.New)]
        assert [str(one) for one in differences(link.spec, loads(new.spec))] == []
        assert loads(new.spec) == changed(form.applied, {"model.code": 4})
        assert loads(new.spec).data.scaling == "none" and loads(new.spec).model.code == 4
