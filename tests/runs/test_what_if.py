"""Experiments in the engine: the run stays as it is, and what is adopted is the fork, bit for bit."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetui import protocol as p
from aetui.spec import changed, loads
from tests.runs.conftest import SPEC, Driver


def state(driver: Driver) -> p.TryState:
    """The experiment as a screen sees it."""
    view = driver.engine.view(p.Look(run=1))
    assert view is not None and view.trial is not None
    return view.trial


def tried(driver: Driver, **fields: Any) -> p.TryState:
    """An experiment of 40 steps, unless said otherwise, to its end."""
    answer = driver.do(p.TryForks, **({"steps": 40, "combine": False} | fields))
    assert isinstance(answer, p.Accepted), answer
    driver.wait_for(lambda: state(driver).state != "running")
    driver.wait_for(lambda: any(text.startswith("experiment at step") for text in driver.notes()))
    return state(driver)


def fork(found: p.TryState, name: str) -> p.ForkState:
    return next(one for one in found.forks if one.name == name)


def workers(driver: Driver) -> list[int]:
    course = driver.engine._handler.conductor._course
    return course._pool.processes() if course is not None and course._pool is not None else []


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_run_stays_as_it_is_and_its_untouched_fork_ends_as_it_does(drive, check):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    before = driver.trainer.weights_sha256()
    found = tried(driver, edits=({"optim.lr": "0.05"},))
    assert found.state == "done" and (found.step, found.half, found.full) == (20, 40, 60)
    assert [one.name for one in found.forks] == ["untouched", "reordered", "edit-1"]
    assert driver.trainer.weights_sha256() == before and driver.trainer.steps == 20
    control = fork(found, "untouched")
    driver.steps(40)
    weights = driver.engine._handler.conductor._experiment.fork("untouched").weights
    assert control.verdict == "control" and driver.trainer.weights_sha256() == weights
    check(driver)


def test_an_adopted_fork_is_trained_again_bit_for_bit_and_undo_takes_it_back(drive, check):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    tried(driver, edits=({"optim.lr": "0.05"}, {"optim.kind": "adamw"}))
    before = driver.trainer.weights_sha256()
    assert isinstance(driver.do(p.Adopt, fork="edit-2"), p.Accepted)
    driver.wait_for(lambda: "at step 60 the run has the weights of the fork edit-2, bit for bit" in driver.notes())
    assert driver.trainer.steps == 60 and driver.engine.state == "paused"
    record = check(driver)
    assert record.tweaks == [(20, {"optim.kind": "adamw", "optim.weight_decay": "0.01"})]
    assert any(text.startswith("adopted the fork edit-2") for text in driver.notes())
    driver.do(p.Undo)
    assert driver.trainer.steps == 20 and driver.trainer.weights_sha256() == before
    check(driver)


def test_a_fork_that_starts_over_is_adopted_as_a_new_run(drive, check):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    first = driver.folder
    found = tried(driver, edits=({"model.code": "5"},))
    assert {one.name for one in found.forks} == {"untouched", "reordered", "reordered-anew", "edit-1"}
    assert not fork(found, "edit-1").live and fork(found, "edit-1").start == 0
    driver.do(p.Adopt, fork="edit-1")
    driver.wait_for(lambda: "at step 60 the run has the weights of the fork edit-1, bit for bit" in driver.notes())
    assert driver.folder != first and first.exists()
    assert driver.trainer.spec == changed(SPEC, {"model.code": 5}) and driver.trainer.steps == 60
    check(driver)


def test_a_run_that_nothing_mends_from_here_is_forked_at_step_0_and_goes_back_there(drive, check):
    driver: Driver = drive()
    driver.load(changed(SPEC, {"optim.lr": 0.01}))
    driver.steps(20)
    found = tried(driver, edits=({"optim.beta1": "0.85"},), anew=True)
    assert found.step == 0 and {one.start for one in found.forks} == {0}
    driver.do(p.Adopt, fork="edit-1")
    driver.wait_for(lambda: "at step 40 the run has the weights of the fork edit-1, bit for bit" in driver.notes())
    record = check(driver)
    assert record.step == 40 and [at for at, _ in record.tweaks] == [0]
    assert loads(record.spec).optim.beta1 == 0.9


def test_the_journal_has_every_fork_with_its_figures(drive):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    tried(driver, edits=({"optim.lr": "0.05"},), draws=1)
    notes = driver.notes()
    for name in ("untouched", "reordered", "edit-1", "random"):
        (line,) = [text for text in notes if text.startswith(f"fork {name} (")]
        assert "explained variance" in line and "loss" in line and "units dead, at step" in line
    driver.flush()
    again: Driver = drive("again")
    folder = driver.folder
    driver.stop()
    again.open(folder)
    past = [
        event.text for one in again.events if isinstance(one, p.Past) for event in one.events if hasattr(event, "text")
    ]
    assert any(text.startswith("experiment at step 20") for text in past)


@pytest.mark.parametrize("how", ["asked", "run", "tweak", "another", "stop"])
def test_an_experiment_ends_with_its_workers(drive, how):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    driver.do(p.TryForks, steps=10**6, edits=({"optim.lr": "0.05"},))
    driver.wait_for(lambda: workers(driver))
    found = workers(driver)
    if how == "stop":
        driver.stop()
    else:
        command = {
            "asked": (p.CancelTry, {}), "run": (p.Run, {"steps": 1}), "tweak": (p.Set, {"changes": {"optim.lr": "1"}}),
            "another": (p.TryForks, {"steps": 4, "draws": 1, "combine": False}),
        }[how]  # fmt: skip
        assert isinstance(driver.do(command[0], **command[1]), p.Accepted)
    driver.wait_for(lambda: not any(map(alive, found)))
    if how == "asked":
        assert state(driver).state == "cancelled" and driver.trainer.steps == 20


def test_an_experiment_that_is_cancelled_at_once_trains_nothing(drive):
    driver: Driver = drive()
    driver.load()
    driver.steps(5)
    for _ in range(3):
        driver.do(p.TryForks, steps=10**6, draws=1)
        driver.do(p.CancelTry)
        assert state(driver).state == "cancelled"
        assert all(one.status == "cancelled" for one in state(driver).forks)
    # Threads that read from workers end with these.
    driver.wait_for(lambda: not any(thread.name.startswith("what-if") for thread in threading.enumerate()))


def test_a_fork_of_another_run_is_not_adopted(drive):
    driver: Driver = drive()
    driver.load()
    driver.steps(5)
    tried(driver, draws=1, steps=4)
    driver.load(changed(SPEC, {"optim.lr": 0.01}))
    assert "is a fork of test, and this is" in driver.do(p.Adopt, fork="random").text


def test_a_worker_that_is_killed_costs_the_run_nothing(drive, check):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    driver.do(p.TryForks, steps=3000, edits=({"optim.lr": "0.05"},), combine=False)
    driver.wait_for(lambda: workers(driver))
    os.kill(workers(driver)[0], signal.SIGKILL)
    driver.wait_for(lambda: state(driver).state == "done")
    assert all(one.status in ("done", "stopped") for one in state(driver).forks)
    driver.steps(5)
    check(driver)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "what-if: nothing is chosen; it takes a change to try"),
        ({"draws": 1, "steps": 1}, "steps: 1 is not allowed; it takes at least 2"),
        ({"edits": ({"optim.lr": "-1"},)}, "optim.lr: '-1' is not allowed; it takes a number from 0"),
        ({"edits": ({"optim.lr": "{lr}"},)}, "changes nothing: it is in force already"),
    ],
)
def test_what_can_not_be_tried_is_refused_in_one_sentence(drive, fields, text):
    driver: Driver = drive()
    spec = driver.load()
    driver.steps(3)
    edits = tuple(
        {path: value.format(lr=spec.optim.lr) for path, value in one.items()} for one in fields.get("edits", ())
    )
    answer = driver.do(p.TryForks, **(fields | {"edits": edits}))
    assert isinstance(answer, p.Refused) and text in answer.text
    assert driver.engine.view(p.Look(run=1)).trial is None


def test_what_can_not_be_adopted_is_refused(drive):
    driver: Driver = drive()
    driver.load()
    driver.steps(20)
    assert driver.do(p.Adopt, fork="edit-1").text == "what-if: there is no fork 'edit-1' to adopt"
    tried(driver, edits=({"optim.lr": "0.05"},), steps=4)
    assert "nothing to adopt" in driver.do(p.Adopt, fork="untouched").text
    driver.steps(1)
    refused = driver.do(p.Adopt, fork="edit-1")
    assert isinstance(refused, p.Refused) and "left the run at step 20, and it is elsewhere now" in refused.text


def test_a_run_under_way_pauses_for_an_experiment(drive):
    driver: Driver = drive()
    driver.load()
    driver.do(p.Run)
    time.sleep(0.05)
    assert isinstance(driver.do(p.TryForks, steps=4, draws=1), p.Accepted)
    assert driver.engine.state == "paused"
    curve = state(driver)
    assert curve.step == driver.trainer.steps > 0
    driver.wait_for(lambda: state(driver).state == "done")
    control = fork(state(driver), "untouched")
    assert np.isfinite(control.loss.numpy()).all() and control.steps.numpy()[-1] == curve.full
