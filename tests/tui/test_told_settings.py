"""Settings that only the run of a script tells: their rows on the form, what may be typed, and what is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from aetui import protocol as p
from aetui.spec import SpecError
from aetui.tui.app import Workbench
from aetui.tui.told_settings import ToldSettings

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def rate(path: str, value: str) -> p.Setting:
    return p.Setting(
        path=path, value=value, type="number", allowed="a number above 0 and up to 10", low=0.0, above_low=True,
        high=10.0, help="step size", live=True,
    )  # fmt: skip


HOLD = p.Setting(
    path="optim.hold", value="false", type="switch", allowed="true or false", help="hold the rate", live=True,
    default="false",
)  # fmt: skip
SETTINGS = (
    rate("optim.lr", "0.001"), rate("optim.momentum", "0.5"), HOLD,
    p.Setting(path="clip.kind", value="none", type="choice", allowed="one of", choices=("none", "global"), live=True),
    rate("group[0].lr", "0.001"), rate("group[1].lr", "0.01"),
)  # fmt: skip


def watched(workbench: Make, fake_link: Any, settings: tuple[p.Setting, ...] = SETTINGS) -> tuple[Workbench, Any]:
    return workbench(fake_link(spec="", settings=settings, name="mine"), attached=True)


async def test_each_has_a_row_and_is_found_edited_and_sent(workbench: Make, opened: Open, fake_link: Any) -> None:
    app, link = watched(workbench, fake_link)
    async with opened(app, size=(160, 45)) as pilot:
        link.join()
        await pilot.pause()
        rows = [(row.path, row.name, row.value) for row in app.bench.form.rows if not row.heading]
        assert rows == [
            ("optim.lr", "lr", "0.001"), ("optim.momentum", "momentum", "0.5"), ("optim.hold", "hold", "false"),
            ("clip.kind", "kind", "none"), ("group[0].lr", "lr", "0.001"), ("group[1].lr", "lr", "0.01"),
        ]  # fmt: skip
        assert [row.name for row in app.bench.form.rows if row.heading] == [
            "OPTIMIZER", "CLIPPING", "GROUP 0", "GROUP 1",
        ]  # fmt: skip
        link.commands()
        await pilot.press("slash", *"group[1]", "enter")
        await pilot.pause()
        assert app.bench.form.selected == "group[1].lr"
        await pilot.press(*"0.5", "enter")
        await pilot.pause()
        app.bench.form.set_value("optim.hold", "true")
        assert [str(one) for one in app.bench.form.pending()] == ["group[1].lr 0.01 -> 0.5", "optim.hold false -> true"]
        await pilot.press("ctrl+s")
        await pilot.pause()
        (command,) = link.commands()
        assert isinstance(command, p.Set) and command.changes == {"group[1].lr": "0.5", "optim.hold": "true"}


async def test_edits_stay_until_they_are_in_force_or_dropped(workbench: Make, opened: Open, fake_link: Any) -> None:
    app, link = watched(workbench, fake_link)
    async with opened(app) as pilot:
        link.join()
        await pilot.pause()
        form = app.bench.form
        form.set_value("group[0].lr", "0.25")
        form.set_value("group[1].lr", "0.75")
        form.set_value("optim.lr", "0.125")
        now = tuple(replace(one, value="0.25") if one.path == "group[0].lr" else one for one in SETTINGS)
        link.say(p.Accepted(command=0, text="set", info=replace(link.info, settings=now)))
        await pilot.pause()
        assert {one.path: (one.old, one.new) for one in form.pending()} == {
            "optim.lr": ("0.001", "0.125"), "group[1].lr": ("0.01", "0.75"),
        }  # fmt: skip
        form.reset()
        assert form.pending() == []
        with pytest.raises(SpecError, match=r"group\[1\].lr: '0' is not allowed; it takes a number above 0"):
            form.set_value("group[1].lr", "0")
        assert form.pending() == []


async def test_a_run_of_a_spec_has_none(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app):
        assert all(row.setting is None for row in app.bench.form.rows)
        assert link.run == 1


@pytest.mark.parametrize("text", ["0", "-1", "10.5", "nan", "inf", "", "fast"])
def test_a_value_out_of_its_bounds_is_refused(text: str) -> None:
    told = ToldSettings()
    told.follow(SETTINGS, ("optim.lr",))
    assert "group[0].lr" in told and "optim.lr" not in told
    with pytest.raises(SpecError, match="is not allowed; it takes a number above 0 and up to 10"):
        told.take("group[0].lr", text)
    with pytest.raises(SpecError, match="it takes true or false"):
        told.take("optim.hold", text)
    assert told.edits == {}


def test_the_value_in_force_is_no_edit_however_it_is_written() -> None:
    told = ToldSettings()
    told.follow(SETTINGS, ())
    told.take("group[0].lr", "0.5")
    told.take("group[0].lr", "1e-3")
    told.take("optim.hold", "False")
    assert told.edits == {}
    told.take("group[0].lr", "10")
    told.follow((rate("group[0].lr", "10.0"),), ())
    assert told.edits == {}
