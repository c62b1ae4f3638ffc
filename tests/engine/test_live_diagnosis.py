"""The engine diagnoses the run it trains: verdicts, probes on demand, and a training that does not notice."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from aetui import Trainer
from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.report import LEARNING
from aetui.spec import RunSpec, changed, dumps
from aetui.training.spec_training import trainer_of

SPEC = changed(
    RunSpec(),
    {"data.rows": "0:400", "data.scaling": "max", "model.hidden": (32,), "model.code": 8, "train.steps": 600},
)
BAD = changed(SPEC, {"optim.lr": 1.0})


class Watched:
    """An engine in a thread, and somebody who looks at its diagnosis."""

    def __init__(self, spec: RunSpec) -> None:
        self.engine = Engine("test")
        self.events: list[p.Event] = []
        self.engine.join(lambda event: self.events.append(event) if isinstance(event, p.Event) else None)
        self.thread = threading.Thread(target=self.engine.work, daemon=True)
        self.thread.start()
        self.seen: list[p.Diagnosis] = []
        self.engine.submit(p.New(id=1, spec=dumps(spec)))
        self.until(lambda shown: shown.step == 0)

    def until(self, found: Callable[[p.Diagnosis], bool], timeout: float = 60.0) -> p.Diagnosis:
        """Look on until a diagnosis is as wanted."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            have = self.seen[-1].version if self.seen else 0
            view = self.engine.view(p.Look(run=1, have={"diagnosis": have}))
            if view is not None and view.diagnosis is not None and view.diagnosis.version != have:
                self.seen.append(view.diagnosis)
            if self.seen and found(self.seen[-1]):
                return self.seen[-1]
            time.sleep(0.02)
        raise AssertionError(self.seen[-1:] or self.events)

    def close(self) -> None:
        self.engine.submit(p.Stop(id=99))
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()


@pytest.fixture
def watch() -> Iterator[Callable[[RunSpec], Watched]]:
    made: list[Watched] = []

    def start(spec: RunSpec) -> Watched:
        made.append(Watched(spec))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_before_the_first_step_there_is_no_verdict_but_what_can_be_seen_then(watch):
    report = watch(BAD).seen[-1].report
    assert report.verdict == LEARNING
    assert report.findings[0].cause == "lr-too-high"


def test_a_good_run_is_healthy_and_has_no_findings(watch):
    watched = watch(changed(SPEC, {"optim.lr": 5e-3}))
    watched.engine.submit(p.Run(id=2))
    report = watched.until(lambda shown: shown.step == 600).report
    assert report.verdict == "healthy"
    assert report.findings == ()
    assert report.explained_variance.whole is not None and report.explained_variance.linear is not None


def test_a_collapsed_run_says_so_in_the_journal_and_names_the_cause(watch):
    watched = watch(BAD)
    watched.engine.submit(p.Run(id=2))
    report = watched.until(lambda shown: shown.step == 600 and shown.report.verdict == "collapsed").report
    assert report.findings[0].cause == "lr-too-high"
    assert report.findings[0].remedies[0].set["optim.lr"] < 1.0

    def noted() -> bool:
        texts = [event.text for event in watched.events if isinstance(event, p.Noted)]
        return any("collapsed" in text and "learning rate too high" in text for text in texts)

    # What a screen can look at is there before the journal's line.
    watched.until(lambda _: noted())


def test_probes_pause_the_run_and_their_outcome_joins_the_evidence(watch):
    watched = watch(changed(BAD, {"train.steps": 0}))
    watched.engine.submit(p.Run(id=2))
    watched.until(lambda shown: shown.step > 200)
    watched.engine.submit(p.Examine(id=3))
    probed = watched.until(lambda shown: shown.probed)
    assert any(shown.stage.startswith("probe ") for shown in watched.seen)
    assert probed.stage == ""
    assert probed.report.probe_steps > 0
    best = probed.report.findings[0]
    assert best.cause == "lr-too-high"
    assert any("probe on a copy, learning rate" in item.text for item in best.evidence)
    states = [event.state for event in watched.events if isinstance(event, p.StateChanged)]
    assert states[-1] == "paused"


def test_training_on_leaves_the_probes(watch):
    watched = watch(changed(BAD, {"train.steps": 0}))
    watched.engine.submit(p.Run(id=2, steps=300))
    watched.until(lambda shown: shown.step == 300)
    watched.engine.submit(p.Examine(id=3))
    watched.until(lambda shown: bool(shown.stage))
    watched.engine.submit(p.Run(id=4, steps=10))
    shown = watched.until(lambda shown: shown.step == 310)
    assert shown.stage == ""
    assert not shown.probed


def test_looking_and_probing_change_nothing_of_the_training(watch):
    watched = watch(SPEC)
    watched.engine.submit(p.Run(id=2, steps=250))
    watched.until(lambda shown: shown.step == 250)
    watched.engine.submit(p.Examine(id=3))
    watched.until(lambda shown: shown.probed)
    watched.engine.submit(p.Run(id=4))
    watched.until(lambda shown: shown.step == 600)
    plain = Trainer(SPEC)
    plain.run()
    run = watched.engine.run
    assert run is not None
    assert trainer_of(run.training).weights_sha256() == plain.weights_sha256()
