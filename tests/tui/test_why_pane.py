"""The Why pane: what it shows of a diagnosis, what its keys do, and how a remedy gets into the form."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len

from aetui import protocol as p
from aetui.report import LEARNING, Evidence, Finding, Remedy, Report
from aetui.spec import RunSpec
from aetui.tui import remedies
from aetui.tui.app import Workbench
from aetui.tui.dialogs import Confirm
from aetui.tui.model import RunModel
from aetui.tui.panes import why_text
from aetui.tui.panes.why_pane import WhyPane

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]
Render = Callable[..., list[str]]


@pytest.fixture
def model(run_model: Any) -> RunModel:
    model = run_model()
    model.diagnosis = run_model.diagnosis()
    return model


def report_of(model: RunModel) -> Report:
    assert model.diagnosis is not None
    return model.diagnosis.report


def replaced(model: RunModel, **changes: Any) -> None:
    """Another diagnosis, newer than the last; `changes` are of its report."""
    assert model.diagnosis is not None
    report = structs.replace(model.diagnosis.report, **changes)
    model.diagnosis = structs.replace(model.diagnosis, version=model.diagnosis.version + 1, report=report)
    model.versions["diagnosis"] += 1


def pane_text(app: Workbench) -> str:
    pane = app.bench.panes["why"]
    return "\n".join(pane.render_line(y).text for y in range(pane.size.height))


# --- what it shows ------------------------------------------------------------------------------


def test_everything_of_the_selected_finding_is_there(model: RunModel, render_pane: Render) -> None:
    screen = "\n".join(render_pane(WhyPane(), model, (110, 60)))
    for said in (
        "COLLAPSED  outputs vary 0.4 % as much as the data",
        "step 1,200, from the run alone; F4 checks the suspects",
        "explained variance    0.011  median feature 0.003, PCA-10 0.737",
        "variance ratio      0.00410  median feature, p10 0.00120, p90 0.00930, 61 of 61 below 0.1",
        "loss                  0.941  mean floor 0.953, PCA-10 0.251",
        "› 1 learning rate too high                             0.93 ████▋  root",
        "  2 dead units                                         0.41 ██     follows from 1",
        "evidence                         value  normal        where",
        "update / weights                 0.310  1e-4 to 1e-2  encoder.0",
        "loss rose at first steps          41.2  below 1.5     steps 1 to 20",
        "› remedy  Lower the learning rate: torch.optim.Adam(parameters, lr=1e-4).",
        "          optim.lr 0.001 -> 0.0001 (live)",
        "  remedy  Clip the joint norm",
        "          clip.kind none -> global (live)",
        "          clip.threshold - -> 0.5 (live)",
        "Each update moves the weights by a large part of their size.",
        "source: Goodfellow, Bengio and Courville",
        "The outputs have not moved away from the mean for 600 steps.",
    ):
        assert said in screen, said


def test_nothing_is_lost_at_80x24_it_only_scrolls(model: RunModel, render_pane: Render) -> None:
    size = (80, 17)
    pages = [render_pane(WhyPane(), model, size, ["pagedown"] * n) for n in range(4)]
    for said in ("› 1 learning rate too high", "lines 1-"):
        assert said in "\n".join(pages[0])
    every = "\n".join("\n".join(page) for page in pages)
    for said in (
        "update / weights",
        "clip.threshold - -> 0.5",
        "mean of the data",
        "source: Goodfellow",
        "PCA-10 0.251",
    ):
        assert said in every, said
    assert all("› 1 learning rate too high" in "\n".join(page) for page in pages)
    assert pages[3] == render_pane(WhyPane(), model, size, ["end"])


def test_where_columns_have_no_room_the_evidence_is_sentences(model: RunModel, render_pane: Render) -> None:
    screen = "\n".join(render_pane(WhyPane(), model, (44, 40)))
    assert "- The last update of encoder.0 is 0.31" in screen
    assert "normal" not in screen


def test_a_healthy_run_is_said_to_be_so_with_its_figures(
    model: RunModel, reports: dict[str, Report], render_pane: Render
) -> None:
    model.diagnosis = p.Diagnosis(version=2, step=1200, report=reports["healthy"])
    screen = "\n".join(render_pane(WhyPane(), model, (80, 17)))
    for said in (
        "HEALTHY  explained variance 0.874",
        "Nothing has to be changed: the outputs follow the data.",
        "explained variance  0.874  median feature 0.861, PCA-10 0.737",
        "loss                0.120  mean floor 0.953, PCA-10 0.251",
        "3 of 64 features are constant in the data.",
    ):
        assert said in screen, said
    assert "F4" not in screen


def test_a_training_that_is_not_judged_yet_is_neither_fine_nor_wrong(model: RunModel, render_pane: Render) -> None:
    replaced(model, verdict=LEARNING, findings=())
    screen = "\n".join(render_pane(WhyPane(), model, (80, 17)))
    assert "NO VERDICT YET  outputs vary" in screen
    assert "not judged yet; nothing speaks against it so far." in screen


def test_something_wrong_without_a_cause_is_not_called_fine(model: RunModel, render_pane: Render) -> None:
    replaced(model, findings=())
    screen = "\n".join(render_pane(WhyPane(), model, (80, 17)))
    assert "No cause stands out so far." in screen
    assert "Nothing has to be changed" not in screen


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stage": "probe 2 of 5: learning rate / 10"}, "checking the suspects: probe 2 of 5: learning rate / 10"),
        ({"probed": True}, "step 1,200, checked with 600 steps on copies"),
        ({}, "step 1,200, from the run alone; F4 checks"),
    ],
)
def test_one_line_says_what_the_findings_rest_on(
    model: RunModel, render_pane: Render, changes: dict[str, Any], said: str
) -> None:
    replaced(model, probe_steps=600)
    assert model.diagnosis is not None
    model.diagnosis = structs.replace(model.diagnosis, **changes)
    assert said in render_pane(WhyPane(), model, (80, 17))[2]


def test_an_empty_pane_says_what_it_waits_for_and_a_small_one_what_it_needs(
    run_model: Any, model: RunModel, render_pane: Render
) -> None:
    assert "no verdict yet: it comes once the run trains" in render_pane(WhyPane(), run_model(0), (80, 17))[1]
    assert "needs 34 x 5" in render_pane(WhyPane(), model, (40, 4))[1]


@given(
    st.builds(
        Report,
        verdict=st.sampled_from(["healthy", "collapsed", "partial"]),
        headline=st.text(max_size=90),
        findings=st.lists(
            st.builds(
                Finding,
                cause=st.sampled_from(["lr-too-high", "dead-units", "optimizer"]),
                confidence=st.floats(0, 1),
                title=st.text(max_size=50),
                text=st.text(max_size=90),
                source=st.text(max_size=30),
                follows=st.sampled_from(["", "lr-too-high", "init-scale"]),
                evidence=st.lists(
                    st.builds(
                        Evidence,
                        measure=st.text(max_size=40),
                        value=st.none() | st.integers() | st.floats() | st.text(max_size=20),
                        normal=st.text(max_size=30),
                        where=st.text(max_size=30),
                        text=st.text(max_size=60),
                    ),
                    max_size=3,
                ).map(tuple),
                remedies=st.lists(st.builds(Remedy, id=st.just("a"), text=st.text(max_size=60)), max_size=2).map(tuple),
            ),
            max_size=4,
            unique_by=lambda finding: finding.cause,
        ).map(tuple),
        notes=st.lists(st.text(max_size=50), max_size=2).map(tuple),
    ),
    st.integers(34, 140),
)
def test_no_line_is_wider_than_the_pane(report: Report, width: int) -> None:
    selected = report.findings[-1] if report.findings else None
    lines = [
        *why_text.figure_lines(report, 10, width),
        *why_text.finding_lines(report.findings, 0, width),
        *why_text.remarks(report, width),
        *(line for part in why_text.detail(report, selected, RunSpec(), 0, width) for line in part),
    ]
    assert all(cell_len("".join(piece.text for piece in line).rstrip()) <= width for line in lines)


def test_confidence_is_a_bar_of_constant_width() -> None:
    bars = [why_text.bar(share / 100) for share in range(101)]
    assert {len(bar) for bar in bars} == {why_text.BAR}
    assert (bars[0].strip(), bars[50], bars[100]) == ("", "██▌  ", "█████")


# --- selecting ----------------------------------------------------------------------------------


def shown_finding(lines: list[str]) -> str:
    return next(line for line in lines if line.startswith("│ › ") and "remedy" not in line)


@pytest.mark.parametrize(
    ("keys", "title"),
    [((), "1 learning"), (("down",), "2 dead"), (("j", "j", "j"), "3 targets"), (("j", "k"), "1 learning")],
)
def test_keys_move_between_the_findings(
    model: RunModel, render_pane: Render, keys: tuple[str, ...], title: str
) -> None:
    assert shown_finding(render_pane(WhyPane(), model, (80, 17), keys)).startswith(f"│ › {title}")


@pytest.mark.parametrize("height", [7, 17, 30])
def test_the_selected_finding_is_always_on_the_screen(model: RunModel, render_pane: Render, height: int) -> None:
    for down in range(3):
        assert f"› {down + 1} " in shown_finding(render_pane(WhyPane(), model, (80, height), ["down"] * down))


async def test_the_selection_stays_on_its_cause_when_the_order_changes(
    workbench: Make, opened: Open, run_model: Any, reports: dict[str, Report]
) -> None:
    app, link = workbench()
    async with opened(app, (80, 24)) as pilot:
        one, two, three = reports["collapsed"].findings

        async def now(version: int, *findings: Finding) -> None:
            report = structs.replace(reports["collapsed"], findings=findings)
            link.diagnosis = run_model.diagnosis(report, version)
            link.train(1, "running")
            link.enter("paused")
            await pilot.pause()

        pane = app.bench.panes["why"]
        assert isinstance(pane, WhyPane)
        await now(1, one, two, three)
        await pilot.press("y", "down")
        await now(2, two, one, three)
        assert "› 1 dead units" in pane_text(app)
        await now(3, three, one, two)
        assert "› 3 dead units" in pane_text(app)
        await now(4, three, one)
        assert "› 2 learning rate too high" in pane_text(app)
        await now(5)
        assert "No cause stands out" in pane_text(app)


async def test_a_reader_who_only_looks_keeps_the_finding_that_was_open(
    workbench: Make, opened: Open, run_model: Any, reports: dict[str, Report]
) -> None:
    app, link = workbench()
    async with opened(app, (80, 24)) as pilot:
        one, two, three = reports["collapsed"].findings
        link.diagnosis = run_model.diagnosis()
        link.train(1, "paused")
        await pilot.pause()
        await pilot.press("y")
        report = structs.replace(reports["collapsed"], findings=(two, one, three))
        link.diagnosis = run_model.diagnosis(report, 2)
        link.enter("finished")
        await pilot.pause()
        assert "› 2 learning rate too high" in pane_text(app)


def test_a_click_selects_a_finding(model: RunModel) -> None:
    import asyncio

    from textual.app import App

    class One(App[None]):
        def get_theme_variable_defaults(self) -> dict[str, str]:
            from aetui.tui.themes import variable_defaults

            return variable_defaults()

        def compose(self):
            yield WhyPane()

    async def click() -> str:
        app = One()
        async with app.run_test(size=(80, 17)) as pilot:
            pane = app.query_one(WhyPane)
            pane.show(model)
            await pilot.click(WhyPane, offset=(10, 4))
            return pane.cause

    assert asyncio.run(click()) == "dead-units"


# --- remedies -----------------------------------------------------------------------------------


async def diagnosed(pilot: Any, link: Any, diagnosis: p.Diagnosis) -> None:
    link.diagnosis = diagnosis
    link.train(1200, "paused")
    await pilot.pause()
    await pilot.press("y")
    await pilot.pause()
    link.commands()


@pytest.mark.parametrize("key", ["f", "enter"])
async def test_a_live_remedy_goes_into_the_form_and_is_applied(
    workbench: Make, opened: Open, run_model: Any, key: str
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await diagnosed(pilot, link, run_model.diagnosis())
        await pilot.press(key)
        await pilot.pause()
        assert app.bench.notice.text == "optim.lr 0.001 -> 0.0001 is in the form; ^s applies it"
        assert app.bench.form.draft.optim.lr == 1e-4
        assert app.bench.form.selected == "optim.lr"
        assert app.bench.focused_pane == "why"
        assert link.commands() == []
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert link.commands() == [p.Set(id=0, changes={"optim.lr": "0.0001"})]
        await pilot.press(key)
        await pilot.pause()
        assert app.bench.notice.text == "these settings are in force already"


@pytest.mark.parametrize("keys", [("r",), ("right",), ("left",), ("r", "r", "r")])
async def test_another_remedy_of_several_can_be_taken(
    workbench: Make, opened: Open, run_model: Any, keys: tuple[str, ...]
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await diagnosed(pilot, link, run_model.diagnosis())
        await pilot.press(*keys, "f", "ctrl+s")
        await pilot.pause()
        assert link.commands() == [p.Set(id=0, changes={"clip.kind": "global", "clip.threshold": "0.5"})]


async def test_a_structural_remedy_says_that_it_needs_a_new_run(workbench: Make, opened: Open, run_model: Any) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await diagnosed(pilot, link, run_model.diagnosis())
        await pilot.press("down", "f")
        await pilot.pause()
        assert app.bench.notice.text == "model.hidden 128 -> 256 is in the form; it needs a new run, ^s offers one"
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await pilot.pause()
        assert app.model.spec.model.hidden == (256,)  # pyright: ignore[reportAttributeAccessIssue]


async def test_a_remedy_in_the_code_says_so_and_leaves_the_form(workbench: Make, opened: Open, run_model: Any) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await diagnosed(pilot, link, run_model.diagnosis())
        await pilot.press("down", "down", "f")
        await pilot.pause()
        assert app.bench.notice.text.startswith("no setting does it, the code has to be changed: Leave the activation")
        assert app.bench.form.pending() == []
        assert "a change in the code" in pane_text(app)


async def test_edits_of_the_users_own_stay_when_a_remedy_comes(workbench: Make, opened: Open, run_model: Any) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        await diagnosed(pilot, link, run_model.diagnosis())
        app.bench.form.set_value("model.code", "20")
        await pilot.press("f")
        await pilot.pause()
        assert app.bench.notice.text == "optim.lr 0.001 -> 0.0001 is in the form; ^s applies it"
        assert [one.path for one in app.bench.form.pending()] == ["model.code", "optim.lr"]


REFUSED = Remedy(id="no", text="Something else.", set={"optim.lr": -1.0, "model.code": 3})


def test_what_the_run_refuses_is_said_and_nothing_taken() -> None:
    ((said, role),) = remedies.effect(RunSpec(), REFUSED)
    assert said.startswith("not possible in this run: optim.lr")
    assert role == "warning"


async def test_a_refused_remedy_leaves_the_form_alone(
    workbench: Make, opened: Open, run_model: Any, reports: dict[str, Report]
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        first = structs.replace(reports["collapsed"].findings[0], remedies=(REFUSED,))
        report = structs.replace(reports["collapsed"], findings=(first,))
        await diagnosed(pilot, link, run_model.diagnosis(report))
        await pilot.press("f")
        await pilot.pause()
        assert app.bench.notice.text.startswith("not possible in this run: optim.lr")
        assert app.bench.form.pending() == []


# --- in the workbench ---------------------------------------------------------------------------


def visible(app: Workbench) -> set[str]:
    return {name for name, pane in app.bench.panes.items() if pane.display and pane.region.area}


@pytest.mark.parametrize(
    ("size", "beside", "key", "back"),
    [
        ((120, 40), {"settings", "loss"}, "2", {"settings", "loss", "variance", "journal"}),
        ((200, 50), {"settings", "loss", "variance", "pairs"}, "4",
         {"settings", "loss", "variance", "pairs", "code", "journal"}),
    ],
)  # fmt: skip
async def test_it_takes_two_places_and_gives_them_back(
    workbench: Make, opened: Open, size: tuple[int, int], beside: set[str], key: str, back: set[str]
) -> None:
    app, _ = workbench()
    async with opened(app, size) as pilot:
        await pilot.press("7", "8")
        await pilot.pause()
        assert visible(app) == {*beside, "why"}
        whole = app.bench.query_one("#panes").region
        assert sum(app.bench.panes[name].region.area for name in visible(app)) == whole.area
        await pilot.press("8", "1")
        assert visible(app) == {*beside, "why"}
        await pilot.press(key)
        await pilot.pause()
        assert visible(app) == back
        assert sum(app.bench.panes[name].region.area for name in visible(app)) == whole.area


@pytest.mark.parametrize("key", ["8", "2", "4"])
async def test_the_pane_in_focus_survives_resizes_beside_it(workbench: Make, opened: Open, key: str) -> None:
    app, _ = workbench()
    async with opened(app, (120, 40)) as pilot:
        await pilot.press("8", key)
        await pilot.pause()
        name = app.bench.focused_pane
        for size in ((200, 50), (80, 24), (120, 40), (200, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.bench.focused_pane == name, size
            assert name in visible(app), size


async def test_y_opens_it_from_the_form_too(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, (80, 24)) as pilot:
        await pilot.press("3", "down", "y")
        assert app.bench.focused_pane == "why"


async def test_a_change_of_the_verdict_is_noted_in_the_journal(workbench: Make, opened: Open) -> None:
    app, link = workbench()
    async with opened(app, (120, 40)) as pilot:
        await pilot.press("7")
        link.say(p.Noted(text="verdict: collapsed, outputs vary 0.4 % as much as the data", warning=True))
        await pilot.pause()
        journal = app.bench.panes["journal"]
        shown = "".join(journal.render_line(y).text for y in range(journal.size.height))
        assert "verdict: collapsed" in shown
