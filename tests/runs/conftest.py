"""Stored runs that are driven, and read back and trained again without any of the store's code."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from aetui import Trainer
from aetui import data as data_
from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.models.build import build
from aetui.spec import RunSpec, changed, dumps, loads
from aetui.training.spec_training import trainer_of

PATIENCE = 30.0
SPEC = changed(
    RunSpec(),
    {"data.rows": "0:200", "model.hidden": (12,), "model.code": 3, "train.batch_size": 32, "train.device": "cpu"},
)
_OPTIMIZERS: dict[str, Any] = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW, "Sgd": torch.optim.SGD}


# --- a run that is driven -----------------------------------------------------------------------


class Driver:
    """An engine in a thread, with what it said."""

    def __init__(self, name: str = "test", **options: Any) -> None:
        self.engine = Engine(name, **options)
        self.events: list[Any] = []
        self._arrived = threading.Condition()
        self.engine.join(self.take)
        self.thread = threading.Thread(target=self.engine.work, daemon=True)
        self.thread.start()
        self._ids = itertools.count(1)

    def take(self, event: p.Reply) -> None:
        with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    def wait(self, found: Callable[[Any], Any], since: int = 0) -> Any:
        """The first event from number `since` on that is found, once there is one."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: any(map(found, self.events[since:])), PATIENCE), self.events[since:]
            return next(filter(found, self.events[since:]))

    def do(self, kind: type[p.Command], **fields: Any) -> Any:
        """Send a command and wait for its acknowledgement."""
        command = kind(id=next(self._ids), **fields)
        count = len(self.events)
        self.engine.submit(command)  # pyright: ignore[reportArgumentType]
        return self.wait(lambda e: getattr(e, "command", None) == command.id or isinstance(e, p.Failed), count)

    def load(self, spec: RunSpec = SPEC) -> RunSpec:
        answer = self.do(p.New, spec=dumps(spec))
        assert isinstance(answer, p.Accepted), answer
        return spec

    def open(self, folder: Path) -> Any:
        return self.do(p.Open, folder=str(folder))

    def steps(self, count: int) -> None:
        """Train so many steps more."""
        before = len(self.events)
        goal = self.trainer.steps + count
        self.do(p.Run, steps=count)
        self.wait(lambda e: isinstance(e, p.StateChanged) and e.state != "running" and e.step == goal, before)

    def stop(self) -> str:
        """End the engine; its last word."""
        self.engine.submit(p.Stop(id=0))
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert isinstance(self.events[-1], p.Ended)
        return self.events[-1].text

    @property
    def run(self) -> Any:
        assert self.engine.run is not None
        return self.engine.run

    @property
    def trainer(self) -> Any:
        return trainer_of(self.run.training)

    @property
    def folder(self) -> Path:
        return self.run.recording.folder.path

    def flush(self) -> None:
        """Have all on the disk that waits for it."""
        while self.run._to_save and not self.run.recording.spoiled:
            time.sleep(0.001)
        self.run.recording.writer.wait_saved()
        assert self.run.recording.writer.flush()

    def wait_for(self, found: Callable[[], Any]) -> None:
        """Look until something is so."""
        end = time.monotonic() + PATIENCE
        while not found():
            assert time.monotonic() < end, self.events[-5:]
            time.sleep(0.005)

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, p.Noted)]


@pytest.fixture
def drive() -> Iterator[Callable[..., Driver]]:
    """Makes drivers, and ends those that are left."""
    made: list[Driver] = []

    def make(name: str = "test", **options: Any) -> Driver:
        made.append(Driver(name, **options))
        return made[-1]

    yield make
    for driver in made:
        if driver.thread.is_alive():
            driver.stop()


# --- the record, read with nothing but sqlite3 --------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a record says of the way to a place."""

    spec: str
    step: int
    tweaks: list[tuple[int, dict[str, str]]]
    """Completed steps, and the settings that changed then."""
    loss: np.ndarray
    """Of every step, NaN where the record has none."""


