"""A run that is opened again after something is not what it was, or that somebody else has."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from aetui import protocol as p
from aetui.runs.database import SCHEMA, Database
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.summary import summary
from aetui.spec import RunSpec, changed

SPEC = changed(
    RunSpec(),
    {"data.rows": "0:200", "model.hidden": (12,), "model.code": 3, "train.batch_size": 32, "train.device": "cpu"},
)
TWEAK = {"optim.lr": "0.004"}


def failed(driver, since: int = 0) -> p.Failed:
    return driver.wait(lambda e: isinstance(e, p.Failed), since)


OWN = """
from torch import nn
class Mine(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 4), nn.Sequential(nn.Dropout(0.2), nn.Linear(4, features))
        self.calls = 0
    def forward(self, x):
        if self.training and self.encoder.weight.requires_grad:
            self.calls += 1
        import os
        if self.training and self.calls == 20 and os.environ.get("AETUI_TEST_FAILS"):
            raise ValueError("bad luck at call 20")
        return self.decoder(self.encoder(x))
"""


def own(tmp_path: Path) -> RunSpec:
    (tmp_path / "mine.py").write_text(OWN)
    path = f"{tmp_path / 'mine.py'}:Mine"
    return changed(
        RunSpec(),
        {"data.rows": "0:200", "model.kind": "file", "model.path": path, "train.device": "cpu", "train.batch_size": 32},
    )


def test_an_exception_in_a_model_of_one_s_own_is_said_and_the_run_goes_on_before_it(
    drive, monkeypatch, tmp_path, undisturbed
):
    spec = own(tmp_path)
    driver = drive()
    driver.load(spec)
    driver.steps(5)
    monkeypatch.setenv("AETUI_TEST_FAILS", "1")
    driver.do(p.Run)
    error = failed(driver)
    assert "bad luck at call 20" in error.text
    monkeypatch.delenv("AETUI_TEST_FAILS")
    done = len(driver.run.history)
    before = len(driver.events)
    driver.do(p.Run, steps=10)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "paused" and e.step == done + 10, before)
    assert driver.trainer.weights_sha256() == undisturbed(spec, done + 10, {})


@pytest.mark.parametrize("change", ["gone", "broken", "another"])
def test_a_model_file_that_is_not_what_it_was_is_said_and_the_run_waits_for_it(drive, tmp_path, change):
    spec = own(tmp_path)
    driver = drive()
    driver.load(spec)
    driver.steps(12)
    folder = driver.folder
    sha = driver.trainer.weights_sha256()
    driver.stop()
    file = tmp_path / "mine.py"
    match change:
        case "gone":
            file.unlink()
        case "broken":
            file.write_text("class Mine(:")
        case _:
            file.write_text(OWN.replace("features, 4", "features, 6").replace("(4, features)", "(6, features)"))
    again = drive()
    answer = again.open(folder)
    if change == "another":
        assert isinstance(answer, p.Accepted)
        assert any("its file may have changed" in note for note in again.notes())
    else:
        assert isinstance(answer, p.Failed)
        assert "mine.py" in answer.text
        assert "\n" not in answer.text
    again.stop()
    file.write_text(OWN)
    last = drive()
    assert isinstance(last.open(folder), p.Accepted)
    if change != "another":
        assert last.notes() == []
        assert (last.trainer.steps, last.trainer.weights_sha256()) == (12, sha)


def test_data_that_have_changed_are_remarked_on(drive, tmp_path):
    rows = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    file = tmp_path / "rows.npy"
    np.save(file, rows)
    spec = changed(SPEC, {"data.kind": "file", "data.path": str(file)})
    driver = drive()
    driver.load(spec)
    driver.steps(6)
    folder = driver.folder
    sha = driver.trainer.weights_sha256()
    driver.stop()
    np.save(file, rows + 1)
    again = drive()
    assert isinstance(again.open(folder), p.Accepted)
    assert any("the data of this run have changed since it began" in note for note in again.notes())
    assert again.trainer.weights_sha256() == sha
    again.stop()
    file.unlink()
    gone = drive().open(folder)
    assert isinstance(gone, p.Failed)
    assert "rows.npy" in gone.text


def test_a_run_of_another_kind_of_device_goes_on_and_says_so(drive):
    driver = drive()
    driver.load(SPEC)
    driver.steps(6)
    folder, sha = driver.folder, driver.trainer.weights_sha256()
    driver.stop()
    with closing(Database(folder / "run.db")) as database:
        database.set_meta({"device": "cuda"})
        database.commit()
    again = drive()
    assert isinstance(again.open(folder), p.Accepted)
    assert any("this run began on cuda and goes on on cpu" in note for note in again.notes())
    assert again.trainer.weights_sha256() == sha


# --- who has the run ----------------------------------------------------------------------------


def test_two_engines_do_not_train_one_run(drive, undisturbed):
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    refused = drive("other").open(driver.folder)
    assert isinstance(refused, p.Failed)
    assert f"the run test is in training by process {os.getpid()}" in refused.text
    assert "it has no screen to attach; kill" in refused.text
    driver.steps(5)
    assert driver.trainer.weights_sha256() == undisturbed(SPEC, 10, {})


def test_a_run_in_training_is_neither_renamed_nor_deleted(drive):
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    folder = RunFolder(driver.folder)
    for act in (folder.delete, lambda: folder.rename("another")):
        with pytest.raises(RunError, match=f"the run test is in training by process {os.getpid()}"):
            act()
    assert folder.exists
    driver.stop()
    folder.rename("another").delete()
    assert RunFolder.all() == []


def test_a_dead_process_holds_nothing(drive):
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    folder = RunFolder(driver.folder)
    driver.stop()
    text = f"""
