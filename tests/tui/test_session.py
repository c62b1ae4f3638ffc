"""What the screen does with its engine, and what it makes of the replies; no widget, no clock."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aetui import protocol as p
from aetui.spec import RunSpec, changed, loads
from aetui.tui.asked import Asked
from aetui.tui.model import RunModel
from aetui.tui.series import Series
from aetui.tui.session import FramePacer, Session


@pytest.fixture
def joined(fake_link: type) -> Callable[..., tuple[Session, Any]]:
    """`session, link = joined(load=True, start=False)`: a session on a fake engine, loaded unless told otherwise."""

    def join(load: bool = True, start: bool = False, spec: RunSpec | None = None) -> tuple[Session, Any]:
        link = fake_link()
        session = Session(link, spec or RunSpec())
        session.connect(session.absorb, session.lose)
        link.holding = not load
        session.new_run(spec or RunSpec(), start=start)
        link.commands()
        return session, link

    return join


# --- run and pause ------------------------------------------------------------------------------


def test_a_run_is_sent_as_toml_that_reads_back(fake_link: type) -> None:
    spec = changed(RunSpec(), {"model.code": 7, "optim.lr": 0.02})
    link = fake_link()
    session = Session(link, spec)
    session.connect(session.absorb, session.lose)
    session.new_run(spec, start=True)
    (new,) = link.commands()
    assert loads(new.spec) == spec
    assert new.start
    assert session.training


def test_a_repeated_toggle_never_undoes_what_is_not_done_yet(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    link.holding = True
    assert [session.toggle() for _ in range(3)] == ["", *["starting: waits for the engine"] * 2]
    assert link.commands() == [p.Run(id=0)]
    assert session.model.asked.state == "STARTING"
    link.release()
    assert session.training and not session.waiting and session.model.asked.state == ""

    link.holding = True
    assert [session.toggle() for _ in range(3)] == ["", *["pausing: waits for the step under way"] * 2]
    assert link.commands() == [p.Pause(id=0)]
    assert session.model.asked.state == "PAUSING"
    link.release()
    assert not session.training and session.model.asked.state == ""
    assert session.toggle() == ""
    assert link.commands() == [p.Run(id=0)]


def test_what_is_asked_for_is_said_until_it_is_acknowledged(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    link.train(10, "running")
    link.holding = True
    session.nudge("optim.lr", 1)
    session.nudge("optim.lr", 1)
    session.set({"clip.kind": "global", "clip.threshold": "0.5"})
    asked = session.show_asked()
    assert asked.note == "applying" and asked.state == ""
    assert asked.text.startswith("optim.lr 0.001 -> 0.00316228, clip.kind none -> global, clip.threshold")
    assert asked.text.endswith("...: waits for the step under way")
    session.lose("the engine ended by signal SIGKILL")
    assert session.model.asked == Asked()


def test_a_single_step_is_under_way_until_the_run_rests(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    link.holding = True
    session.run_steps(1)
    assert session.show_asked().state == "STEPPING"
    session.absorb(p.Accepted(command=2, text="running for 1 step"))
    assert session.model.asked.state == "STEPPING" and not session.waiting
    session.absorb(p.StateChanged(state="paused", step=1))
    assert session.model.asked == Asked()


def test_a_toggle_before_the_run_is_loaded_runs(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined(load=False)
    session.toggle()
    assert link.commands() == [p.Run(id=0)]
    link.release()
    assert session.training


def test_a_toggle_before_a_run_that_starts_by_itself_pauses(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined(load=False, start=True)
    session.toggle()
    assert link.commands() == [p.Pause(id=0)]
    link.release()
    assert not session.training


def test_a_toggle_between_the_acknowledgement_and_the_new_state_still_pauses(
    joined: Callable[..., tuple[Session, Any]],
) -> None:
    session, link = joined()
    link.holding = True
    session.toggle()
    session.absorb(p.Accepted(command=2, text="running"))
    assert not session.waiting
    session.toggle()
    assert link.commands() == [p.Run(id=0), p.Pause(id=0)]


@pytest.mark.parametrize("state", ["finished", "non-finite", "failed", "paused"])
def test_after_a_run_has_stopped_by_itself_a_toggle_runs(
    joined: Callable[..., tuple[Session, Any]], state: str
) -> None:
    session, link = joined()
    session.toggle()
    link.train(10, state)
    link.commands()
    session.toggle()
    assert link.commands() == [p.Run(id=0)]


def test_steps_end_in_a_pause_and_a_toggle_after_one_step_runs(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    session.run_steps(1)
    session.run_steps(5)
    assert (session.model.status.step, session.training) == (6, False)
    link.holding = True
    session.run_steps(1)
    session.toggle()
    assert link.commands() == [p.Run(id=0, steps=1), p.Run(id=0, steps=5), p.Run(id=0, steps=1), p.Run(id=0)]


def test_a_refused_run_leaves_the_toggle_as_it_was(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    link.holding = True
    session.toggle()
    session.absorb(p.Refused(command=2, text="not now"))
    session.toggle()
    assert link.commands() == [p.Run(id=0), p.Run(id=0)]


# --- looks --------------------------------------------------------------------------------------


def test_no_look_is_sent_without_a_run_or_while_one_is_out(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined(load=False)
    session.look(["variance"], 0)
    assert link.looks() == []
    link.release()
    link.holding = True
    session.look(["variance"], 0)
    session.look(["code"], 3)
    assert [look.have for look in link.looks()] == [{"variance": 0}]
    link.release()
    session.look(["code", "variance"], 3)
    assert link.looks()[-1] == p.Look(run=1, have={"code": 0, "variance": 1}, sample=3)


def test_a_look_says_what_the_screen_has(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    link.train(120)
    session.look(["pairs"], 0)
    session.look(["pairs"], 0)
    assert link.looks()[-1] == p.Look(run=1, since=120, points=2, have={"pairs": 121}, sample=0)


# --- the end of the engine ----------------------------------------------------------------------


def test_a_lost_engine_refuses_everything_with_its_reason(joined: Callable[..., tuple[Session, Any]]) -> None:
    session, link = joined()
    session.toggle()
    link.train(40)
    session.look([], 0)
    link.sent.clear()
    session.lose("the engine ended by signal SIGKILL")
    assert (session.model.status.state, session.model.status.step) == ("failed", 40)
    assert not session.training
    before = len(session.model.journal)
    session.toggle()
    session.nudge("optim.lr", 1)
    session.set({"clip.kind": "none"})
    session.look(["code"], 0)
    assert link.sent == []
    assert [entry.text for entry in session.model.journal[before:]] == ["the engine ended by signal SIGKILL"] * 3
    assert not session.waiting


def test_an_engine_lost_before_the_first_run_is_an_error_without_a_run(
    joined: Callable[..., tuple[Session, Any]],
) -> None:
    session, _ = joined(load=False)
    session.lose("the engine ended with status 1", "engine.log")
    assert session.model.error == "the engine ended with status 1"
    assert session.model.info is None


def test_replies_from_another_thread_are_taken_by_whoever_connects(fake_link: type) -> None:
    link, found = fake_link(), []
    session = Session(link, RunSpec())
    session.connect(found.append, session.lose)
    sender = threading.Thread(target=lambda: session.new_run(RunSpec()))
    sender.start()
    sender.join()
    assert session.model.info is None
    for reply in found:
        session.absorb(reply)
    assert session.model.info is not None


# --- the model ----------------------------------------------------------------------------------


def view(loss: list[float], start: int = 0, run: int = 1, total: list[float] | None = None, end: int = 0) -> p.View:
    values = p.Array.of(loss)
    record = p.History(start, values, None if total is None else p.Array.of(total), values, end or start + len(loss))
    return p.View(run=run, status=p.Status(state="running", step=start + len(loss)), history=record)


def values(series: Series) -> np.ndarray:
    """Every entry of a series, NaN where there is none."""
    n = len(series)
    return series.columns(0, n, n).mean


def test_views_of_other_runs_and_of_other_places_are_dropped(run_model: Callable[..., RunModel]) -> None:
    model = run_model(steps=0)
    model.absorb(view([1.0, 0.9]))
    model.absorb(view([7.0], start=2, run=2))
    model.absorb(view([8.0], start=1))
    model.absorb(view([9.0], start=3))
    model.absorb(view([0.8], start=2))
    assert values(model.loss).tolist() == pytest.approx([1.0, 0.9, 0.8])


def test_a_total_that_begins_late_is_padded(run_model: Callable[..., RunModel]) -> None:
    model = run_model(steps=0)
    model.absorb(view([1.0, 0.9]))
    model.absorb(view([0.8, 0.7], start=2, total=[1.8, 1.7]))
    model.absorb(view([0.6], start=4, total=[1.6]))
    assert np.isnan(values(model.total)[:2]).all()
    assert values(model.total)[2:].tolist() == pytest.approx([1.8, 1.7, 1.6])
    assert len(model.loss) == len(model.grad_norm) == len(model.total) == 5


def test_behind_until_the_last_page_and_never_in_a_new_run(run_model: Callable[..., RunModel]) -> None:
    model = run_model(steps=0)
    model.absorb(view([1.0], end=3))
    assert model.behind
    assert model.info is not None
    model.absorb(p.Ready(info=model.info))
    assert not model.behind
    model.absorb(view([1.0], end=2))
    model.absorb(view([0.9], start=1))
    assert not model.behind


def test_another_run_starts_over_but_keeps_the_journal(run_model: Callable[..., RunModel]) -> None:
    model = run_model(steps=200)
    journal, run = len(model.journal), model.versions["run"]
    assert model.info is not None
    model.absorb(p.Ready(info=model.info))
    assert (len(model.loss), model.points, model.marks, model.variance, model.status.step) == (0, [], [], None, 0)
    assert len(model.journal) > journal
    assert model.versions["run"] > run


def test_an_error_lasts_until_something_is_loaded_again(fake_link: type) -> None:
    model = RunModel()
    model.absorb(p.Failed(text="no such file"))
    assert model.error == "no such file"
    model.absorb(p.Loading(stage="reading the data"))
    assert (model.error, model.stage) == ("", "reading the data")


# --- pace ---------------------------------------------------------------------------------------


class Clocks:
    """Wall and CPU clocks that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.wall)
        monkeypatch.setattr(time, "thread_time", lambda: self.cpu)

    def frame(self, pacer: FramePacer, cost: float) -> float:
        """A frame that costs so much CPU time, at the pacer's own pace."""
        self.cpu += cost
        self.wall += pacer.period
        return pacer.next_delay(0.1)


