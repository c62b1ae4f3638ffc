"""Each fault: a sentence, the run intact, and a way to go on."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from aetui import protocol as p
from aetui.runs import tensorfile, writer
from aetui.runs.database import Database
from aetui.runs.folder import RunError, RunFolder
from aetui.spec import RunSpec, changed

SPEC = changed(
    RunSpec(),
    {"data.rows": "0:200", "model.hidden": (12,), "model.code": 3, "train.batch_size": 32, "train.device": "cpu"},
)
TWEAK = {"optim.lr": "0.004"}


def failed(driver, since: int = 0) -> p.Failed:
    return driver.wait(lambda e: isinstance(e, p.Failed), since)


def state(driver) -> str:
    return driver.engine.view(p.Look()).status.state


# --- the disk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("refusing", ["record", "checkpoints", "both"])
def test_a_full_disk_leaves_the_training_alone_and_loses_nothing(drive, check, monkeypatch, refusing, undisturbed):
    monkeypatch.setattr(writer, "_RETRY", 0.05)
    monkeypatch.setattr(writer, "PERIOD", 0.05)
    monkeypatch.setattr(writer, "AGAIN", 0.05)
    full = [True]

    def refuse(*_args) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    def refusing_before(method: Callable, *before) -> Callable:
        def wrapped(*args):
            refuse()
            return method(*args)

        return wrapped

    driver = drive()
    driver.load(SPEC)
    driver.steps(10)
    driver.flush()
    if refusing != "checkpoints":
        monkeypatch.setattr(Database, "commit", refusing_before(Database.commit))
    if refusing != "record":
        monkeypatch.setattr(tensorfile, "_write_all", refusing_before(tensorfile._write_all))
    driver.steps(10)
    assert isinstance(driver.do(p.Set, changes=TWEAK), p.Accepted)
    driver.steps(10)
    note = driver.wait(lambda e: isinstance(e, p.Noted) and e.warning)
    assert "the run is not being stored: " in note.text
    assert "No space left on device" in note.text
    assert "No space left on device" in driver.engine.view(p.Look()).status.unsaved
    full[0] = False
    driver.wait(lambda e: isinstance(e, p.Noted) and e.text == "the run is stored again")
    assert driver.engine.view(p.Look()).status.unsaved == ""
    assert len(check(driver).loss) == 30
    assert driver.trainer.weights_sha256() == undisturbed(SPEC, 30, {20: TWEAK})
    folder = driver.folder
    assert "is stored at step 30" in driver.stop()
    again = drive()
    assert isinstance(again.open(folder), p.Accepted)
    assert again.notes() == []
    assert again.trainer.weights_sha256() == undisturbed(SPEC, 30, {20: TWEAK})
    assert [row.position.step for row in again.run.recording.writer.rows][-1] == 30


def test_a_disk_that_stays_full_is_the_engine_s_last_word(drive, monkeypatch, undisturbed):
    monkeypatch.setattr(writer, "_RETRY", 0.05)
    driver = drive()
    driver.load(SPEC)
    driver.steps(10)
    driver.flush()
    folder = driver.folder

    def refuse(_database) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "commit", refuse)
        driver.steps(5)
        word = driver.stop()
    assert "could not be stored whole" in word
    assert "No space left on device" in word
    assert "aetui resume test" in word
    again = drive()
    assert isinstance(again.open(folder), p.Accepted)
    assert again.trainer.steps == 10
    assert again.trainer.weights_sha256() == undisturbed(SPEC, 10, {})


def test_a_disk_full_while_a_run_is_opened_leaves_its_record_alone(drive, tmp_path):
    driver = drive()
    driver.load(SPEC)
    driver.steps(10)
    folder = driver.folder
    driver.stop()
    for name in ("run.db-wal", "run.db-shm"):
        (folder / name).unlink(missing_ok=True)
    before = (folder / "run.db").read_bytes()
    text = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from aetui.runs.folder import RunFolder, RunError
from aetui.runs.recording import Recording
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Recording.open(RunFolder(Path({str(folder)!r})))
except RunError as error:
    sys.stdout.write("sentence: " + str(error))
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or done.stdout.startswith("sentence: ")
    assert (folder / "run.db").read_bytes() == before
    assert list(folder.glob("run.db.damaged*")) == []
    again = drive()
    assert isinstance(again.open(folder), p.Accepted)
    assert again.notes() == []
    assert again.trainer.steps == 10


def test_a_place_that_can_not_be_written_is_said_and_the_run_trains_unsaved(drive, monkeypatch, tmp_path, undisturbed):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AETUI_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(RunError, match=r"runs can't be stored in .*: Not a directory; AETUI_HOME names another folder"):
        RunFolder.create()
    driver = drive()
    driver.load(SPEC)
    note = driver.wait(lambda e: isinstance(e, p.Noted))
    assert note.warning
    assert "this run is not stored: runs can't be stored in " in note.text
    driver.steps(5)
    assert "runs can't be stored" in driver.engine.view(p.Look()).status.unsaved
    answer = driver.do(p.Undo)
    assert "this run is not stored, so it can't go back" in answer.text
    assert driver.trainer.weights_sha256() == undisturbed(SPEC, 5, {})
    assert driver.stop() == "the run was not stored"


# --- errors in a step ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["before", "within"])
def test_out_of_memory_in_a_step_is_said_and_training_goes_on_from_the_step_before(
    drive, check, monkeypatch, where, undisturbed
):
    driver = drive()
    driver.load(SPEC)
    driver.steps(7)
    trainer = driver.trainer
    target, name = (trainer, "advance") if where == "before" else (trainer.optimizer, "step")
    whole = getattr(target, name)

    def once():
        if len(trainer.recorder._rows) + len(driver.run.history) == 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole()

    with monkeypatch.context() as patched:
        patched.setattr(target, name, once)
        driver.do(p.Run, steps=20)
        error = failed(driver)
        assert error.text.startswith("step 11 failed: ")
        assert "memory" in error.text
        driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "failed")
        assert state(driver) == "failed"
    assert len(driver.run.history) == 10
    before = len(driver.events)
    driver.do(p.Run, steps=10)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "paused" and e.step == 20, before)
    assert driver.trainer.weights_sha256() == undisturbed(SPEC, 20, {})
    check(driver)
    assert any("back at step 10" in getattr(e, "text", "") for e in driver.events)


@pytest.mark.parametrize("then", ["tweak", "undo", "stop", "kill"])
def test_after_a_step_that_broke_off_everything_else_works_too(drive, check, monkeypatch, then, undisturbed):
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    driver.do(p.Set, changes=TWEAK)
    driver.steps(5)
    monkeypatch.setattr(driver.trainer, "advance", lambda: 1 / 0)
    driver.do(p.Run)
    failed(driver)
    monkeypatch.undo()
    match then:
        case "tweak":
            driver.do(p.Set, changes={"optim.lr": "0.01"})
            driver.steps(5)
            wanted = undisturbed(SPEC, 15, {5: TWEAK, 10: {"optim.lr": "0.01"}})
        case "undo":
            driver.do(p.Undo)
            driver.steps(5)
            wanted = undisturbed(SPEC, 10, {})
        case _:
            folder = driver.folder
            driver.stop()
            driver = drive()
            assert isinstance(driver.open(folder), p.Accepted)
            assert driver.trainer.steps == 10
            driver.steps(5)
            wanted = undisturbed(SPEC, 15, {5: TWEAK})
    assert driver.trainer.weights_sha256() == wanted
    check(driver)


@pytest.mark.parametrize("what", ["raise ValueError('no luck')", "__import__('sys').exit(3)"])
def test_a_users_model_that_fails_in_a_step_costs_nothing(drive, check, tmp_path, what, undisturbed):
    text = (
        "import torch, pathlib\n"
        "class Own(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b, self.calls = torch.nn.Linear(64, 4), torch.nn.Linear(4, 64), 0\n"
        "    def forward(self, x):\n"
        "        self.calls += self.training\n"
        "        if self.training and pathlib.Path(__file__).with_name('bad').exists():\n"
        f"            {what}\n"
        "        return self.b(torch.dropout(torch.tanh(self.a(x)), 0.2, self.training))\n"
    )
    (tmp_path / "own.py").write_text(text)
    spec = changed(SPEC, {"model.kind": "file", "model.path": f"{tmp_path / 'own.py'}:Own"})
    driver = drive()
    driver.load(spec)
    driver.steps(10)
    (tmp_path / "bad").touch()
    driver.do(p.Run)
    assert "own.py, line 9" in failed(driver).text
    (tmp_path / "bad").unlink()
    before = len(driver.events)
    driver.do(p.Run, steps=10)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "paused" and e.step == 20, before)
    # The engine still measures, and its model draws from the generator that the other one here would share.
    trainer = driver.trainer
    driver.stop()
    assert trainer.weights_sha256() == undisturbed(spec, 20, {})
