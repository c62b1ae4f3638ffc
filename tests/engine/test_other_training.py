"""The engine with a training that no spec assembled: nothing of it needs a `Trainer` or a `RunSpec`."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aetui import protocol as p
from aetui.cli.main import main
from aetui.engine.worker import Engine
from aetui.runs.folder import RunFolder
from aetui.runs.recording import Recording
from aetui.runs.replay import never
from aetui.spec.errors import Problem, SpecError
from aetui.training.interface import MODULE, Checkpoint, Predicted, Rows
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
    device, variational, held_out, kl_weight = torch.device("cpu"), False, None, None
    loss = staticmethod(nn.functional.mse_loss)
    floors, kl_weight = p.Floors(), None

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
        tensors = {MODULE + name: value.clone() for name, value in self.module.state_dict().items()}
        return Checkpoint(tensors, {"steps": self.done, "lr": self.lr})

    def objection(self) -> str:
        return ""

    def restore(self, checkpoint: Checkpoint) -> None:
        self.module.load_state_dict({name.removeprefix(MODULE): one for name, one in checkpoint.tensors.items()})
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
    assert all(
        torch.equal(value, before.tensors[MODULE + name]) for name, value in training.module.state_dict().items()
    )


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


class Theirs:
    """A loop that somebody else drives in a thread of its own, calling the engine from an optimizer's hook."""

    def __init__(self, training: Any, *, store: bool = False, steps: int = 10**9, start: bool = True) -> None:
        self.training = training
        own_step, training.advance = training.advance, None
        self.engine = Engine("theirs", store=store, training=training)
        self.events: list[Any] = []
        self.arrived = threading.Condition()
        self.raised: BaseException | None = None
        self.asked = True
        """What the engine answered last."""
        self._ids = iter(range(1, 1000))
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
        optimizer.register_step_pre_hook(lambda *_: setattr(self, "asked", self.engine.between_steps()))

        def loop() -> None:
            try:
                while training.done < steps and (self.asked or steps < 10**9):
                    optimizer.step()
                    if self.asked or steps < 10**9:
                        own_step()
            except BaseException as error:  # noqa: BLE001
                self.raised = error
            self.engine.end("finished", "the loop is over")

        self.engine.join(self.take)
        if start:
            self.engine.submit(p.Run(id=0))
        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()

    def take(self, event: p.Reply) -> None:
        with self.arrived:
            self.events.append(event)
            self.arrived.notify_all()

    def wait(self, found: Callable[[Any], bool]) -> Any:
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(map(found, self.events)), 30), self.events
            return next(filter(found, self.events))

    def do(self, kind: type[p.Command], **fields: Any) -> Any:
        command = kind(id=next(self._ids), **fields)
        self.engine.submit(command)  # pyright: ignore[reportArgumentType]
        return self.wait(lambda event: getattr(event, "command", None) == command.id)

    def settled(self, state: str, step: int | None = None) -> Any:
        return self.wait(
            lambda e: isinstance(e, p.StateChanged) and e.state == state and (step is None or e.step == step)
        )

    def over(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()
        assert self.raised is None
        assert isinstance(self.events[-1], p.Ended)


def trained_alone(steps: int) -> Tiny:
    alone = Tiny()
    for _ in range(steps):
        alone.advance()
    return alone


def same_weights(one: Tiny, other: Tiny) -> bool:
    return all(map(torch.equal, one.module.state_dict().values(), other.module.state_dict().values()))


def test_a_loop_that_somebody_else_drives_calls_it_from_an_optimizers_hook():
    training = Tiny()
    theirs = Theirs(training, start=False)
    theirs.do(p.Run, steps=4)
    theirs.settled("paused", 4)
    assert training.done == 4 and theirs.thread.is_alive()
    theirs.do(p.Set, changes={"optim.lr": "0.5"})
    assert (training.done, training.lr) == (4, 0.5)
    theirs.do(p.Run, steps=3)
    theirs.settled("paused", 7)
    theirs.engine.submit(p.Stop(id=99))
    theirs.over()
    assert training.done == 7
    assert not theirs.engine.between_steps()


def test_their_loop_is_looked_at_stored_listed_and_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AETUI_HOME", str(tmp_path / "home"))
    training = Tiny()
    theirs = Theirs(training, store=True, start=False)
    theirs.do(p.Run, steps=30)
    theirs.settled("paused", 30)
    theirs.do(p.Set, changes={"optim.lr": "0.02"})
    have = dict.fromkeys(p.GAUGES, 0)
    end = time.monotonic() + 30
    view = None
    while view is None or any(getattr(view, name) is None for name in p.GAUGES):
        assert time.monotonic() < end
        view = theirs.engine.view(p.Look(run=1, since=0, points=0, have=have))
        time.sleep(0.01)
    assert view.status.step == 30 and view.status.explained_variance is not None
    refused = theirs.do(p.New, spec="")
    assert isinstance(refused, p.Refused) and "in a loop of its own" in refused.text
    theirs.do(p.Run, steps=20)
    theirs.settled("paused", 50)
    theirs.engine.submit(p.Stop(id=99))
    theirs.over()
    assert main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert "theirs" in listed and "50" in listed and "tiny" in listed
    assert main(["runs", "show", "theirs"]) == 0
    assert "optim.lr 0.01 -> 0.02" in capsys.readouterr().out
    assert main(["export", "theirs", "--to", "csv", "--out", str(tmp_path)]) == 0
    with (tmp_path / "theirs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["step"] != "0"]
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 51)]
    assert all(float(row["loss"]) > 0 and row["lr"] == "" for row in rows)
    assert rows[29]["tweak"] == "optim.lr 0.01 -> 0.02"
    assert main(["export", "theirs", "--to", "torch", "--out", str(tmp_path)]) == 0
    weights = torch.load(tmp_path / "theirs.pt", weights_only=True)
    assert all(torch.equal(weights[name], value) for name, value in training.module.state_dict().items())
    capsys.readouterr()
    for command in (["export", "theirs", "--to", "script", "--out", str(tmp_path)], ["resume", "theirs", "--headless"]):
        assert main(command) != 0
        said = capsys.readouterr().err
        assert "was trained by a script of its own" in said and "Traceback" not in said
    again, remarks = Recording.open(RunFolder(tmp_path / "home" / "runs" / "theirs"), Tiny())
    assert again.resume(never) == remarks == []
    assert again.training.steps.done == again.position.step == 50
    assert again.meta["settings"] == {"optim.lr": "0.01"}
    again.close("")


