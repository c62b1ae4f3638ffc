"""The engine: commands take effect between two steps, are acknowledged, and nothing is lost."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from aetui import Trainer
from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.spec import RunSpec, changed, dumps, loads
from aetui.training.spec_training import trainer_of

SPEC = changed(RunSpec(), {"data.rows": "0:300", "model.hidden": (16,), "model.code": 4, "train.batch_size": 32})


class Driver:
    """An engine in a thread, with what it said."""

    def __init__(self) -> None:
        self.engine = Engine("test")
        self.events: list[p.Event] = []
        self.arrived = threading.Condition()
        self.engine.join(self._take)
        self.thread = threading.Thread(target=self.engine.work, daemon=True)
        self.thread.start()
        self._ids = iter(range(1, 10_000))

    def _take(self, event: p.Reply) -> None:
        assert isinstance(event, p.Event)
        with self.arrived:
            self.events.append(event)
            self.arrived.notify_all()

    def wait(self, found: Callable[[p.Event], bool], timeout: float = 30.0) -> p.Event:
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(map(found, self.events)), timeout), self.events
            return next(filter(found, self.events))

    def do(self, kind: type[p.Command], **fields) -> p.Accepted | p.Refused | p.Failed:
        """Send a command and wait for its acknowledgement."""
        command = kind(id=next(self._ids), **fields)
        count = len(self.events)
        self.engine.submit(command)
        with self.arrived:

            def answers() -> list[p.Event]:
                return [
                    e
                    for e in self.events[count:]
                    if getattr(e, "command", None) == command.id or isinstance(e, p.Failed)
                ]

            assert self.arrived.wait_for(answers, 30.0), self.events
            return answers()[0]

    def load(self, spec: RunSpec = SPEC, **fields) -> p.RunInfo:
        self.do(p.New, spec=dumps(spec), **fields)
        ready = self.wait(lambda event: isinstance(event, p.Ready))
        return ready.info

    def settled(self, state: str, step: int | None = None) -> p.StateChanged:
        return self.wait(
            lambda e: isinstance(e, p.StateChanged) and e.state == state and (step is None or e.step == step)
        )

    def run_steps(self, steps: int) -> None:
        at = self.trainer.steps
        self.do(p.Run, steps=steps)
        self.settled("paused", at + steps)

    def look(self, **fields) -> p.View:
        view = self.engine.view(p.Look(**fields))
        assert view is not None
        return view

    def look_until(self, found: Callable[[p.View], bool], **fields) -> p.View:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            view = self.look(**fields)
            if found(view):
                return view
            time.sleep(0.01)
        raise AssertionError(view)

    @property
    def trainer(self) -> Trainer:
        run = self.engine._run
        assert run is not None
        return trainer_of(run.training)


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.engine.submit(p.Stop(id=0))
    driver.thread.join(10)
    assert not driver.thread.is_alive()


def test_a_run_is_loaded_paused_at_step_0(driver: Driver):
    info = driver.load()
    assert (info.features, info.train_rows, info.validation_rows) == (64, 270, 30)
    assert info.architecture == "64-16-[4]-16-64"
    assert loads(info.spec) == SPEC
    assert 0 < info.floors.linear < info.floors.mean
    driver.settled("paused", 0)
    view = driver.look()
    assert view.status.step == 0
    assert view.status.explained_variance is not None
    assert view.history is None


def test_commands_before_the_run_is_loaded_wait_their_turn(driver: Driver):
    for command in (p.New(id=1, spec=dumps(SPEC)), p.Nudge(id=2, by=-1), p.Run(id=3, steps=3)):
        driver.engine.submit(command)
    driver.settled("paused", 3)
    tweak = driver.wait(lambda e: isinstance(e, p.Accepted) and e.command == 2)
    assert tweak.step == 0
    assert tweak.changes == (p.Change("optim.lr", "0.001", "0.000562341"),)


def test_run_n_steps_trains_exactly_n_and_keeps_each(driver: Driver):
    driver.load()
    driver.run_steps(7)
    driver.run_steps(1)
    history = driver.look().history
    assert (history.start, history.end, history.loss.shape) == (0, 8, (8,))
    twin = Trainer(SPEC)
    records = twin.run(8)
    assert np.array_equal(history.loss.numpy(), records.loss)
    assert np.array_equal(history.grad_norm.numpy(), records.grad_norm)
    assert driver.trainer.weights_sha256() == twin.weights_sha256()


def test_pause_takes_effect_within_a_step_and_says_where(driver: Driver):
    driver.load()
    driver.do(p.Run)
    time.sleep(0.2)
    paused = driver.do(p.Pause)
    assert paused.step == driver.trainer.steps > 0
    time.sleep(0.1)
    assert driver.trainer.steps == paused.step
    assert driver.look().status.state == "paused"


def test_a_tweak_while_paused_applies_to_the_very_next_step(driver: Driver):
    driver.load()
    driver.run_steps(3)
    tweak = driver.do(p.Set, changes={"optim.lr": "1e-2", "clip.kind": "global", "clip.threshold": "0.5"})
    assert tweak.step == 3
    assert loads(tweak.info.spec) == driver.trainer.spec
    driver.run_steps(2)
    twin = Trainer(SPEC)
    twin.run(3)
    twin.set({"optim.lr": 1e-2, "clip.kind": "global", "clip.threshold": 0.5})
    twin.run(2)
    assert driver.trainer.weights_sha256() == twin.weights_sha256()


def test_a_tweak_while_running_takes_effect_at_the_step_it_names(driver: Driver):
    driver.load()
    driver.do(p.Run)
    time.sleep(0.1)
    tweak = driver.do(p.Set, changes={"optim.lr": "1e-2"})
    end = driver.do(p.Pause)
    twin = Trainer(SPEC)
    twin.run(tweak.step)
    twin.set({"optim.lr": 1e-2})
    twin.run(end.step - tweak.step)
    assert driver.trainer.weights_sha256() == twin.weights_sha256()


def test_refusals_give_the_reason_and_change_nothing(driver: Driver):
    driver.load()
    for changes, words in (
        ({"optim.lr": "fast"}, "'fast' is not allowed"),
        ({"optim.lrr": "1"}, "did you mean optim.lr?"),
        ({"model.code": "3"}, "new run"),
        ({"optim.lr": "1e-2", "clip.threshold": "1"}, "none has no threshold"),
    ):
        refused = driver.do(p.Set, changes=changes)
        assert isinstance(refused, p.Refused)
        assert words in refused.text
    assert isinstance(driver.do(p.Run, steps=0), p.Refused)
    assert isinstance(driver.do(p.Nudge, path="model.hidden"), p.Refused)
    assert isinstance(driver.do(p.Nudge, path="nothing.at_all"), p.Refused)
    assert driver.trainer.spec == SPEC


def test_nudges_cancel_exactly(driver: Driver):
    driver.load(changed(SPEC, {"optim.lr": 3e-4}))
    for by in (-1, -1, -1, 1, 1, 1, 1, -1):
        driver.do(p.Nudge, by=by)
    assert driver.trainer.spec.optim.lr == 3e-4
    for _ in range(4):
        driver.do(p.Nudge, by=1)
    assert driver.trainer.spec.optim.lr == 3e-3


def test_the_spec_ends_the_run_and_running_on_goes_past_it(driver: Driver):
    info = driver.load(changed(SPEC, {"train.steps": 5}))
    assert info.goal == 5
    driver.do(p.Run)
    driver.settled("finished", 5)
    driver.do(p.Run)
    time.sleep(0.05)
    assert driver.do(p.Pause).step > 5


def test_classic_examples_end_with_a_fresh_input_and_its_output(driver: Driver):
    spec = changed(RunSpec(), {"data.kind": "gaussian", "data.rows": 50, "data.features": 8, "train.steps": 2})
    driver.load(spec)
    driver.do(p.Run)
    note = driver.wait(lambda e: isinstance(e, p.Noted))
    assert "fresh random input" in note.text


def test_non_finite_training_pauses_by_itself_and_can_go_on(driver: Driver):
    driver.load(changed(SPEC, {"optim.kind": "sgd", "optim.lr": 1e6}))
    driver.do(p.Run)
    stopped = driver.settled("non-finite")
    assert f"step {stopped.step:,}" in stopped.reason
    assert "last finite at step" in stopped.reason
    assert torch.isfinite(driver.trainer.flat.values).all()
    view = driver.look()
    assert view.status.state == "non-finite"
    assert not np.isfinite(view.history.grad_norm.numpy()[-1])
    assert isinstance(driver.do(p.Set, changes={"optim.lr": "1e-6"}), p.Accepted)


def test_an_error_in_a_step_is_one_sentence_and_the_engine_lives(driver: Driver, monkeypatch):
    driver.load()
    monkeypatch.setattr(driver.trainer, "advance", lambda: 1 / 0)
    driver.do(p.Run)
    failed = driver.wait(lambda e: isinstance(e, p.Failed))
    assert failed.text == "step 1 failed: ZeroDivisionError: division by zero"
    driver.settled("failed")
    monkeypatch.undo()
    driver.run_steps(2)


def test_a_spec_that_can_not_be_loaded_leaves_the_run_there_is(driver: Driver, tmp_path):
    info = driver.load()
    driver.run_steps(2)
    bad = changed(SPEC, {"data.kind": "file", "data.path": str(tmp_path / "none.npy")})
    refused = driver.do(p.New, spec=dumps(bad))
    assert isinstance(refused, p.Refused)
    assert "none.npy" in refused.text
    assert driver.look().run == info.run
    driver.run_steps(1)


def test_without_any_run_commands_are_refused(driver: Driver, tmp_path):
    bad = changed(SPEC, {"data.kind": "file", "data.path": str(tmp_path / "none.npy")})
    failed = driver.do(p.New, spec=dumps(bad))
    assert isinstance(failed, p.Failed)
    assert failed.path == "data.path"
    assert "none.npy" in failed.text
    assert isinstance(driver.do(p.Run), p.Refused)
    assert driver.engine.view(p.Look()) is None


def test_gauges_are_measured_for_whoever_looks(driver: Driver):
    driver.load()
    driver.run_steps(20)
    have = dict.fromkeys(p.GAUGES, 0)
    view = driver.look_until(lambda view: all(getattr(view, name) for name in p.GAUGES), have=have)
    assert view.variance.output.shape == (64,)
    assert view.code.width == 4
    assert view.pairs.count > 0
    assert [layer.units for layer in view.layers.layers] == [16, 4, 16, 64]
    assert {view.variance.step, view.code.step, view.pairs.step, view.layers.step} == {20}
    seen = {name: getattr(view, name).version for name in p.GAUGES}
    again = driver.look(run=view.run, since=20, have=seen)
    assert all(getattr(again, name) is None for name in p.GAUGES)
    assert again.history is None


def test_another_sample_is_measured_when_asked_for(driver: Driver):
    driver.load()
    driver.look_until(lambda view: view.pairs is not None, have={"pairs": 0})
    view = driver.look_until(lambda v: v.pairs is not None and v.pairs.first == 5, have={"pairs": 0}, sample=5)
    assert view.pairs.pairs


def test_watching_every_gauge_changes_no_weight(driver: Driver):
    driver.load(changed(SPEC, {"model.dropout": 0.2, "model.noise": 0.1, "model.batch_norm": True}))
    driver.engine.submit(p.Run(id=900, steps=3000))
    have = dict.fromkeys(p.GAUGES, 0)
    seen_measured = driver.look_until(
        lambda v: v.status.state == "paused" and v.status.step == 3000 and v.layers is not None, have=have
    )
    assert any(layer.update_ratio for layer in seen_measured.layers.layers)
    twin = Trainer(driver.trainer.spec)
    twin.run(3000)
    assert driver.trainer.weights_sha256() == twin.weights_sha256()


def test_a_new_run_starts_a_new_history(driver: Driver):
    first = driver.load()
    driver.run_steps(5)
    driver.do(p.New, spec=dumps(changed(SPEC, {"model.code": 2})))
    view = driver.look(run=first.run, since=5)
    assert view.run == first.run + 1
    assert view.history is None
    assert view.status.step == 0


def test_a_sink_that_joins_late_gets_the_events_of_the_present_run(driver: Driver):
    driver.load()
    driver.do(p.Nudge)
    late: list[p.Reply] = []
    driver.engine.join(late.append)
    assert isinstance(late[0], p.Ready)
    assert isinstance(late[1], p.Past)
    assert any(isinstance(event, p.Accepted) and event.changes for event in late[1].events)
    driver.engine.leave(late.append)


def test_events_are_numbered_in_order(driver: Driver):
    driver.load()
    driver.run_steps(2)
    ready = next(index for index, event in enumerate(driver.events) if isinstance(event, p.Ready))
    numbers = [event.seq for event in driver.events[ready:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(event.time > 0 for event in driver.events)


def test_a_goal_that_moves_behind_the_run_ends_it(driver: Driver):
    driver.load(changed(SPEC, {"train.steps": 10_000_000}))
    driver.do(p.Run)
    time.sleep(0.1)
    driver.do(p.Set, changes={"train.steps": "1"})
    stopped = driver.settled("finished")
    assert stopped.step > 1
    driver.do(p.Run, steps=5)
    driver.do(p.Set, changes={"train.steps": "2"})
    driver.settled("paused", stopped.step + 5)


def test_a_goal_given_while_running_ends_the_run_there(driver: Driver):
    driver.load()
    driver.do(p.Run)
    driver.do(p.Set, changes={"train.steps": "5000"})
    driver.settled("finished", 5000)


def test_a_gauge_that_fails_is_said_once_and_training_goes_on(driver: Driver, monkeypatch):
    driver.load()
    gauges = driver.engine._run.watch._gauges
    monkeypatch.setattr(gauges, "measure", lambda name, first: 1 / 0)
    driver.look(have={"code": 0})
    note = driver.wait(lambda e: isinstance(e, p.Noted))
    assert "code" in note.text
    assert note.warning
    driver.run_steps(20)
    assert sum(isinstance(e, p.Noted) for e in driver.events) == 1
