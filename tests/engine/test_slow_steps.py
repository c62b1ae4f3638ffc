"""Steps that take long: what is whole is published and stored meanwhile, and what takes so long is said."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from aetui import Trainer
from aetui import protocol as p
from aetui.engine import pulse
from aetui.engine.worker import Engine
from aetui.spec import RunSpec, changed, dumps
from aetui.training.spec_training import trainer_of

PATIENCE = 60.0
MODEL = """
import threading
import torch
from torch import nn

gate = threading.Event()

class Net(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 4), nn.Linear(4, features)
        self.steps = 0

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            if self.steps == 50:
                gate.wait()  # here
        return self.decoder(torch.relu(self.encoder(x)))

def made(features):
    gate.wait()  # in the making
    return Net(features)
"""
STEP_LINE, MAKING_LINE = (
    1 + next(i for i, line in enumerate(MODEL.splitlines()) if line.endswith(mark)) for mark in ("# here", "making")
)


class Bench:
    """An engine in a thread, on a model whose 50th step waits for `release`."""

    def __init__(self, folder: Path, name: str) -> None:
        (folder / "mine.py").write_text(MODEL)
        self.spec = changed(
            RunSpec(),
            {
                "data.rows": "0:100", "model.kind": "file", "model.path": f"{folder}/mine.py:{name}",
                "train.batch_size": 32, "train.steps": 60, "train.device": "cpu",
            },
        )  # fmt: skip
        self.engine = Engine("test")
        self.events: list[p.Reply] = []
        self.engine.join(self.events.append)
        self.thread = threading.Thread(target=self.engine.work, daemon=True)
        self.thread.start()
        self.engine.submit(p.New(id=1, spec=dumps(self.spec), start=True))

    @property
    def module(self) -> ModuleType:
        return sys.modules["_aetui_user_model"]

    def release(self) -> None:
        self.module.gate.set()

    def until(self, found: Callable[[], object]) -> object:
        end = time.monotonic() + PATIENCE
        while not (answer := found()):
            assert time.monotonic() < end, self.events
            time.sleep(0.01)
        return answer

    def status(self) -> p.Status:
        """The status, once there is a run."""
        view = self.until(lambda: self.engine.view(p.Look()))
        assert isinstance(view, p.View)
        return view.status

    def event(self, found: Callable[[p.Reply], bool]) -> p.Reply:
        return self.until(lambda: next(filter(found, tuple(self.events)), None))  # pyright: ignore[reportReturnType]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setattr(pulse, "SLOW", 0.6)
    monkeypatch.setattr(pulse, "PERIOD", 0.1)
    made: list[Bench] = []

    def make(name: str = "Net") -> Bench:
        made.append(Bench(tmp_path, name))
        return made[-1]

    yield make
    for one in made:
        one.release()
        one.engine.submit(p.Stop(id=0))
        one.thread.join(PATIENCE)


def stored_steps(folder: str) -> int:
    with closing(sqlite3.connect(f"{Path(folder, 'run.db').as_uri()}?mode=ro", uri=True)) as sql:
        return sql.execute("SELECT MAX(start + count) FROM history").fetchone()[0] or 0


def test_a_step_that_hangs_leaves_those_before_it_published_and_stored(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.until(lambda: one.status().step == 49)
    view = one.engine.view(p.Look())
    assert view is not None and view.history is not None
    assert len(view.history.loss.numpy()) == 49
    assert (view.status.state, view.status.loss) == ("running", pytest.approx(float(view.history.loss.numpy()[-1])))
    # Batches differ by a row, so the part of an epoch that a step is does too.
    wanted = 49 / trainer_of(one.engine.run.training).batches.steps_per_epoch  # pyright: ignore
    assert view.status.epoch == pytest.approx(wanted, abs=0.05)
    ready = one.event(lambda event: isinstance(event, p.Ready))
    assert isinstance(ready, p.Ready)
    one.until(lambda: stored_steps(ready.info.folder) == 49)

    stalled = one.until(lambda: one.status().stalled)
    assert isinstance(stalled, p.Stall)
    assert (stalled.doing, stalled.place) == ("forward of Net", f"mine.py, line {STEP_LINE}")
    one.engine.submit(p.Pause(id=2))
    one.until(lambda: one.status().queued == 1)
    one.release()
    paused = one.event(lambda event: isinstance(event, p.StateChanged) and event.state == "paused")
    assert isinstance(paused, p.StateChanged) and paused.step == 50
    one.until(lambda: one.status().stalled is None)

    one.engine.submit(p.Run(id=3))
    one.event(lambda event: isinstance(event, p.StateChanged) and event.state == "finished")
    one.until(lambda: stored_steps(ready.info.folder) == 60)
    run = one.engine.run
    assert run is not None
    weights = trainer_of(run.training).weights_sha256()
    trainer = Trainer(one.spec)
    one.release()
    trainer.run(60)
    assert weights == trainer.weights_sha256()


def test_a_step_that_fails_after_a_long_time_is_none(bench: Callable[..., Bench], monkeypatch) -> None:
    one = bench()
    one.until(lambda: one.status().step == 49)
    monkeypatch.setattr(one.module.torch, "relu", lambda x: 1 / 0)
    one.release()
    failed = one.event(lambda event: isinstance(event, p.Failed))
    assert isinstance(failed, p.Failed) and failed.text.startswith("step 50 failed")
    assert one.status().step == 49


def test_a_measurement_that_hangs_is_named(bench: Callable[..., Bench], monkeypatch) -> None:
    one = bench()
    one.until(lambda: one.status().step == 49)
    run, module = one.engine.run, one.module
    assert run is not None
    fresh = module.threading.Event()
    measure = run.watch.gauges.measure

    def slow(name: str, first: int) -> object:
        fresh.wait()
        return measure(name, first)

    monkeypatch.setattr(run.watch.gauges, "measure", slow)
    one.engine.submit(p.Pause(id=2))
    one.release()
    one.event(lambda event: isinstance(event, p.StateChanged) and event.state == "paused")
    one.engine.view(p.Look(have={"variance": 0}))
    try:
        stalled = one.until(lambda: one.status().stalled)
    finally:
        fresh.set()
    assert isinstance(stalled, p.Stall)
    assert stalled.doing == "measuring the variance pane"
    one.until(lambda: one.status().stalled is None)


def test_a_model_that_is_long_in_the_making_is_named(bench: Callable[..., Bench]) -> None:
    one = bench("made")
    loading = one.event(lambda event: isinstance(event, p.Loading) and bool(event.where))
    assert isinstance(loading, p.Loading)
    assert loading.where == f"making the model, mine.py, line {MAKING_LINE}"
    one.release()
    one.event(lambda event: isinstance(event, p.StateChanged) and event.state == "finished")
    # One that joins now hears of the run, and nothing of the stages before it.
    late: list[p.Reply] = []
    one.engine.join(late.append)
    assert isinstance(late[0], p.Ready)


def test_an_engine_at_rest_is_not_slow(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.until(lambda: one.status().step == 49)
    one.engine.submit(p.Pause(id=2))
    one.release()
    one.event(lambda event: isinstance(event, p.StateChanged) and event.state == "paused")
    one.until(lambda: one.engine._inbox.resting and one.engine._pulse.still() > pulse.SLOW)
    assert one.status().stalled is None
