"""The verdict line: what it says at every width, when it is drawn, and that it needs no color."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len

from aetui import protocol as p
from aetui.report import FINE, LEARNING, VERDICTS, Finding, Report
from aetui.tui import verdict_line
from aetui.tui.app import Workbench
from aetui.tui.model import RunModel
from aetui.tui.verdict_line import VerdictLine

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


def text(model: RunModel, width: int = 118, key: str = "y") -> str:
    return "".join(piece for piece, _ in verdict_line.verdict_line(model, width, key))


@pytest.fixture
def model(run_model: Callable[..., RunModel]) -> RunModel:
    model = run_model()
    model.diagnosis = run_model.diagnosis()  # pyright: ignore[reportFunctionMemberAccess]
    return model


def with_report(model: RunModel, report: Report, **changes: Any) -> RunModel:
    assert model.diagnosis is not None
    model.diagnosis = structs.replace(model.diagnosis, report=report, **changes)
    return model


# --- what it says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (118, "COLLAPSED  outputs vary 0.4 % as much as the data  Most likely: learning rate too high (0.93)"),
        (90, "COLLAPSED  outputs vary 0.4 % as much as the data  learning rate too high (0.93)"),
        (78, "COLLAPSED  outputs vary 0.4 % as much…  learning rate too high (0.93)"),
        (58, "COLLAPSED  learning rate too high (0.93)"),
        (44, "COLLAPSED  learning rate too high"),
        (38, "COLLAPSED  learning rate too…"),
        (18, "COLLAPSED"),
    ],
)
def test_it_is_shortened_from_the_least_telling_on(model: RunModel, width: int, said: str) -> None:
    line = text(model, width)
    assert line.removesuffix("y why").rstrip() == said
    assert line.endswith("  y why")
    assert len(line) == width


@given(
    st.text(max_size=60),
    st.text(max_size=40),
    st.sampled_from([LEARNING, *VERDICTS]),
    st.integers(1, 130),
    st.booleans(),
)
def test_it_never_exceeds_its_width_and_starts_with_the_verdict(
    headline: str, title: str, name: str, width: int, probing: bool
) -> None:
    report = Report(verdict=name, headline=headline)
    finding = {"cause": "lr-too-high", "confidence": 0.5, "title": title, "text": "", "source": ""}
    report = structs.replace(report, findings=(Finding(**finding),))
    model = RunModel()
    model.diagnosis = p.Diagnosis(version=1, step=1, report=report, stage="probe 1 of 2" if probing else "")
    line = text(model, width)
    assert cell_len(line) <= width
    assert line.startswith(verdict_line.word(name)[: max(0, width - 1)])


def test_while_probes_run_it_says_which_before_the_cause(model: RunModel, reports: dict[str, Report]) -> None:
    stage = "probe 2 of 5: learning rate / 10"
    with_report(model, reports["collapsed"], stage=stage)
    assert text(model).startswith(f"COLLAPSED  {stage}  Most likely: learning rate too high (0.93)")
    assert text(model, 58).startswith(f"COLLAPSED  {stage}  ")


def test_a_fine_verdict_names_no_cause(model: RunModel, reports: dict[str, Report]) -> None:
    healthy = structs.replace(reports["healthy"], findings=reports["collapsed"].findings)
    line = text(with_report(model, healthy))
    assert line.startswith("HEALTHY  explained variance 0.874")
    assert "learning rate" not in line


def test_a_training_that_is_not_judged_yet_shows_its_figures(model: RunModel) -> None:
    report = Report(verdict=LEARNING, headline="explained variance 0.178, PCA with 20 0.295")
    assert text(with_report(model, report)).startswith("NO VERDICT YET  explained variance 0.178, PCA with 20 0.295  ")
    assert verdict_line.role(LEARNING) == "muted"


@pytest.mark.parametrize("name", VERDICTS)
def test_every_verdict_has_its_word_and_color(name: str) -> None:
    assert verdict_line.word(name).replace("-", "").isupper()
    assert (verdict_line.role(name) == "good") == (name in FINE)
    assert verdict_line.role(name) in ("good", "warning", "error")


@pytest.mark.parametrize(
    ("state", "steps", "said"),
    [("paused", 0, "once the run trains"), ("running", 5, "first measurements"), ("paused", 5, "next measurements")],
)
def test_without_a_diagnosis_it_says_what_it_waits_for(
    run_model: Callable[..., RunModel], state: str, steps: int, said: str
) -> None:
    model = run_model(steps)
    model.status = structs.replace(model.status, state=state)
    assert text(model).startswith(f"NO VERDICT YET  it comes {'with the ' if steps else ''}{said}  ")


# --- on the screen ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (120, 40), (200, 50)])
async def test_it_is_always_the_second_line_and_moves_nothing(
    workbench: Make, opened: Open, run_model: Any, size: tuple[int, int]
) -> None:
    app, link = workbench()
    async with opened(app, size) as pilot:
        assert app.bench.verdict.region.y == 1
        before = {name: pane.region for name, pane in app.bench.panes.items()}
        assert app.bench.verdict.render_line(0).text.startswith("NO VERDICT YET")
        link.diagnosis = run_model.diagnosis()
        link.train(1200, "paused")
        await pilot.pause()
        assert app.bench.verdict.render_line(0).text.startswith("COLLAPSED")
        assert {name: pane.region for name, pane in app.bench.panes.items()} == before


async def test_it_is_painted_again_for_another_text_only(
    workbench: Make, opened: Open, run_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.diagnosis = run_model.diagnosis()
        link.train(1200, "paused")
        await pilot.pause()
        drawn, painted = [], []
        draw, refresh = VerdictLine.draw, VerdictLine.refresh
        monkeypatch.setattr(VerdictLine, "draw", lambda *args: drawn.append(1) or draw(*args))
        monkeypatch.setattr(VerdictLine, "refresh", lambda *args, **more: painted.append(1) or refresh(*args, **more))
        link.train(10, "finished")
        await pilot.pause()
        assert (drawn, painted) == ([], [])
        link.diagnosis = run_model.diagnosis(version=2, step=1210)
        link.enter("paused")
        await pilot.pause()
        assert (drawn, painted) == ([1], [])


async def test_another_run_starts_without_a_verdict(workbench: Make, opened: Open, run_model: Any) -> None:
    app, link = workbench()
    async with opened(app) as pilot:
        link.diagnosis = run_model.diagnosis()
        link.train(1200, "paused")
        await pilot.pause()
        link.diagnosis = None
        app.session.new_run(app.model.spec)
        await pilot.pause()
        assert app.bench.verdict.render_line(0).text.startswith("NO VERDICT YET")


async def test_a_click_opens_the_why_pane(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    async with opened(app, (80, 24)) as pilot:
        await pilot.click(VerdictLine, offset=(5, 0))
        await pilot.pause()
        assert app.bench.focused_pane == "why"


async def test_the_users_own_key_is_named(workbench: Make, opened: Open) -> None:
    from aetui.tui.user_settings import Settings

    app, _ = workbench(settings=Settings(keys={"pane-why": "f3"}))
    async with opened(app, (80, 24)) as pilot:
        assert app.bench.verdict.render_line(0).text.endswith("F3 why")
        await pilot.press("f3")
        assert app.bench.focused_pane == "why"


def test_a_verdict_of_another_step_says_so_at_every_width(model: RunModel, reports: dict[str, Report]) -> None:
    with_report(model, reports["collapsed"])
    model.status = structs.replace(model.status, diagnosed=900)
    for width in (118, 78, 58, 38):
        assert text(model, width).startswith("COLLAPSED as of 900  ")
    model.status = structs.replace(model.status, diagnosed=model.status.step)
    assert text(model, 78).startswith("COLLAPSED  outputs")