def told(database: Path, place: tuple[int, int, int] | None = None) -> Told:
    """What the record says of the way to `place` (branch, step, number of the last tweak), or to where it stands."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as sql:
        assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        meta = {key: json.loads(value) for key, value in sql.execute("SELECT key, value FROM meta")}
        parents = {row[0]: row[1:] for row in sql.execute("SELECT id, parent, step, seq FROM branches")}
        events = sql.execute("SELECT seq, branch, step, changes FROM events WHERE changes IS NOT NULL").fetchall()
        blocks = sql.execute("SELECT branch, start, count, data FROM history ORDER BY start").fetchall()
    branch, step, seq = place or _stands(meta, parents, events, blocks)
    loss = np.full(step, np.nan, np.float32)
    tweaks: list[tuple[int, int, dict[str, str]]] = []
    end = step
    while True:
        parent, start, parent_seq = parents[branch]
        start = start or 0
        tweaks += [(s, at, json.loads(text)) for s, of, at, text in events if of == branch and s <= seq]
        for of, first, count, data in blocks:
            if of == branch:
                for index in range(max(first, start), min(first + count, end)):
                    loss[index] = np.frombuffer(data, "<f4", 1, 4 * (index - first))[0]
        if parent is None:
            break
        branch, end, seq = parent, start, parent_seq
    return Told(meta["spec"], step, [(at, changes) for _, at, changes in sorted(tweaks, key=lambda t: t[0])], loss)


def _stands(meta: dict, parents: dict, events: list, blocks: list) -> tuple[int, int, int]:
    if meta.get("at"):
        return meta["at"]["branch"], meta["at"]["step"], meta["at"]["seq"]
    branch = meta["branch"]
    steps = [first + count for of, first, count, _ in blocks if of == branch]
    steps += [at for _, of, at, _ in events if of == branch]
    return branch, max([*steps, parents[branch][1] or 0]), max((s for s, of, _, _ in events if of == branch), default=0)


# --- training again, by a loop of its own -------------------------------------------------------


class Loop:
    """Trains an mlp under Adam, AdamW or SGD with a constant or decaying rate: PyTorch, and no trainer of aetui's."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        weights, order, noise = (int(word) for word in np.random.SeedSequence(spec.train.seed).generate_state(3))
        dataset = data_.load(spec.data)
        self.data = torch.from_numpy(np.ascontiguousarray(dataset.train))
        self.model = build(spec, dataset.features, dataset.image_shape, seed=weights).train()
        self.model.set_generator(torch.Generator().manual_seed(noise))
        self.order_source = torch.Generator().manual_seed(order)
        self.order: Tensor = torch.empty(0, dtype=torch.long)
        parameters = list(self.model.parameters())
        self.flat = torch.nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in parameters]))
        self.flat.grad = torch.zeros_like(self.flat)
        self.grads: list[Tensor] = []
        at = 0
        for parameter in parameters:
            part = slice(at, at + parameter.numel())
            shape, at = parameter.shape, part.stop
            parameter.data = self.flat.data[part].view(shape)
            parameter.grad = self.flat.grad[part].view(shape)
            self.grads.append(parameter.grad)
        self.steps = self.rate_from = 0
        self.losses: list[float] = []
        self._new_optimizer()

    def _options(self) -> dict[str, Any]:
        optim = self.spec.optim
        options: dict[str, Any] = {"weight_decay": optim.weight_decay}
        if type(optim).__name__ == "Sgd":
            return options | {"momentum": optim.momentum, "nesterov": optim.nesterov}
        return options | {"betas": (optim.beta1, optim.beta2), "eps": optim.eps, "amsgrad": optim.amsgrad}

    def _new_optimizer(self) -> None:
        kind = _OPTIMIZERS[type(self.spec.optim).__name__]
        self.optimizer = kind([self.flat], lr=self.spec.optim.lr, fused=True, **self._options())

    def change(self, changes: dict[str, str]) -> None:
        old, self.spec = self.spec, changed(self.spec, changes, text=True)
        if type(old.optim) is not type(self.spec.optim):
            self._new_optimizer()
        self.optimizer.param_groups[0].update(self._options())
        self.model.apply_live(self.spec.model)
        if type(old.schedule) is not type(self.spec.schedule):
            self.rate_from = self.steps

    def rate(self) -> float:
        schedule, passed = self.spec.schedule, self.steps - self.rate_from
        kind = type(schedule).__name__
        if kind == "Exponential":
            return self.spec.optim.lr * schedule.decay**passed
        if kind == "StepDecay":
            return self.spec.optim.lr * schedule.factor ** (passed // schedule.every)
        assert kind == "Constant"
        return self.spec.optim.lr

    def batch(self) -> Tensor:
        size = self.spec.train.batch_size
        if size == 0 or size >= len(self.data):
            self.order = self.order[:0]
            return self.data
        if not len(self.order):
            self.order = torch.randperm(len(self.data), generator=self.order_source)
        taken, self.order = self.order[:size], self.order[size:]
        return self.data[taken]

    def clip(self, norm: float) -> None:
        clip, grad = self.spec.clip, self.flat.grad
        assert grad is not None
        kind = type(clip).__name__
        if kind == "GlobalNorm" and norm > clip.threshold:
            grad.mul_(min(1.0, clip.threshold / (norm + 1e-6)))
        elif kind == "ValueClip":
            grad.clamp_(-clip.threshold, clip.threshold)
        elif kind == "PerTensor":
            for part in self.grads:
                size = float(torch.linalg.vector_norm(part))
                if size > clip.threshold:
                    part.mul_(clip.threshold / size)

    def step(self) -> None:
        assert self.flat.grad is not None
        self.flat.grad.zero_()
        batch = self.batch()
        loss = F.mse_loss(self.model(batch).output, batch)
        loss.backward()
        norm = float(torch.linalg.vector_norm(self.flat.grad))
        if np.isfinite(norm) and np.isfinite(loss.item()):
            self.clip(norm)
            self.optimizer.param_groups[0]["lr"] = self.rate()
            self.optimizer.step()
        self.steps += 1
        self.losses.append(loss.item())

    def train(self, told: Told) -> Loop:
        """Train as a record says."""
        for at, changes in told.tweaks:
            while self.steps < at:
                self.step()
            self.change(changes)
        while self.steps < told.step:
            self.step()
        return self


def agrees(driver: Driver, database: Path | None = None) -> Told:
    """Assert that a run is where its record says, with the weights and losses that the record says."""
    driver.flush()
    record = told(database or driver.folder / "run.db")
    loop = Loop(loads(record.spec)).train(record)
    assert driver.trainer.steps == record.step == len(driver.run.history)
    np.testing.assert_array_equal(record.loss, np.array(loop.losses, np.float32))
    page = driver.run.history.since(0)
    if page is not None:
        np.testing.assert_array_equal(page.loss.numpy(), record.loss)
    assert torch.equal(driver.trainer.flat.values, loop.flat)
    return record


@pytest.fixture
def check() -> Callable[..., Told]:
    return agrees


@pytest.fixture
def undisturbed() -> Callable[[RunSpec, int, dict[int, dict[str, str]]], str]:
    """The weights of a run of so many steps, with tweaks by completed steps, that nothing happened to."""

    def train(spec: RunSpec, steps: int, tweaks: dict[int, dict[str, str]]) -> str:
        trainer = Trainer(spec)
        for step in range(steps):
            if step in tweaks:
                trainer.set(tweaks[step], text=True)
            trainer.advance()
        return trainer.weights_sha256()

    return train