import time
from pathlib import Path
from aetui.runs.folder import RunFolder
lock = RunFolder(Path({str(folder.path)!r})).lock()
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert folder.holder() == other.pid
        refused = drive("other").open(folder.path)
        assert f"by process {other.pid}" in refused.text
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert folder.holder() is None
    assert isinstance(drive().open(folder.path), p.Accepted)


def test_a_run_that_never_began_leaves_nothing_behind(drive):
    driver = drive()
    driver.load(SPEC)
    folder = driver.folder
    assert driver.stop() == "nothing was trained, so nothing is kept"
    assert not folder.exists()


# --- where a run stands -------------------------------------------------------------------------


def test_a_run_at_its_goal_is_opened_there_and_can_go_beyond(drive, undisturbed):
    driver = drive()
    spec = driver.load(changed(SPEC, {"train.steps": 8}))
    driver.do(p.Run)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "finished")
    folder = driver.folder
    driver.stop()
    again = drive()
    again.open(folder)
    again.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "finished")
    again.steps(4)
    assert again.trainer.weights_sha256() == undisturbed(spec, 12, {})


def test_a_run_that_was_no_longer_finite_is_opened_so(drive):
    driver = drive()
    driver.load(changed(SPEC, {"optim.kind": "sgd", "optim.lr": 1e6}))
    driver.do(p.Run)
    stopped = driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "non-finite")
    sha, folder = driver.trainer.weights_sha256(), driver.folder
    driver.stop()
    for file in folder.glob("checkpoints/*"):
        file.unlink()
    again = drive()
    again.open(folder)
    found = again.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "non-finite")
    assert (found.step, found.reason) == (stopped.step, stopped.reason)
    assert again.trainer.weights_sha256() == sha
    assert isinstance(again.do(p.Set, changes={"optim.lr": "1e-6"}), p.Accepted)


@pytest.mark.parametrize("threads", [1, 2])
def test_another_number_of_threads_makes_no_difference(drive, monkeypatch, threads, undisturbed):
    driver = drive()
    spec = driver.load(changed(SPEC, {"train.threads": 2, "model.hidden": (200,)}))
    driver.steps(10)
    folder = driver.folder
    driver.stop()
    torch.set_num_threads(threads)
    again = drive()
    again.open(folder)
    again.steps(5)
    assert again.notes() == []
    assert again.trainer.weights_sha256() == undisturbed(spec, 15, {})


