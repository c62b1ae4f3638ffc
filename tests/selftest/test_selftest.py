"""`aetui selftest` on the CPU, and that its checks notice what they are there for."""

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from aetui.cli.main import run_command
from aetui.selftest import exact, faults, memory, nonfinite, running, tweaks
from aetui.selftest.kinds import KINDS
from aetui.selftest.place import SHORT, Place, Result
from aetui.selftest.running import selftest
from aetui.selftest.waits import Waited, guarded
from aetui.spec.fields import variants
from aetui.training import trainer as trainer_module
from aetui.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(CPU, SHORT, tmp_path)


def failed(results: Iterator[Result]) -> list[str]:
    return [result.name for result in results if result.state == "FAILED"]


def test_all_that_can_be_shown_on_a_cpu_holds_there():
    results = selftest("cpu", SHORT)
    assert [result for result in results if result.state == "FAILED"] == []
    assert len(results) > 10
    assert all("\n" not in result.figures and result.figures for result in results)


def test_every_kind_of_everything_is_among_those_tried():
    wanted = {
        f"{section} {kind}" for section in ("loss", "optim", "schedule", "clip", "model") for kind in variants(section)
    }
    assert set(KINDS) == wanted


# --- a check notices what it is there for ---


@pytest.mark.parametrize(
    "read",
    [
        lambda values: float(values.sum()), lambda values: values.sum().item(), lambda values: values.cpu(),
        lambda values: values.numpy(), lambda values: bool((values > 0).any()), lambda values: values.nonzero(),
        lambda values: values[values > 0], lambda values: values.tolist(),
    ],
)  # fmt: skip
def test_a_reading_within_a_step_is_noticed(place: Place, read: Callable[[torch.Tensor], object]):
    trainer = place.trainer(on_host=False)
    with pytest.raises(Waited), guarded(trainer):
        read(trainer.flat.values.detach())


def test_an_update_by_a_step_that_is_not_finite_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch):
    def update(optimizer, rates, clip, total, norm):
        optimizer.step()
        return ~total.isfinite(), clip(norm)

    monkeypatch.setattr(trainer_module, "update_on_device", update)
    assert failed(nonfinite.check(place)) == ["a step that is not finite changes no weight"]


def test_another_training_at_each_time_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch):
    forward, count = Trainer.advance, iter(range(10**6))

    def advance(trainer: Trainer) -> bool:
        with torch.no_grad():
            trainer.flat.values[0] += 1e-6 * next(count)
        return forward(trainer)

    monkeypatch.setattr(Trainer, "advance", advance)
    found = failed(exact.check(place))
    assert found == ["same spec twice", "watched and unwatched", "paused, tweaked, undone, resumed"]
    assert set(failed(tweaks.check(place))) == {"tweaks take effect at the step named"}


def test_a_tweak_that_comes_a_step_late_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch):
    advance, put = Trainer.advance, Trainer.put_in_force
    waiting: dict[int, object] = {}

    def late(trainer: Trainer, new) -> None:
        # Only in the engine's thread, whose acknowledgement is then wrong by one step.
        import threading

        if threading.current_thread() is threading.main_thread():
            put(trainer, new)
        else:
            trainer.spec = new
            waiting[id(trainer)] = new

    def step(trainer: Trainer) -> bool:
        finite = advance(trainer)
        new = waiting.pop(id(trainer), None)
        if new is not None:
            put(trainer, new)
        return finite

    monkeypatch.setattr(Trainer, "put_in_force", late)
    monkeypatch.setattr(Trainer, "advance", step)
    assert set(failed(tweaks.check(place))) == {"tweaks take effect at the step named"}


def test_memory_that_is_kept_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch):
    advance, kept = Trainer.advance, []

    def hoarding(trainer: Trainer) -> bool:
        kept.append(torch.zeros(1024))
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", hoarding)
    assert failed(memory.check(place)) == ["memory stays"]


def test_a_run_that_is_lost_to_a_full_device_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch):
    def half_done(trainer: Trainer, fail: Callable[[], object]) -> None:
        trainer.flat.values.data.add_(0.1)
        faults_break(trainer, fail)

    faults_break = faults.break_step
    monkeypatch.setattr(faults, "break_step", half_done)
    monkeypatch.setattr("aetui.training.checkpoint.restore", lambda *_: None)
    monkeypatch.setattr("aetui.training.spec_training.restore", lambda *_: None)
    assert "out of memory in a step" in failed(faults.check(place))


# --- what the command prints ---


def a_good(place: Place) -> Iterator[Result]:
    yield Result.of("good", True, "1 of 1")


def a_bad(place: Place) -> Iterator[Result]:
    yield Result.of("bad", False, "0 of 1")


def one_that_breaks(place: Place) -> Iterator[Result]:
    yield Result("begun", "measured", "1")
    raise RuntimeError("CUDA error: \n no device")


@pytest.mark.parametrize(("checks", "status"), [((a_good,), 0), ((a_good, a_bad), 1), ((one_that_breaks,), 1)])
def test_the_status_says_whether_something_failed(monkeypatch: pytest.MonkeyPatch, capsys, checks, status: int):
    monkeypatch.setattr(running, "CHECKS", checks)
    assert run_command(["selftest", "--device", "cpu"]) == status
    text = capsys.readouterr().out
    assert ("FAILED" in text) == bool(status)
    assert run_command(["selftest", "--device", "cpu", "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert found["failed"] == status and found["torch"] == torch.__version__ and found["device"] == "cpu"
    for shown in (text, json.dumps(found)):
        assert str(Path.home()) not in shown and getpass.getuser() not in shown.split()
        assert "\\n" not in shown and "Traceback" not in shown


@pytest.mark.parametrize("missing", [f"cuda:{torch.cuda.device_count()}", "abacus"])
def test_a_device_that_is_not_there_is_one_sentence(capsys, missing: str):
    assert run_command(["selftest", "--device", missing]) == 2
    assert "train.device" in capsys.readouterr().err
