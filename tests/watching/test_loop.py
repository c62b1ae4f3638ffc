"""Loops of many kinds under watch: what they compute stays what it was, bit for bit."""

from __future__ import annotations

import copy
import io
import logging
import math
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import aetui
from aetui import protocol as p
from aetui.runs.folder import RunFolder
from aetui.watching import begin, gradients, hooks, steps
from aetui.watching import run as run_module
from tests.watching.conftest import FEATURES, Screen, autoencoder, data, weights

mse = nn.functional.mse_loss


def epoch(model: nn.Module, optimizer: Any, log: Callable[[Any], None] = lambda loss: None, batches: int = 12) -> None:
    """With dropout, batch normalization and augmentation from the global generator."""
    rows = data()
    torch.manual_seed(1)
    for part in torch.randperm(len(rows)).split(len(rows) // batches)[:batches]:
        batch = rows[part] + 0.1 * torch.randn(len(part), FEATURES)
        optimizer.zero_grad()
        loss = mse(model(batch), batch)
        loss.backward()
        optimizer.step()
        log(loss)


def unwatched(kind: Callable[..., Any] = torch.optim.Adam, **options: Any) -> torch.Tensor:
    model = autoencoder()
    epoch(model, kind(model.parameters(), lr=1e-2, **options))
    return weights(model)


@pytest.mark.parametrize("given", [True, False])
def test_the_weights_are_the_same_bit_for_bit_watched_or_not(watched, given: bool):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer if given else None, loss="mse")
    screen = Screen(run)
    run._engine.view(p.Look(run=1, have=dict.fromkeys(p.GAUGES, 0)))
    epoch(model, optimizer, run.log)
    assert torch.equal(weights(model), unwatched())
    assert run._training.steps.done == 12
    run.close()
    assert any(isinstance(event, p.Ended) for event in screen.events)


def test_every_step_has_its_loss_whether_it_is_logged_before_or_after(watched):
    for after in (True, False):
        model = autoencoder()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        run = watched(model, optimizer=optimizer)
        wanted = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = mse(model(data()), data())
            loss.backward()
            wanted.append(loss.item())
            if not after:
                run.log(loss)
            optimizer.step()
            if after:
                run.log(loss)
        run.close()
        assert run._engine.run.history.since(0).loss.numpy().tolist() == pytest.approx(wanted)


def test_a_loop_that_logs_nothing_is_counted_and_never_stops(watched):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    epoch(model, optimizer)
    run.close()
    history = run._engine.run.history.since(0)
    assert history.end == 12 and all(map(math.isnan, history.loss.numpy()))
    assert all(norm > 0 for norm in history.grad_norm.numpy())


def test_a_nan_loss_does_not_stop_the_loop(watched):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    epoch(model, optimizer, lambda loss: run.log(math.nan))
    assert run._training.steps.done == 12


def test_accumulated_gradients_are_one_step_with_the_mean_of_what_was_logged(watched):
    model = autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    for value in (1.0, 2.0, 5.0, 6.0):
        mse(model(data()), data()).backward()
        run.log(value)
        if value in (2.0, 6.0):
            optimizer.step()
            optimizer.zero_grad()
    run.close()
    assert run._engine.run.history.since(0).loss.numpy().tolist() == [1.5, 5.5]


def test_a_closure_gives_the_loss_and_gradients_after_its_backward(watched):
    def train(model: nn.Module) -> None:
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = mse(model(data()), data())
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)

    plain, model = autoencoder(), autoencoder()
    torch.manual_seed(3)
    train(plain)
    run = watched(model)
    torch.manual_seed(3)
    train(model)
    assert torch.equal(weights(plain), weights(model))
    run.close()
    history = run._engine.run.history.since(0)
    assert history.end == 3 and (history.loss.numpy() > 0).all() and (history.grad_norm.numpy() > 0).all()


@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_s_skipped_step_is_none_and_norms_are_of_true_gradients(watched, fused: bool):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    run = watched(model, optimizer=optimizer, scaler=scaler)
    true = []
    for step in range(4):
        optimizer.zero_grad()
        loss = mse(model(data()), data()) * (math.inf if step == 1 else 1.0)
        scaler.scale(loss).backward()
        norm = torch.stack([one.grad.norm() for one in model.parameters()]).norm() / scaler.get_scale()
        if step != 1:
            true.append(norm.item())
        run.log(loss)
        scaler.step(optimizer)
        scaler.update()
    run.close()
    history = run._engine.run.history.since(0)
    assert history.grad_norm.numpy().tolist() == pytest.approx(true, rel=1e-4)
    assert torch.isfinite(torch.from_numpy(history.loss.numpy().copy())).all()


def test_two_optimizers_that_step_together_make_one_step(watched):
    model = autoencoder()
    first, second = (torch.optim.SGD(part.parameters(), lr=0.01) for part in (model[:4], model[4:]))
    run = watched(model, optimizer=[first, second])
    for _ in range(5):
        loss = mse(model(data()), data())
        loss.backward()
        run.log(loss)
        first.step()
        second.step()
        model.zero_grad()
    assert run._training.steps.done == 5


