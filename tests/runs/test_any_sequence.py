"""Whatever is done to a run, in whatever order, its weights are those that its record says."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aetui import protocol as p
from aetui.runs.lineage import Position
from aetui.training.spec_training import trainer_of

TWEAKS = [
    {"optim.lr": "0.003"},
    {"optim.lr": "1e-4"},
    {"optim.kind": "sgd", "optim.momentum": "0.5"},
    {"optim.kind": "adamw"},
    {"optim.beta1": "0.5"},
    {"train.batch_size": "17"},
    {"train.batch_size": "0"},
    {"train.batch_size": "64", "optim.weight_decay": "0.01"},
    {"clip.kind": "global", "clip.threshold": "0.05"},
    {"clip.kind": "value", "clip.threshold": "0.001"},
    {"clip.kind": "per-tensor", "clip.threshold": "0.02"},
    {"clip.kind": "none"},
    {"schedule.kind": "exponential", "schedule.decay": "0.99"},
    {"schedule.kind": "step", "schedule.every": "5", "schedule.factor": "0.5"},
    {"schedule.kind": "constant"},
    {"model.noise": "0.1", "optim.lr": "0.002"},
]
BAD = [{"optim.lr": "fast"}, {"optim.lr": "0.5", "model.code": "4"}, {"nothing.here": "1"}, {"clip.kind": "odd"}]
"""Each is to be refused whole."""


@pytest.fixture
def machine(check, drive, private_home):
    """The machine's class, with a home for its runs."""
    numbers = itertools.count()

    class AnySequence(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.driver = drive(f"run-{next(numbers)}")
            self.tips: dict[Position, str] = {}
            """Weights at the places that were left."""
            self.before_undo: list[str] = []

        @property
        def sha(self) -> str:
            return self.driver.trainer.weights_sha256()

        def left(self) -> None:
            recording = self.driver.run.recording
            self.tips[recording.settled] = self.sha

        @initialize(seed=st.integers(0, 3), kind=st.sampled_from(["adam", "sgd"]))
        def begin(self, seed: int, kind: str) -> None:
            from aetui.spec import RunSpec, changed

            small = {"data.rows": "0:100", "model.hidden": (8,), "model.code": 2, "train.batch_size": 32}
            self.driver.load(
                changed(RunSpec(), small | {"train.device": "cpu", "train.seed": seed, "optim.kind": kind})
            )

        @rule(count=st.integers(1, 12))
        def train(self, count: int) -> None:
            self.driver.steps(count)
            self.before_undo = []

        @rule(count=st.integers(1, 4))
        def single_steps(self, count: int) -> None:
            start = self.driver.trainer.steps
            before = len(self.driver.events)
            for _ in range(count):
                self.driver.engine.submit(p.Run(id=0, steps=1))
            self.driver.wait(
                lambda e: isinstance(e, p.StateChanged) and e.state == "paused" and e.step == start + count, before
            )
            self.before_undo = []

        def pause(self) -> None:
            before = len(self.driver.events)
            self.driver.do(p.Pause)
            self.driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "paused", before)

        @rule()
        def run_and_pause(self) -> None:
            self.driver.do(p.Run)
            self.pause()
            self.before_undo = []

        @rule(changes=st.sampled_from(TWEAKS), running=st.booleans())
        def tweak(self, changes: dict[str, str], running: bool) -> None:
            if running:
                self.driver.do(p.Run)
            answer = self.driver.do(p.Set, changes=changes)
            if running:
                self.pause()
            assert isinstance(answer, p.Accepted) or " has no " in answer.text
            if running or getattr(answer, "changes", ()):
                self.before_undo = []

        @rule(changes=st.sampled_from(BAD))
        def refused(self, changes: dict[str, str]) -> None:
            spec, sha = self.driver.trainer.spec, self.sha
            assert isinstance(self.driver.do(p.Set, changes=changes), p.Refused)
            assert (self.driver.trainer.spec, self.sha) == (spec, sha)

        @rule(moves=st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=5))
        def nudge(self, moves: list[int]) -> None:
            for by in moves:
                assert isinstance(self.driver.do(p.Nudge, by=by), p.Accepted)
            self.before_undo = []

        @rule(count=st.integers(2, 6), by=st.sampled_from([-1, 1]))
        def hold(self, count: int, by: int) -> None:
            self.driver.do(p.Run)
            for _ in range(count):
                assert isinstance(self.driver.do(p.Nudge, by=by), p.Accepted)
            self.pause()
            self.before_undo = []

        @rule()
        def undo(self) -> None:
            sha, tweaks = self.sha, self.driver.run.recording.tweaks_on_path()
            self.left()
            answer = self.driver.do(p.Undo)
            assert isinstance(answer, p.Moved if tweaks else p.Refused)
            if tweaks:
                self.before_undo.append(sha)

        @rule()
        def redo(self) -> None:
            answer = self.driver.do(p.Redo)
            assert isinstance(answer, p.Moved if self.before_undo else p.Refused)
            if self.before_undo:
                assert self.sha == self.before_undo.pop()

        @rule(pick=st.integers(0, 1000))
        def rewind(self, pick: int) -> None:
            self.driver.flush()
            places = self.driver.engine.places().places
            if not places:
                return
            place = sorted(places, key=lambda place: place.checkpoint)[pick % len(places)]
            self.left()
            assert isinstance(self.driver.do(p.Rewind, checkpoint=place.checkpoint), p.Moved)
            assert self.driver.trainer.steps == place.step
            self.before_undo = []

        @rule()
        def leave_and_join(self) -> None:
            seen: list = []
            self.driver.engine.leave(self.driver.take)
            self.driver.engine.join(seen.append)
            self.driver.engine.leave(seen.append)
            self.driver.engine.join(self.driver.take)
            assert isinstance(seen[0], p.Ready)
            view = self.driver.engine.view(p.Look())
            assert view is not None
            assert (view.history.end if view.history else 0) == self.driver.trainer.steps

        @rule(how=st.sampled_from(["stopped", "killed", "killed without checkpoints"]))
        def open_again(self, how: str) -> None:
            sha, at, folder = self.sha, self.driver.run.recording.settled, self.driver.folder
            unstarted = not folder.name.endswith("-copy") and self.driver.run.recording.idle
            if how != "stopped":
                self.driver.flush()
                copy = Path(f"{folder}-{next(numbers)}-copy")
                shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("engine.sock"))
                if how == "killed without checkpoints":
                    for file in copy.glob("checkpoints/*"):
                        file.unlink()
                folder = copy
            self.driver.stop()
            if unstarted and how == "stopped":
                assert not folder.exists()
                self.driver = drive(f"run-{next(numbers)}")
                self.begin(0, "adam")
                self.tips = {}
                return
            self.driver = drive()
            answer = self.driver.open(folder)
            assert isinstance(answer, p.Accepted), answer
            assert self.driver.run.recording.settled == at
            assert self.sha == sha
            if how != "killed without checkpoints":
                assert self.driver.notes() == []
            self.before_undo = []

        @invariant()
        def stands_where_it_says(self) -> None:
            run = self.driver.engine.run
            if run is None:
                return
            recording = run.recording
            assert trainer_of(run.training).steps == recording.position.step == len(run.history)
            stretches = recording.path
            assert [stretch.start for stretch in stretches] == [0, *(stretch.end for stretch in stretches[:-1])]
            assert trainer_of(recording.training).spec.optim.lr > 0

        def teardown(self) -> None:
            if self.driver.engine.run is not None:
                record = check(self.driver)
                assert not np.isnan(record.loss).any()
                self._returns_to_what_it_left()
            if self.driver.thread.is_alive():
                self.driver.stop()

        def _returns_to_what_it_left(self) -> None:
            recording = self.driver.run.recording
            for place, sha in list(self.tips.items())[-4:]:
                remarks = recording.go(place, lambda *_: False)
                assert all("No such file" in remark for remark in remarks)
                assert self.driver.trainer.weights_sha256() == sha

    return AnySequence


def test_any_sequence_of_commands_ends_in_the_weights_that_the_record_says(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, derandomize=True, print_blob=False,
            suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate],
        ),
    )  # fmt: skip
