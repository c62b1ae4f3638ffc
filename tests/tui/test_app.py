"""The app on a fake engine: what each reply shows, what goes wrong, and when it looks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Region

from aetui import protocol as p
from aetui.spec import RunSpec, loads
from aetui.tui.actions import keymap_for
from aetui.tui.app import Workbench
from aetui.tui.user_settings import Settings, load_settings

MEDIUM, NARROW = (120, 40), (80, 24)
Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def notice(app: Workbench) -> str:
    return app.bench.notice.text


def journal(app: Workbench) -> list[str]:
    return [entry.text for entry in app.model.journal]


async def test_a_refusal_shows_its_reason_and_goes_into_the_journal(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.say(p.Refused(command=9, text="optim.lr: can't be moved now"))
        await pilot.pause()
        assert (notice(app), app.bench.notice.severity) == ("optim.lr: can't be moved now", "error")
        assert journal(app)[-1] == "optim.lr: can't be moved now"


async def test_a_new_run_that_can_not_be_loaded_leaves_the_present_one_and_the_edits(
    workbench: Make, opened: Open
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.train(50, "running")
        app.bench.form.set_value("model.code", "20")
        link.fails = "data.path: no such file"
        await pilot.press("ctrl+s", "n")
        await pilot.pause()
        assert notice(app) == "data.path: no such file"
        assert app.model.info is not None
        assert app.session.training
        assert [str(one) for one in app.bench.form.pending()] == ["model.code 10 -> 20"]


# --- what goes wrong ----------------------------------------------------------------------------


async def test_a_first_run_that_fails_leaves_the_form_to_put_it_right(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    link.fails = "data.path: 'a.csv' does not exist"
    async with opened(app) as pilot:
        assert notice(app) == "3 shows the settings, ^s tries again"
        assert "data.path: 'a.csv' does not exist" in app.bench.status.render_line(0).text
        link.commands()
        link.fails = ""
        app.bench.form.set_value("model.code", "12")
        await pilot.press("ctrl+s")
        await pilot.pause()
        (new,) = link.commands()
        assert loads(new.spec).model.code == 12
        assert (app.model.error, app.model.status.state) == ("", "paused")
        assert notice(app) == ""


async def test_a_reason_too_long_for_the_status_is_whole_in_the_journal(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    link.fails = f"model.path: Net can't be made: mine.py, line 3: RuntimeError: {'the shapes do not match; ' * 12}end"
    async with opened(app, size=(80, 24)) as pilot:
        assert notice(app) == "3 shows the settings, ^s tries again; 7 Journal has the reason whole"
        await pilot.press("7")
        await pilot.pause()
        pane = app.bench.panes["journal"]
        text = " ".join(strip.text for strip in pane.render_lines(Region(0, 0, 80, 20)))
        assert " ".join(text.replace("│", " ").split()).count("the shapes do not match;") == 12


async def test_a_first_run_that_failed_is_tried_again_without_an_edit(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    link.fails = "data.path: 'a.csv' does not exist"
    async with opened(app) as pilot:
        link.fails = ""
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert app.model.info is not None


@pytest.mark.parametrize("size", [NARROW, MEDIUM])
async def test_a_lost_engine_says_so_and_again_at_every_key(
    workbench: Make, opened: Open, size: tuple[int, int]
) -> None:
    app, link = workbench()
    async with opened(app, size) as pilot:
        link.train(70, "running")
        link.lose("the engine ended by signal SIGKILL; its log is a.log")
        await pilot.pause()
        assert notice(app) == "the engine ended by signal SIGKILL; its log is a.log"
        assert app.model.status.state == "failed"
        link.commands()
        for key in ("f5", "f6", "f8", "f9"):
            app.bench.notice.clear_text()
            await pilot.press(key)
            await pilot.pause()
            assert notice(app) == "the engine ended by signal SIGKILL; its log is a.log", key
        assert link.commands() == []
        await pilot.press("4", "z", "question_mark", "escape", "ctrl+q")
        assert app._exit


async def test_an_engine_lost_while_loading_says_so(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    link.holding = True
    async with opened(app) as pilot:
        link.lose("the engine ended with status 1")
        await pilot.pause()
        assert notice(app) == "the engine ended with status 1"
        await pilot.press("ctrl+s", "f5")
        await pilot.pause()
        assert notice(app) == "the engine ended with status 1"


async def test_an_engine_of_another_version_is_not_used(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.say(p.Hello(version=p.VERSION + 1, pid=1))
        await pilot.pause()
        assert "version" in notice(app)
        link.commands()
        await pilot.press("f5")
        assert link.commands() == []


async def test_non_finite_values_show_where_and_the_program_goes_on(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.train(500)
        link.enter("non-finite", "step 500: loss NaN; last finite at step 499")
        await pilot.pause()
        assert notice(app) == "step 500: loss NaN; last finite at step 499"
        link.commands()
        await pilot.press("f7", "f5")
        assert link.commands() == [p.Nudge(id=0, by=-1), p.Run(id=0)]


async def test_a_remark_never_hides_an_error(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.train(500)
        link.enter("non-finite", "step 500: loss NaN; last finite at step 499")
        link.say(p.Noted(text="verdict diverged: the loss is not finite", kind="verdict"))
        await pilot.pause()
        assert notice(app) == "step 500: loss NaN; last finite at step 499"
        assert app.model.journal[-1].text == "verdict diverged: the loss is not finite"
        link.enter("running")
        link.say(p.Noted(text="verdict healthy: explained variance 0.9", kind="verdict"))
        await pilot.pause()
        assert notice(app) == "verdict healthy: explained variance 0.9"


async def test_a_verdict_leaves_what_a_key_has_done_in_sight(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.train(500)
        await pilot.press("f7")
        (nudge,) = [one for one in link.commands() if isinstance(one, p.Nudge)]
        link.say(p.Accepted(command=nudge.id, text="optim.lr 1 -> 2", changes=(p.Change("optim.lr", "1", "2"),)))
        link.say(p.Noted(text="verdict healthy: explained variance 0.9", kind="verdict"))
        await pilot.pause()
        assert "optim.lr 1 -> 2, takes effect" in notice(app)
        assert app.model.journal[-1].text == "verdict healthy: explained variance 0.9"


async def test_a_remark_beside_an_old_view_leaves_the_pause_key_alone(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.holding = True
        app.session.look(app.bench.gauges, 0)
        old = link._kept.pop()
        link.holding = False
        link.enter("running")
        await pilot.pause()
        app.session.absorb(old)
        link.say(p.Noted(text="verdict healthy: explained variance 0.9", kind="verdict"))
        await pilot.pause()
        link.commands()
        await pilot.press("f5")
        assert link.commands() == [p.Pause(id=0)]


# --- looks --------------------------------------------------------------------------------------


async def test_only_the_gauges_on_the_screen_are_asked_for(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, NARROW) as pilot:
        for key, gauges in (("2", ["variance"]), ("1", []), ("4", ["code"]), ("6", ["layers"]), ("3", []), ("8", [])):
            link.sent.clear()
            await pilot.press(key)
            await pilot.pause()
            assert list(link.looks()[-1].have) == ["diagnosis", *gauges]
        await pilot.press("1")
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert set(link.looks()[-1].have) == {"diagnosis", "variance", "pairs"}
        await pilot.resize_terminal(200, 50)
        await pilot.pause()
        assert set(link.looks()[-1].have) == {"diagnosis", "variance", "pairs", "code", "layers"}


async def test_never_two_looks_at_once(workbench: Make, opened: Open) -> None:
    app, link = workbench(settings=Settings(refresh=10))
    async with opened(app, NARROW) as pilot:
        link.holding = True
        link.sent.clear()
        await pilot.press("f5", *"1234567")
        await pilot.pause(0.3)
        assert len(link.looks()) == 1
        link.release()
        await pilot.pause()


async def test_pages_of_history_are_fetched_one_after_the_other(workbench: Make, opened: Open, fake_link: type) -> None:
    app, link = workbench(link=fake_link(page=100))
    async with opened(app, NARROW) as pilot:
        link.train(950)
        link.sent.clear()
        link.enter("paused")
        await pilot.pause()
        assert len(app.model.loss) == 950
        assert [look.since for look in link.looks()][:10] == list(range(0, 1000, 100))


async def test_a_new_run_ends_the_fetching_of_the_former(workbench: Make, opened: Open, fake_link: type) -> None:
    app, link = workbench(link=fake_link(page=10))
    async with opened(app, NARROW) as pilot:
        link.train(950)
        link.holding = True
        app.session.look([], 0)
        app.session.new_run(RunSpec())
        link.release()
        await pilot.pause()
        link.sent.clear()
        await pilot.pause(0.2)
        assert len(link.looks()) <= 1


async def test_a_pane_is_drawn_as_soon_as_its_first_figures_come(workbench: Make, opened: Open) -> None:
    app, link = workbench(start=True)
    async with opened(app, NARROW) as pilot:
        link.train(1200)
        await pilot.press("4")
        await pilot.pause()
        pane = app.bench.panes["code"]
        assert "effective rank" in "".join(pane.render_line(y).text for y in range(pane.content_size.height))


# --- the user's own files -----------------------------------------------------------------------


@pytest.fixture
def config(private_home: str) -> Path:
    folder = Path(private_home) / "config"
    (folder / "themes").mkdir(parents=True)
    return folder


async def test_a_broken_theme_and_wrong_settings_are_shown_once(workbench: Make, opened: Open, config: Path) -> None:
    (config / "themes" / "mine.toml").write_text("name = 'mine'\n[colors]\nprimary = 'bluish'\n")
    (config / "settings.toml").write_text("refresh = 99\ntheme = 'dusk'\n")
    settings, problems = load_settings(config / "settings.toml")
    app, _ = workbench(settings=settings, problems=problems)
    async with opened(app) as pilot:
        assert app.theme == "dark"
        said = [text for text in journal(app) if "settings.toml" in text or "theme" in text]
        assert len(said) == 3
        assert notice(app) == f"{said[0]} (the journal has 2 more)"
        assert {entry.kind for entry in app.model.journal if entry.text in said} == {"warning"}
        assert all(entry.time > 1e9 for entry in app.model.journal)
        app.session.new_run(RunSpec())
        await pilot.pause()
        assert said[0] not in notice(app)


async def test_the_users_own_theme_and_keys_work(workbench: Make, opened: Open, config: Path) -> None:
    (config / "themes" / "mine.toml").write_text("name = 'mine'\n[colors]\nprimary = '#336699'\n")
    (config / "settings.toml").write_text("theme = 'mine'\n[keys]\nrun-pause = 'f10, g'\nlr-up = 'ctrl+up'\n")
    settings, problems = load_settings(config / "settings.toml")
    assert problems == []
    app, link = workbench(settings=settings)
    async with opened(app) as pilot:
        assert app.theme == "mine"
        link.commands()
        await pilot.press("f5", "space", "f8", "plus")
        assert link.commands() == []
        await pilot.press("f10", "g", "ctrl+up")
        assert link.commands() == [p.Run(id=0), p.Pause(id=0), p.Nudge(id=0, by=1)]
        assert "F10 run" in app.bench.keys.render_line(0).text
        assert app.bench.notice.hint == "F10 starts training"
        (config / "themes" / "mine.toml").unlink()
        await pilot.press("t")
        assert app.theme == "ansi"


async def test_themes_come_round(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, NARROW) as pilot:
        seen = []
        for _ in range(5):
            await pilot.press("t")
            seen.append(app.theme)
        assert seen == ["high-contrast", "light", "ansi", "color-blind-safe", "dark"]


async def test_keys_that_work_everywhere_work_in_help_too(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await pilot.press("f1")
        await pilot.press("f5")
        assert any(isinstance(request, p.Run) for request in link.sent)


def test_a_letter_given_to_a_key_of_everywhere_never_leaves_a_field() -> None:
    assert keymap_for({"quit": "x"}) == {"quit.above": "no_key_quit.above", "quit": "x"}
    assert keymap_for({"quit": "f10,x"}) == {"quit.above": "f10", "quit": "x"}
    assert keymap_for({"help": "x"}) == {"help": "x"}