def test_copies_of_model_and_optimizer_are_unwatched_and_can_be_pickled(watched):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    twin, other = copy.deepcopy((model, optimizer))
    epoch(twin, other)
    assert run._training.steps.done == 0
    for one in (model, optimizer):
        pickle.loads(pickle.dumps(one))  # noqa: S301
        torch.save(one, io.BytesIO())


def test_a_second_watch_on_the_same_model_is_refused_and_two_models_have_two_runs(watched):
    model = autoencoder()
    run = watched(model, name="one")
    with pytest.raises(ValueError, match="watched already, by the run one"):
        aetui.watch(model, data())
    assert watched(autoencoder(), name="two").name == "two"
    run.close()
    watched(model)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": 3}, "model: int is not allowed"),
        ({"probe": None}, "probe: it takes rows"),
        ({"probe": torch.zeros(5, 7)}, "can't be measured on rows of shape"),
        ({"optimizer": "adam"}, "optimizer: str is not allowed"),
        ({"loss": "mze"}, "did you mean 'mse'"),
        ({"target": torch.zeros(3, 10)}, "target: 3 rows"),
        ({"code": "no.such"}, "no"),
    ],
)
def test_wrong_arguments_are_refused_at_once_in_one_sentence(arguments: dict[str, Any], said: str):
    given = {"model": autoencoder(), "probe": data()} | arguments
    with pytest.raises((TypeError, ValueError)) as refused:
        aetui.watch(**given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_the_environment_turns_it_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AETUI_WATCH", "0")
    model = autoencoder()
    with aetui.watch(model, data()) as run:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        epoch(model, optimizer, run.log)
        run.clip_(model.parameters(), 1.0)
        assert run.report() is None
    assert torch.equal(weights(model), unwatched())


FAULTS = [
    (gradients, "of_optimizer"), (gradients, "measured"), (steps.WatchedSteps, "add"), (steps.WatchedSteps, "log"),
    (steps.WatchedSteps, "close"), (hooks.Hooks, "_whole"), (hooks.Hooks, "_with_closure"),
    (run_module.Engine, "between_steps"), (run_module.WatchedTraining, "of"), (begin.Aside, "renew"),
    (run_module.Run, "_between"), (run_module.Run, "_start"), (run_module.Hooks, "watch"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), FAULTS, ids=[name for _, name in FAULTS])
@pytest.mark.parametrize("after", [0, 3])
def test_a_fault_anywhere_leaves_the_weights_as_without(watched, monkeypatch, owner: Any, name: str, after: int):
    model = autoencoder()
    run = watched(model)
    calls, real = 0, getattr(owner, name)

    def faulty(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise RuntimeError("injected")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, faulty)
    epoch(model, torch.optim.Adam(model.parameters(), lr=1e-2), run.log)
    monkeypatch.undo()
    assert torch.equal(weights(model), unwatched())


class Loop:
    """A loop that goes on in a thread of its own until it is told to end."""

    def __init__(self, watched: Any, **options: Any) -> None:
        self.model = autoencoder()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.5)
        self.run = watched(self.model, optimizer=self.optimizer, **options)
        self.screen = Screen(self.run)
        self.over = threading.Event()
        self.ended_by: BaseException | None = None
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.screen.ask(p.Run)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _go_on(self) -> None:
        try:
            while not self.over.is_set():
                self.optimizer.zero_grad()
                loss = mse(self.model(data()), data())
                loss.backward()
                self.optimizer.step()
                self.run.log(loss)
        except KeyboardInterrupt as error:
            self.ended_by = error


def test_it_is_paused_set_clipped_and_undone_between_two_steps(watched):
    with Loop(watched, loss="mse", code="4") as loop:
        screen = loop.screen
        screen.answer(screen.ask(p.Pause))
        screen.wait(lambda event: isinstance(event, p.StateChanged) and event.state == "paused" and event.step > 0)
        step = loop.run._training.steps.done
        before = weights(loop.model)
        tweak = screen.answer(screen.ask(p.Set, changes={"optim.lr": "0.001"}))
        assert tweak.text == "optim.lr 0.01 -> 0.001" and tweak.step == step
        screen.answer(screen.ask(p.Set, changes={"clip.kind": "global", "clip.threshold": "1e-3"}))
        refused = screen.answer(screen.ask(p.Set, changes={"optim.momentum": "2"}))
        assert isinstance(refused, p.Refused) and "optim.momentum" in refused.text
        screen.ask(p.Run, steps=5)
        screen.wait(lambda event: isinstance(event, p.StateChanged) and event.step == step + 5)
        assert loop.optimizer.param_groups[0]["lr"] == 0.001 and not torch.equal(weights(loop.model), before)
        assert loop.run._engine.view(p.Look(run=1)).status.clipped_share > 0
        for _ in range(2):
            moved = screen.answer(screen.ask(p.Undo))
            assert isinstance(moved, p.Moved)
        assert loop.optimizer.param_groups[0]["lr"] == 0.01 and loop.run._training.steps.done == step
        assert torch.equal(weights(loop.model), before)
        assert any("the data go on from where they are" in note for note in screen.notes())


