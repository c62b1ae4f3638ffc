"""What-if by keys alone, at each size: what is offered and sent, how the forks are shown, what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from textual.pilot import Pilot

from aetui import protocol as p
from aetui.spec import RunSpec, changed, dumps, loads
from aetui.tui.app import Workbench
from aetui.tui.whatif.choose import ChooseForks
from aetui.tui.whatif.proposals import asked, proposals
from aetui.tui.whatif.rows import rows_of
from aetui.tui.whatif.screen import WhatIfScreen

Make = Callable[..., tuple[Workbench, Any]]
SIZES = [(80, 24), (120, 40)]


def fork(name: str, change: str = "nothing", reach: float = 0.3, come: int = 24, **fields: object) -> p.ForkState:
    """A fork whose explained variance rises towards `reach`, at `come` of 24 points."""
    steps = 400 + 25 * np.arange(1, come + 1)
    rise = 1 - np.exp(-(steps - 400) / 150)
    values: dict[str, object] = {
        "name": name,
        "change": change,
        "start": 400,
        "end": 1000,
        "step": 400 + 25 * come,
        "status": "done" if come == 24 else "running",
        "steps": p.Array.of(steps),
        "loss": p.Array.of(1 - reach * rise),
        "explained": p.Array.of(reach * rise),
        "ratio": 0.5,
        "lost": 3,
        "dead": 12,
    }
    return p.ForkState(**(values | fields))  # pyright: ignore[reportArgumentType]


def trial(version: int = 1, come: int = 24, run: str = "brisk-otter", **fields: object) -> p.TryState:
    done = come == 24

    def verdict(word: str) -> str:
        return word if done else ""

    values: dict[str, object] = {
        "version": version,
        "run": run,
        "spec": dumps(RunSpec()),
        "step": 400,
        "half": 700,
        "full": 1000,
        "state": "done" if done else "running",
        "linear": 0.737,
        "forks": (
            fork("untouched", come=come, control=True, verdict="control"),
            fork("reordered", "only the order of batches and the noise", 0.31, come, control=True, verdict="control"),
            fork("lr/10", "optim.lr 0.001 -> 0.0001", 0.82, come, settings={"optim.lr": "0.0001"},
                 verdict=verdict("fixes it"), text="Lower the learning rate."),
            fork("code/2", "model.code 10 -> 20", 0.1, come, start=0, live=False, settings={"model.code": "20"},
                 verdict=verdict("worse")),
        ),
        "winner": "lr/10" if done else "",
        "text": "lr/10 fixes it: 0.820; the controls stand at 0.300." if done else "1 of 4 forks done",
    }  # fmt: skip
    return p.TryState(**(values | fields))  # pyright: ignore[reportArgumentType]


def lines(app: Workbench) -> list[str]:
    return ["".join(segment.text for segment in line) for line in app.screen._compositor.render_strips()]


async def seen(pilot: Pilot[None], app: Workbench) -> str:
    """What the terminal shows once all is taken in."""
    for _ in range(3):
        await pilot.pause()
        app.session.look(app.bench.gauges, app.bench.pairs.sample)
    await pilot.pause()
    return "\n".join(lines(app))


async def at_why(pilot: Pilot[None], app: Workbench, link: Any, run_model: Any, reports: Any) -> None:
    """A run at step 400 that the diagnosis finds collapsed, with the Why pane in focus."""
    await pilot.pause()
    link.diagnosis = run_model.diagnosis(reports["collapsed"], step=400)
    link.train(400, "paused")
    await pilot.press("y")
    await seen(pilot, app)
    link.commands()


# --- what is offered ----------------------------------------------------------------------------


def test_remedies_edit_draw_and_combination_are_offered_with_the_controls(reports: Any) -> None:
    found, described = proposals(RunSpec(), reports["collapsed"], {"optim.lr": "0.5"}, step=400, anew=False, seed=0)
    kinds = [one.kind for one in found]
    assert kinds == ["remedy", "remedy", "remedy", "edit", "random", "combination", "anew", "control", "control"]
    assert found[0].label.startswith("lr-too-high: optim.lr") and "(from step 0)" not in found[0].label
    assert "model.hidden" in found[2].label and found[2].label.endswith("(from step 0)")
    assert any("activation after the last layer" in text for text in described)
    assert found[-1].turned().chosen and not found[0].turned().chosen


def test_what_is_chosen_is_what_is_asked_for(reports: Any) -> None:
    found, _ = proposals(RunSpec(), reports["collapsed"], {"optim.lr": "0.5"}, step=400, anew=False, seed=7)
    every = asked(found, 300, 7)
    assert every.remedies == (("lr-too-high", "lr/10"), ("lr-too-high", "clip"), ("dead-units", "width"))
    assert every.edits == ({"optim.lr": "0.5"},) and every.draws == 1 and every.combine and not every.anew
    assert every.steps == 300 and every.seed == 7
    few = asked([one.turned() if one.kind in ("edit", "random", "combination") else one for one in found], None, 7)
    assert (few.edits, few.draws, few.combine, few.steps) == ((), 0, False, None)


def test_the_draw_that_is_shown_is_the_one_that_the_engine_makes() -> None:
    from aetui.whatif import choice

    for seed in range(5):
        found, _ = proposals(RunSpec(), None, {}, step=0, anew=False, seed=seed)
        drawn = choice.random_change(RunSpec(), np.random.default_rng(seed))
        assert any(drawn.label in one.label for one in found if one.kind == "random")


# --- the choice, by keys ------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_one_key_on_the_why_pane_offers_the_remedies(
    workbench: Make, run_model: Any, reports: Any, size: tuple[int, int]
) -> None:
    app, link = workbench()
    async with app.run_test(size=size) as pilot:
        await at_why(pilot, app, link, run_model, reports)
        await pilot.press("F")
        text = await seen(pilot, app)
        assert isinstance(app.screen, ChooseForks)
        assert "What-if at step 400" in text and "[x] lr-too-high: optim.lr" in text
        assert "Not tried, since no setting does it" in text and "space chooses, Enter tries them" in text
        assert "[x] untouched, as a control" in text or "…" in text
        await pilot.press("space", "down", "down", "space", *"250", "enter")
        await pilot.pause()
        (sent,) = link.commands()
        assert isinstance(sent, p.TryForks) and sent.steps == 250
        assert sent.remedies == (("lr-too-high", "clip"),) and sent.draws == 1
        assert isinstance(app.screen, WhatIfScreen)


async def test_an_edited_form_is_one_more_fork(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.bench.form.put({"optim.lr": 0.5})
        await pilot.press("f2")
        text = await seen(pilot, app)
        assert "[x] your edit: optim.lr 0.001 -> 0.5" in text
        link.commands()
        await pilot.press("enter")
        await pilot.pause()
        (sent,) = link.commands()
        assert sent.edits == ({"optim.lr": "0.5"},) and sent.steps is None


async def test_escape_tries_nothing_and_nothing_chosen_is_refused(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        link.commands()
        await pilot.press("F", "space", "enter")
        assert "choose something to try" in await seen(pilot, app)
        await pilot.press("down", "space")
        assert "the two controls are always there" in await seen(pilot, app)
        await pilot.press("1", "enter")
        assert "it takes a whole number of at least 2" in await seen(pilot, app)
        await pilot.press("escape")
        await pilot.pause()
        assert link.commands() == [] and app.screen is app.bench


async def test_where_nothing_mends_the_run_all_start_over(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        link.train(400, "running")
        link.enter("non-finite", "step 401: loss NaN")
        await pilot.press("F")
        assert "[x] all from step 0, not from step 400" in await seen(pilot, app)
        await pilot.press("enter")
        await pilot.pause()
        assert [one.anew for one in link.commands() if isinstance(one, p.TryForks)] == [True]


@pytest.mark.parametrize("size", SIZES)
async def test_a_watched_loop_is_told_why_and_offered_probes(
    workbench: Make, fake_link: type, size: tuple[int, int]
) -> None:
    app, link = workbench(link=fake_link(spec="", settings=(), source="train.py"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        link.commands()
        await pilot.press("F")
        text = await seen(pilot, app)
        assert "trains in a loop of its own" in text and "can't be forked" in text
        await pilot.press("enter")
        await pilot.pause()
        assert link.commands() == [p.Examine(id=0)]


async def test_a_screen_that_only_watches_tries_nothing(workbench: Make) -> None:
    app, _ = workbench(read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("F")
        assert app.screen is app.bench and p.READ_ONLY[:30] in await seen(pilot, app)


# --- the experiment -----------------------------------------------------------------------------


async def begun(pilot: Pilot[None], app: Workbench, link: Any, state: p.TryState) -> str:
    """An experiment under way on a run at step 400."""
    await pilot.pause()
    link.train(400, "paused")
    await seen(pilot, app)
    link.trial = state
    await pilot.press("F")
    if isinstance(app.screen, ChooseForks):
        await pilot.press("enter")
    return await seen(pilot, app)


@pytest.mark.parametrize("size", SIZES)
async def test_the_forks_are_in_one_table_and_on_one_chart(workbench: Make, size: tuple[int, int]) -> None:
    app, link = workbench()
    async with app.run_test(size=size) as pilot:
        text = await begun(pilot, app, link, trial(come=10))
        assert "brisk-otter at step 400, compared at steps 700 and 1,000" in text
        assert "TRYING  1 of 4 forks done" in text
        for marker, name in zip("ABCD", ("untouched", "reordered", "lr/10", "code/2"), strict=True):
            assert f"{marker}  {name}" in text, text
        assert "Explained variance" in text and "PCA 0.737" in text
        link.trial = trial(2)
        text = await seen(pilot, app)
        assert "DONE  lr/10 fixes it" in text and "fixes it" in text and "worse" in text
        # The winner is under the cursor, so that one key adopts it.
        assert "›C  lr/10" in text and "Lower the learning rate." in text


@pytest.mark.parametrize("size", SIZES)
async def test_the_cursor_has_the_values_of_all_forks(workbench: Make, size: tuple[int, int]) -> None:
    app, link = workbench()
    async with app.run_test(size=size) as pilot:
        await begun(pilot, app, link, trial())
        await pilot.press("end", *["comma"] * 10)
        text = await seen(pilot, app)
        assert "cursor at step 990" in text and "@975" in text
        await pilot.press("escape")
        assert "cursor" not in await seen(pilot, app)


async def test_a_key_cancels_and_another_chooses_anew(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, link, trial(come=4))
        link.commands()
        await pilot.press("c")
        await pilot.pause()
        assert link.commands() == [p.CancelTry(id=0)]
        link.trial = trial(2, 4, state="cancelled", text="the experiment was cancelled: as asked")
        assert "CANCELLED  the experiment was cancelled" in await seen(pilot, app)
        await pilot.press("n")
        await pilot.pause()
        assert isinstance(app.screen, ChooseForks)


@pytest.mark.parametrize("size", SIZES)
async def test_a_key_adopts_the_marked_fork_and_the_run_is_seen(workbench: Make, size: tuple[int, int]) -> None:
    app, link = workbench()
    async with app.run_test(size=size) as pilot:
        await begun(pilot, app, link, trial(come=10))
        link.trial = trial(2)
        await seen(pilot, app)
        link.commands()
        await pilot.press("a")
        text = await seen(pilot, app)
        assert "lr/10 (fixes it)" in text and "optim.lr 0.001 -> 0.0001" in text and "undo" in text
        await pilot.press("enter")
        await seen(pilot, app)
        assert link.commands() == [p.Adopt(id=0, fork="lr/10")]
        assert app.screen is app.bench and app.session.training


async def test_a_fork_that_starts_over_says_that_it_is_a_new_run(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, link, trial())
        await pilot.press("down", "down", "down", "a")
        text = await seen(pilot, app)
        assert "code/2 (worse)" in text and "It starts over" in text
        await pilot.press("escape", "up", "up", "up", "a")
        assert "untouched changes nothing, so there is nothing to adopt" in await seen(pilot, app)


async def test_its_spec_is_written_and_no_file_is_lost(
    workbench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, link = workbench()
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(pilot, app, link, trial())
        await pilot.press("end", "escape", "down", "down", "down", "a", "down", "enter")
        assert "saved code-2.toml" in await seen(pilot, app)
        assert loads((tmp_path / "code-2.toml").read_text()) == changed(RunSpec(), {"model.code": 20})
        (tmp_path / "code-2.toml").write_text("mine")
        await pilot.press("a", "down", "enter")
        assert "code-2.toml is there already" in await seen(pilot, app)
        assert (tmp_path / "code-2.toml").read_text() == "mine"


async def test_what_is_refused_is_said_above_the_table(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, link, trial())
        link.say(p.Refused(command=99, text="lr/10 left the run at step 400, and it is elsewhere now"))
        assert "lr/10 left the run at step 400, and it is elsewhere now" in await seen(pilot, app)


async def test_leaving_lets_it_go_on_and_the_key_comes_back_to_it(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, link, trial(come=4))
        link.commands()
        await pilot.press("escape")
        await seen(pilot, app)
        assert app.screen is app.bench and not [one for one in link.commands() if not isinstance(one, p.Look)]
        link.trial = trial(2)
        await seen(pilot, app)
        await pilot.press("F")
        assert "DONE  lr/10 fixes it" in await seen(pilot, app)


async def test_plain_keys_of_the_workbench_do_not_reach_the_run(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, link, trial())
        link.commands()
        await pilot.press("minus", "s", "u", "b", "space")
        await pilot.pause()
        assert link.commands() == []


async def test_an_experiment_of_another_run_is_not_shown_for_this_one(workbench: Make) -> None:
    app, link = workbench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        link.trial = trial(run="another-run")
        await seen(pilot, app)
        await pilot.press("F")
        await pilot.pause()
        assert isinstance(app.screen, ChooseForks)


def test_losses_of_forks_with_another_yardstick_are_told_apart() -> None:
    from aetui.comparison import yardsticks

    state = trial()
    assert yardsticks(rows_of(state)) == []
    other = structs.replace(state.forks[2], settings={"loss.kind": "mae"})
    assert yardsticks(rows_of(structs.replace(state, forks=(*state.forks[:2], other)))) == ["loss.kind"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", ["choice", "trying", "done"])
def test_pictures(
    workbench: Make,
    run_model: Any,
    reports: Any,
    snap_compare: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    what: str,
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    app, link = workbench()
    keys: Sequence[str] = ("F",)

    async def reach(pilot: Pilot[None]) -> None:
        await at_why(pilot, app, link, run_model, reports)
        if what != "choice":
            link.trial = trial(come=10)
            await seen(pilot, app)
        await pilot.press(*keys)
        await seen(pilot, app)
        if what == "done":
            link.trial = trial(2)
            await seen(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=reach)