@pytest.mark.parametrize("jump", [-1e8, 1e8])
def test_a_clock_that_jumps_changes_nothing(drive, check, monkeypatch, jump, undisturbed):
    import time

    true, moved = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: true() + moved[0])
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    moved[0] = jump
    driver.do(p.Set, changes=TWEAK)
    driver.steps(5)
    driver.do(p.Undo)
    driver.do(p.Redo)
    check(driver)
    folder = driver.folder
    driver.stop()
    moved[0] = -jump
    again = drive()
    assert isinstance(again.open(folder), p.Accepted)
    assert again.trainer.weights_sha256() == undisturbed(SPEC, 10, {5: TWEAK})
    again.steps(5)
    check(again)


def test_a_record_of_a_later_version_is_left_alone(drive):
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    folder = driver.folder
    driver.stop()
    with closing(sqlite3.connect(folder / "run.db")) as sql:
        sql.execute("PRAGMA user_version=99")
    refused = drive().open(folder)
    assert isinstance(refused, p.Failed)
    assert "was written by a later version of aetui; this one leaves it alone" in refused.text
    with closing(sqlite3.connect(folder / "run.db")) as sql:
        assert sql.execute("PRAGMA user_version").fetchone() == (99,)
        assert sql.execute("SELECT MAX(start + count) FROM history").fetchone() == (5,)


def test_a_record_of_the_first_version_opens_and_its_checkpoints_get_kinds_from_their_words(drive, undisturbed):
    driver = drive()
    driver.load(SPEC)
    driver.steps(5)
    driver.do(p.Set, changes=TWEAK)
    driver.steps(5)
    driver.do(p.Undo)
    driver.flush()
    folder = RunFolder(driver.folder)
    driver.stop()
    with closing(sqlite3.connect(folder.database)) as sql:
        sql.execute("ALTER TABLE checkpoints DROP COLUMN kind")
        sql.execute("PRAGMA user_version=1")

    def kinds() -> set[str]:
        with closing(Database(folder.database, write=False)) as database:
            return {row.kind for row in database.checkpoints()}

    assert kinds() >= {"start", "before-tweak", "before-move"}
    again = drive()
    assert isinstance(again.open(folder.path), p.Accepted)
    assert again.trainer.weights_sha256() == undisturbed(SPEC, 5, {})
    again.do(p.Set, changes=TWEAK)
    again.steps(3)
    again.stop()
    assert kinds() >= {"start", "before-tweak", "before-move"}
    with closing(sqlite3.connect(folder.database)) as sql:
        assert sql.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def test_a_setting_that_is_in_force_already_takes_effect_as_none_and_no_text_names_a_key(drive):
    driver = drive()
    driver.load(changed(SPEC, {"train.steps": 20}))
    driver.do(p.Run)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "finished")
    assert driver.do(p.Set, changes={"optim.lr": "0.001"}).effect == "none"
    assert driver.do(p.Set, changes=TWEAK).effect == "done"
    assert driver.do(p.Examine).effect == "done"
    assert driver.do(p.Examine).effect == "none"
    driver.stop()
    texts = [getattr(event, "text", "") or getattr(event, "reason", "") for event in driver.events]
    assert not [text for text in texts if re.search(r"\bF\d+\b|ctrl", text)]


def test_a_run_that_is_stopped_in_training_is_listed_as_paused_and_one_that_died_as_interrupted(drive):
    driver = drive()
    driver.load(SPEC)
    driver.do(p.Run)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "running")
    driver.flush()
    folder = RunFolder(driver.folder)
    copy = RunFolder(driver.folder.with_name("died"))
    shutil.copytree(folder.path, copy.path, ignore=shutil.ignore_patterns("engine.sock"))
    driver.stop()
    assert summary(folder).state == "paused"
    assert summary(copy).state == "interrupted"