def test_an_end_from_the_screen_is_an_interrupt_of_the_script(watched):
    with Loop(watched) as loop:
        loop.screen.answer(loop.screen.ask(p.Stop))
        loop._thread.join(30)
    assert isinstance(loop.ended_by, KeyboardInterrupt)


def test_an_interrupted_pause_leaves_a_loop_that_can_be_started_again(watched, monkeypatch):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    Screen(run).ask(p.Pause)

    def interrupted(self: Any, live: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module.Engine, "_rest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        epoch(model, optimizer, run.log)
    monkeypatch.undo()
    done = run._training.steps.done
    epoch(model, optimizer, run.log)
    assert run._training.steps.done == done + 12


def test_their_own_clipping_is_counted_and_can_be_steered(watched):
    plain, model = autoencoder(), autoencoder()
    made = [torch.optim.SGD(one.parameters(), lr=0.1) for one in (plain, model)]
    run = watched(model, optimizer=made[1])
    for one, optimizer, clip in (
        (plain, made[0], torch.nn.utils.clip_grad_norm_),
        (model, made[1], run.clip_),
    ):
        torch.manual_seed(5)
        for _ in range(4):
            optimizer.zero_grad()
            mse(one(data()), data()).backward()
            clip(one.parameters(), 0.01)
            optimizer.step()
    assert torch.equal(weights(plain), weights(model))
    assert run._training.settings.threshold == 0.01
    run._training.settings.put_in_force({"clip.kind": "value", "clip.threshold": "1e-5"})
    run.clip_(model.parameters(), 0.01)
    assert max(float(one.grad.abs().max()) for one in model.parameters()) == pytest.approx(1e-5)
    run.close()
    history = run._engine.run.history.since(0)
    assert (history.grad_norm.numpy() > 0.01).all()


def test_the_diagnosis_is_there_while_it_trains_and_leaves_it_alone(watched):
    plain, model = autoencoder(), autoencoder()
    run = watched(model, loss="mse")
    reports = []
    for one, log in ((plain, lambda loss: None), (model, run.log)):
        optimizer = torch.optim.Adam(one.parameters(), lr=1e-2)
        epoch(one, optimizer, log)
        if one is model:
            reports.append(run.report())
        epoch(one, optimizer, log)
    assert reports[0] is not None and reports[0].steps == 12
    assert torch.equal(weights(plain), weights(model))


def test_workers_that_fork_leave_the_run_alone(watched):
    class Rows(torch.utils.data.Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> torch.Tensor:
            return data()[index]

    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    loader = torch.utils.data.DataLoader(Rows(), 16, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        for batch in loader:
            optimizer.zero_grad()
            mse(model(batch), batch).backward()
            optimizer.step()
    assert run._training.steps.done == 8
    assert RunFolder.find(run.name).holder() is not None


def test_a_fork_that_exits_by_itself_does_not_end_the_run(watched):
    run = watched(autoencoder())
    child = os.fork()
    if child == 0:
        run.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert not run.closed and RunFolder(run._folder.path).path.exists()


def test_a_scalar_logged_now_and_then_is_no_reason_to_stop(watched):
    model = autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    run = watched(model, optimizer=optimizer)
    seen = iter(range(100))
    epoch(model, optimizer, lambda loss: run.log(loss.item()) if next(seen) % 5 == 0 else None)
    run.close()
    losses = run._engine.run.history.since(0).loss.numpy()
    assert [index for index, loss in enumerate(losses) if math.isfinite(loss)] == [0, 5, 10]


def test_a_schedule_and_momentum_come_back_with_an_undo(watched):
    model = autoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=500)
    run = watched(model, optimizer=optimizer)
    epoch(model, optimizer, lambda loss: (run.log(loss), scheduler.step()))
    stored = run._training.stored
    before, rate = stored.capture(), optimizer.param_groups[0]["lr"]
    moments = [state["exp_avg"].clone() for state in optimizer.state.values()]
    drawn = torch.rand(3)
    run._training.settings.put_in_force({"optim.lr": "0.5"})
    epoch(model, optimizer, lambda loss: (run.log(loss), scheduler.step()))
    stored.restore(before)
    assert optimizer.param_groups[0]["lr"] == rate and scheduler.last_epoch == 12
    assert optimizer.param_groups[0]["max_lr"] == 1e-2
    assert all(torch.equal(a, b["exp_avg"]) for a, b in zip(moments, optimizer.state.values(), strict=True))
    assert torch.equal(torch.rand(3), drawn) and run._training.steps.done == 12


def test_logging_is_left_as_it_was_once_nothing_is_watched(watched):
    logger = logging.getLogger("aetui")
    mine = logging.NullHandler()
    logger.addHandler(mine)
    try:
        before = list(logger.handlers), logger.propagate, logger.level
        runs = []
        for _ in range(2):
            model = autoencoder()
            runs.append(watched(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))
        assert mine not in logger.handlers and not logger.propagate
        for run in runs:
            run.close()
        assert (list(logger.handlers), logger.propagate, logger.level) == before
    finally:
        logger.removeHandler(mine)
