"""The engine with a training that no spec assembled: nothing of it needs a `Trainer` or a `RunSpec`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.spec.errors import Problem, SpecError
from aetui.training.interface import Checkpoint, Predicted, Rows
from aetui.training.records import Records
from tests.engine.test_worker import Driver

FEATURES, ROWS = 6, 40


class Tiny:
    """Gradient descent on a linear autoencoder, all four parts in one object."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        data = torch.randn(ROWS, 2, generator=generator) @ torch.randn(2, FEATURES, generator=generator)
        self.probe = self.samples = Rows(data, data, titles=tuple(f"row {i}" for i in range(ROWS)))
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(FEATURES, 2), nn.Linear(2, FEATURES))
        self.lr = 0.01
        self.done = 0
        self._rows: list[tuple[float, float, float, float]] = []
        self._start = self.capture()

    steps = settings = measured = stored = property(lambda self: self)  # pyright: ignore[reportAssignmentType]

    # steps
    goal, per_epoch, after_non_finite, advance_measured = None, 1.0, "it went on", None

    @property
    def epoch(self) -> float:
        return float(self.done)

    def advance(self) -> bool:
        self.module.zero_grad()
        loss = nn.functional.mse_loss(self.module(self.probe.inputs), self.probe.targets)
        loss.backward()
        with torch.no_grad():
            norm = torch.stack([w.grad.norm() for w in self.module.parameters() if w.grad is not None]).norm()
            for weight in self.module.parameters():
                assert weight.grad is not None
                weight -= self.lr * weight.grad
        self.done += 1
        self._rows.append((loss.item(), loss.item(), norm.item(), 0.0))
        return True

    def drain(self) -> Records:
        rows, self._rows = self._rows, []
        return Records(*np.array(rows, dtype=np.float32).reshape(-1, 4).T)

    # settings
    text, threshold = "", None

    @property
    def rate(self) -> float:
        return self.lr

    base_rate = rate

    def table(self) -> tuple[p.Setting, ...]:
        return (
            p.Setting(
                path="optim.lr", value=repr(self.lr), type="number", allowed="a number above 0", low=0, live=True
            ),
        )

    def check(self, changes: Mapping[str, str]) -> tuple[p.Change, ...]:
        if set(changes) - {"optim.lr"}:
            raise SpecError([Problem(next(iter(changes)), "is not known; it takes optim.lr")])
        if float(changes["optim.lr"]) <= 0:
            raise SpecError([Problem("optim.lr", f"{changes['optim.lr']} is not allowed; it takes a number above 0")])
        new = repr(float(changes["optim.lr"]))
        return () if new == repr(self.lr) else (p.Change("optim.lr", repr(self.lr), new),)

    def put_in_force(self, changes: Mapping[str, str]) -> str:
        self.check(changes)
        self.lr = float(changes["optim.lr"])
        return ""

    # measured
    device, variational, held_out = torch.device("cpu"), False, None
    loss = staticmethod(nn.functional.mse_loss)
    floors = p.Floors()

    def build_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(module.parameters(), lr=self.lr)

    @torch.no_grad()
    def predict(self, rows: Rows) -> Predicted:
        code = self.module[0](rows.inputs)
        output = self.module[1](code)
        return Predicted(output, code, float(self.loss(output, rows.targets)))

    def errors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        output = self.predict(rows).output
        return output, (output - rows.targets).square().mean(1)

    def gradients(self) -> Mapping[str, Tensor] | None:
        return {name: w.grad for name, w in self.module.named_parameters() if w.grad is not None} or None

    def finale(self) -> str:
        return ""

    # stored
    exact = True

    def about(self) -> dict[str, Any]:
        return {"source": "tiny", "rows": ROWS, "features": FEATURES, "image_shape": ()}

    def capture(self) -> Checkpoint:
        tensors = {name: value.clone() for name, value in self.module.state_dict().items()}
        return Checkpoint(tensors, {"steps": self.done, "lr": self.lr})

    def restore(self, checkpoint: Checkpoint) -> None:
        self.module.load_state_dict(checkpoint.tensors)
        self.done, self.lr, self._rows = checkpoint.steps, checkpoint.plain["lr"], []

    def restore_start(self) -> None:
        self.restore(self._start)

    def info(self) -> p.RunInfo:
        return p.RunInfo(
            run=0, name="", spec="", source="tiny", architecture="6-[2]-6", code=2, parameters=32,
            features=FEATURES, train_rows=ROWS, validation_rows=0, settings=self.table(),
        )  # fmt: skip


class Unsaved(Tiny):
    """One that keeps no state."""

    stored = None  # pyright: ignore[reportAssignmentType]


class OtherDriver(Driver):
    def __init__(self, training: Any, store: bool) -> None:
        self.engine = Engine("tiny", store=store, training=training)
        self.events: list[p.Event] = []
        self.arrived = threading.Condition()
        self.engine.join(self._take)
        self.thread = threading.Thread(target=self.engine.work, daemon=True)
        self.thread.start()
        self._ids = iter(range(1, 10_000))
        self.wait(lambda event: isinstance(event, p.Ready))


@pytest.fixture
def start() -> Iterator[Callable[..., OtherDriver]]:
    drivers: list[OtherDriver] = []

    def begin(training: Any, store: bool = True) -> OtherDriver:
        drivers.append(OtherDriver(training, store))
        return drivers[-1]

    yield begin
    for driver in drivers:
        driver.engine.submit(p.Stop(id=0))
        driver.thread.join(10)
        assert not driver.thread.is_alive()