def test_a_damaged_record_of_their_loop_is_put_together_again(tmp_path, monkeypatch):
    monkeypatch.setenv("AETUI_HOME", str(tmp_path))
    theirs = Theirs(Tiny(), store=True, start=False)
    theirs.do(p.Run, steps=12)
    theirs.settled("paused", 12)
    theirs.engine.submit(p.Stop(id=99))
    theirs.over()
    folder = RunFolder(tmp_path / "runs" / "theirs")
    folder.database.write_bytes(b"no record")
    again, remarks = Recording.open(folder, Tiny())
    assert "damaged" in remarks[0]
    again.resume(never)
    assert again.training.steps.done == 12
    again.close("")


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize(
    "part",
    ["predict", "errors", "gradients", "drain", "table", "check", "put_in_force", "capture", "finale", "about", "info"],
)
def test_a_fault_in_any_part_leaves_their_loop_as_it_would_be(part: str, store: bool, tmp_path, monkeypatch):
    monkeypatch.setenv("AETUI_HOME", str(tmp_path))
    training = Tiny()

    def fails(*_: Any) -> Any:
        raise RuntimeError("a fault of their own making")

    setattr(training, part, fails)
    theirs = Theirs(training, store=store, steps=60)
    theirs.engine.submit(p.Set(id=500, changes={"optim.lr": "0.02" if part == "put_in_force" else "0.01"}))
    theirs.over()
    assert training.done == 60 and same_weights(training, trained_alone(60))
    texts = [getattr(event, "text", "") for event in theirs.events]
    assert not [text for text in texts if text.startswith("step") and "failed" in text]
    told = [text for text in texts if "of their own making" in text]
    assert len(set(told)) == len(told)
    assert told or part not in ("predict", "drain", "info", "check", "put_in_force") + ("capture",) * store


def test_an_interrupt_in_a_pause_ends_their_loop_and_not_the_engine():
    training = Tiny()
    training.advance = None  # pyright: ignore[reportAttributeAccessIssue]
    engine = Engine("theirs", store=False, training=training)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        engine.between_steps()
    engine.submit(p.Run(id=1))
    assert engine.between_steps()
    engine.end("finished")
    assert engine.state == "finished" and not engine.between_steps()


def test_steps_that_are_not_finite_are_said_once_and_do_not_stop_their_loop():
    training = Tiny()
    training.lr = float("inf")
    theirs = Theirs(training, steps=400)
    theirs.over()
    assert training.done == 400
    said = [event for event in theirs.events if isinstance(event, p.Noted) and event.text.startswith("not finite")]
    assert len(said) == 1
    assert [event.state for event in theirs.events if isinstance(event, p.StateChanged)][-1] == "finished"


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