def test_cheap_frames_come_at_the_wanted_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    pacer = FramePacer(0.25)
    assert {clocks.frame(pacer, 0.02) for _ in range(10)} == {0.25}


@pytest.mark.parametrize("cost", [0.05, 0.1, 0.15])
def test_costly_frames_are_spaced_so_that_drawing_keeps_to_its_share(
    monkeypatch: pytest.MonkeyPatch, cost: float
) -> None:
    clocks = Clocks(monkeypatch)
    pacer = FramePacer(0.25)
    delay = [clocks.frame(pacer, cost) for _ in range(20)][-1]
    assert delay == pytest.approx(cost / 0.1, rel=0.01)


def test_one_slow_frame_does_not_freeze_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    pacer = FramePacer(0.25, longest=2.0)
    assert clocks.frame(pacer, 60.0) == 2.0
    delay = [clocks.frame(pacer, 0.01) for _ in range(20)][-1]
    assert delay == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("reply", ["refused", "lost"])
def test_what_was_to_follow_a_way_back_is_dropped_with_it(fake_link: Any, reply: str) -> None:
    link = fake_link()
    session = Session(link, RunSpec())
    session.connect(session.absorb, session.lose)
    session.new_run(RunSpec())
    link.holding = True
    link.places = (p.Place(checkpoint=1, branch=1, step=0, time=0.0, reason="start"),)
    link.commands()
    session.rewind_and_set(1, {"optim.lr": "0.1"})
    (sent,) = [one for one in link.sent if isinstance(one, p.Rewind)]
    if reply == "lost":
        session.lose("the engine was killed")
        session.absorb(p.Moved(command=sent.id, text="back at step 0", info=link.info))
    else:
        session.absorb(p.Refused(command=sent.id, text="the checkpoint is gone"))
    assert [type(one) for one in link.commands()] == [p.Rewind]