@pytest.mark.parametrize("store", [False, True])
def test_it_trains_pauses_and_takes_tweaks_that_the_journal_has(start, store: bool):
    training = Tiny()
    driver = start(training, store)
    driver.do(p.Run, steps=20)
    driver.settled("paused", 20)
    tweak = driver.do(p.Set, changes={"optim.lr": "0.02"})
    assert isinstance(tweak, p.Accepted) and tweak.step == 20
    assert (tweak.text, training.lr) == ("optim.lr 0.01 -> 0.02", 0.02)
    assert tweak.info is not None and tweak.info.settings == training.table()
    nudged = driver.do(p.Nudge, path="optim.lr", by=1)
    assert isinstance(nudged, p.Accepted) and training.lr == pytest.approx(0.02 * 10**0.25)
    refused = driver.do(p.Set, changes={"optim.lr": "-1"})
    assert isinstance(refused, p.Refused) and "-1 is not allowed" in refused.text
    driver.do(p.Run)
    driver.look_until(lambda view: view.status.step > 40)
    driver.do(p.Pause)
    view = driver.look()
    assert view.history is not None and len(view.history.loss.numpy()) == training.done
    assert view.status.lr == training.lr
    late: list[p.Reply] = []
    driver.engine.join(late.append)
    past = next(one for one in late if isinstance(one, p.Past))
    assert [e.text for e in past.events if isinstance(e, p.Accepted)][:1] == ["optim.lr 0.01 -> 0.02"]


def test_every_gauge_is_measured(start):
    driver = start(Tiny(), False)
    driver.do(p.Run, steps=300)
    driver.settled("paused", 300)
    have = dict.fromkeys(p.GAUGES, 0)
    view = driver.look_until(lambda view: all(getattr(view, name) is not None for name in p.GAUGES), have=have)
    assert view.code.width == 2 and view.variance.features == FEATURES
    assert [pair.title for pair in view.pairs.pairs][:2] == ["row 0", "row 1"]
    assert all(layer.grad_norm for layer in view.layers.layers)
    assert view.diagnosis.report.steps == 300


def test_a_tweak_is_undone_from_the_record(start):
    training = Tiny()
    driver = start(training)
    driver.do(p.Run, steps=5)
    driver.settled("paused", 5)
    before = training.capture()
    driver.do(p.Set, changes={"optim.lr": "0.05"})
    driver.do(p.Run, steps=4)
    driver.settled("paused", 9)
    driver.do(p.Undo)
    driver.wait(lambda event: isinstance(event, p.Moved))
    assert (training.done, training.lr) == (5, 0.01)
    assert all(torch.equal(value, before.tensors[name]) for name, value in training.module.state_dict().items())


def test_one_whose_state_cannot_be_saved_trains_and_says_so(start):
    driver = start(Unsaved())
    noted = driver.wait(lambda event: isinstance(event, p.Noted) and event.warning)
    assert "its state can't be saved" in noted.text
    driver.do(p.Run, steps=3)
    driver.settled("paused", 3)


def test_a_loss_that_is_not_known_leaves_out_the_diagnosis_and_says_so(start):
    training = Tiny()
    training.loss = None  # pyright: ignore[reportAttributeAccessIssue]
    training.predict = lambda rows: Predicted(training.module(rows.inputs).detach(), None, None)
    driver = start(training, False)
    driver.look_until(lambda view: view.variance is not None, have=dict.fromkeys(p.GAUGES, 0))
    noted = driver.wait(lambda event: isinstance(event, p.Noted) and "diagnosis" in event.text)
    assert "the loss is not known" in noted.text and "Unknown" not in noted.text


def test_a_loop_that_somebody_else_drives_calls_it_from_an_optimizers_hook():
    training = Tiny()
    own_step, training.advance = training.advance, None  # pyright: ignore[reportAttributeAccessIssue]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    engine = Engine("theirs", store=False, training=training)
    events: list[p.Reply] = []
    arrived = threading.Condition()
    over = threading.Event()

    def take(event: p.Reply) -> None:
        with arrived:
            events.append(event)
            arrived.notify_all()

    def wait(found: Callable[[Any], bool]) -> None:
        with arrived:
            assert arrived.wait_for(lambda: any(map(found, events)), 30), events

    def hook(*_: object) -> None:
        if not engine.between_steps():
            over.set()

    optimizer.register_step_pre_hook(hook)

    def loop() -> None:
        while not over.is_set():
            optimizer.step()
            if not over.is_set():
                own_step()

    engine.join(take)
    theirs = threading.Thread(target=loop, daemon=True)
    theirs.start()
    engine.submit(p.Run(id=1, steps=4))
    wait(lambda event: isinstance(event, p.StateChanged) and event.state == "paused" and event.step == 4)
    assert training.done == 4 and theirs.is_alive()
    engine.submit(p.Set(id=2, changes={"optim.lr": "0.5"}))
    wait(lambda event: isinstance(event, p.Accepted) and event.command == 2)
    assert (training.done, training.lr) == (4, 0.5)
    engine.submit(p.Run(id=3, steps=3))
    wait(lambda event: isinstance(event, p.StateChanged) and event.state == "paused" and event.step == 7)
    engine.submit(p.Stop(id=4))
    theirs.join(10)
    assert not theirs.is_alive() and training.done == 7


def test_where_training_again_is_not_exact_an_undo_puts_back_the_state_and_says_what_it_can_not(start):
    training = Tiny()
    training.exact = False
    driver = start(training)
    driver.do(p.Run, steps=5)
    driver.settled("paused", 5)
    driver.do(p.Set, changes={"optim.lr": "0.05"})
    driver.do(p.Run, steps=4)
    driver.settled("paused", 9)
    driver.do(p.Undo)
    noted = driver.wait(lambda event: isinstance(event, p.Noted) and "step 5" in event.text and event.warning)
    assert "the data go on from where they are" in noted.text
    assert (training.done, training.lr) == (5, 0.01)
