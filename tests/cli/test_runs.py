"""The commands on stored runs: what they list, continue, take away, and how they refuse."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aetui.cli.main import main
from aetui.runs.folder import RunError, RunFolder

SMALL = (
    "--set", "data.kind=gaussian", "--set", "data.rows=60", "--set", "data.features=8",
    "--set", "model.hidden=6", "--set", "model.code=3", "--set", "train.batch_size=16",
)  # fmt: skip


def train(name: str, steps: int, *more: str) -> int:
    return main(["train", *SMALL, "--name", name, "--steps", str(steps), *more])


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    """The JSON object that a command prints, which is all it prints."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence with which a command is refused, which is all it prints."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and printed.err.startswith("aetui: ")
    return printed.err.removeprefix("aetui: ").strip()


@pytest.fixture
def held() -> Any:
    """Holds a run as an engine does."""
    locks = []

    def hold(name: str) -> None:
        locks.append(RunFolder.find(name).lock())

    yield hold
    for lock in locks:
        lock.release()


# --- list, show, rename, delete, prune ----------------------------------------------------------


def test_no_runs_are_said_to_be_none(capsys, private_home):
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == f"no runs are stored in {private_home}/runs\n"
    assert outcome(capsys, "runs") == []


def test_the_list_has_each_run_as_it_stands(capsys, private_home):
    train("first", 7)
    train("second", 9)
    assert [(run["name"], run["state"], run["step"]) for run in outcome(capsys, "runs")] == [
        ("second", "finished", 9),
        ("first", "finished", 7),
    ]
    assert main(["runs"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["name", "state", "step"] and [row.split()[0] for row in rows] == ["second", "first"]
    found = outcome(capsys, "runs", "show", "fir")
    assert found["name"] == "first" and found["goal"] == 7 and found["engine"] is None
    assert found["folder"] == f"{private_home}/runs/first" and found["size"] > 0 and found["checkpoints"] >= 1
    assert main(["runs", "show", "first"]) == 0
    shown = capsys.readouterr().out
    assert "aetui resume first" in shown and "running without a screen up to step 7" in shown


def test_a_run_that_nothing_can_read_is_listed_as_damaged(capsys):
    train("torn", 5)
    folder = RunFolder.find("torn")
    folder.database.write_bytes(b"no database" * 1000)
    for more in folder.path.glob("run.db-*"):
        more.unlink()
    assert [(run["name"], run["state"]) for run in outcome(capsys, "runs")] == [("torn", "damaged")]
    assert main(["runs", "show", "torn"]) == 0
    assert "aetui resume torn rebuilds it" in capsys.readouterr().out


def test_a_run_gets_another_name_that_is_free_and_one(capsys):
    train("old", 3)
    train("other", 3)
    assert main(["runs", "rename", "old", "new"]) == 0
    assert {run["name"] for run in outcome(capsys, "runs")} == {"new", "other"}
    assert refusal(capsys, "runs", "rename", "new", "other") == "aetui runs rename: there is a run 'other' already"
    assert "'../x' is not allowed" in refusal(capsys, "runs", "rename", "new", "../x")
    assert "there is no run 'old'; " in refusal(capsys, "runs", "rename", "old", "newer")
    assert outcome(capsys, "resume", "new", "--headless", "--steps", "5")["run"] == "new"


def test_runs_are_deleted_when_that_is_meant(capsys, monkeypatch):
    for name in ("one", "two", "three"):
        train(name, 2)
    assert "--yes deletes without asking" in refusal(capsys, "runs", "delete", "one")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(["runs", "delete", "one"]) == 1
    assert len(outcome(capsys, "runs")) == 3
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert main(["runs", "delete", "one"]) == 0
    assert main(["runs", "delete", "two", "three", "--yes"]) == 0
    assert outcome(capsys, "runs") == []


def test_a_run_in_training_is_left_alone(capsys, held):
    train("busy", 4)
    held("busy")
    for command in (["runs", "delete", "busy", "--yes"], ["runs", "rename", "busy", "idle"]):
        assert f"is in training by process {os.getpid()}" in refusal(capsys, *command)
    for command in (["resume", "busy", "--headless"], ["resume", "busy", "--json"]):
        assert f"it has no screen to attach; kill {os.getpid()} has it" in refusal(capsys, *command)
    assert main(["runs", "prune", "--days", "0", "--checkpoints", "--yes"]) == 0
    (run,) = outcome(capsys, "runs")
    assert run["step"] == 4 and run["engine"] == os.getpid()


def test_prune_deletes_leftovers_and_what_is_asked_for(capsys):
    train("kept", 6)
    main(["resume", "kept", "--headless", "--steps", "12"])
    kept = RunFolder.find("kept")
    (kept.checkpoints / "7.partial").write_bytes(b"x" * 5000)
    empty = RunFolder.create("empty")
    os.utime(empty.path, (1, 1))
    assert main(["runs", "prune", "--dry-run", "--checkpoints"]) == 0
    assert "would delete empty" in capsys.readouterr().out and empty.path.exists()
    assert main(["runs", "prune", "--checkpoints", "--yes"]) == 0
    assert not empty.path.exists() and len(list(kept.checkpoints.iterdir())) == 1
    again = outcome(capsys, "resume", "kept", "--headless", "--steps", "15")
    train("whole", 15)
    assert again["weights_sha256"] == outcome(capsys, "resume", "whole", "--headless")["weights_sha256"]
    assert main(["runs", "prune", "--days", "0", "--yes"]) == 0
    assert outcome(capsys, "runs") == []


# --- resume without a screen --------------------------------------------------------------------


def test_a_name_that_is_taken_or_no_name_is_refused_before_training(capsys):
    train("mine", 3)
    text = refusal(capsys, "train", *SMALL, "--steps", "3", "--name", "mine")
    assert text.startswith("--name: there is a run 'mine' already; aetui resume mine continues it")
    assert "'a b' is not allowed" in refusal(capsys, "train", *SMALL, "--steps", "3", "--name", "a b")


def test_a_resumed_run_has_the_weights_of_one_that_never_stopped(capsys):
    train("parts", 20)
    for steps in (33, 34, 60):
        found = outcome(capsys, "resume", "parts", "--headless", "--steps", str(steps))
        assert found["steps"] == steps
    train("whole", 60)
    whole = outcome(capsys, "resume", "whole", "--headless")
    assert found.keys() == whole.keys() and found["weights_sha256"] == whole["weights_sha256"]
    assert found["loss"] == whole["loss"] and whole["steps"] == 60


def test_a_run_at_the_end_of_its_spec_trains_on_where_more_steps_are_asked_for(capsys):
    assert main(["train", *SMALL, "--set", "train.steps=12", "--name", "short", "--quiet"]) == 0
    assert outcome(capsys, "resume", "short", "--steps", "20")["steps"] == 20
    assert outcome(capsys, "resume", "short", "--headless")["steps"] == 20


def test_the_steps_of_a_resumed_run_count_from_its_first(capsys):
    train("run", 20)
    text = refusal(capsys, "resume", "run", "--headless", "--steps", "19")
    assert text.startswith("--steps: 19 is not allowed; the run stands at step 20; it takes at least that")
    assert "0 is not allowed" in refusal(capsys, "resume", "run", "--headless", "--steps", "0")
    assert "no run 'rum'; did you mean 'run'?" in refusal(capsys, "resume", "rum", "--headless")
    assert "needs a terminal; --headless" in refusal(capsys, "resume", "run")
    assert outcome(capsys, "resume", "run", "--headless")["steps"] == 20


def test_a_damaged_checkpoint_is_skipped_with_a_remark(capsys):
    train("hurt", 20)
    main(["resume", "hurt", "--headless", "--steps", "30"])
    newest = max(RunFolder.find("hurt").checkpoints.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    capsys.readouterr()
    assert main(["resume", "hurt", "--headless", "--steps", "40", "--json"]) == 0
    printed = capsys.readouterr()
    assert f"aetui: {newest.name} is damaged: its checksum does not match; the one before it was taken" in printed.err
    train("sound", 40)
    sound = outcome(capsys, "resume", "sound", "--headless")
    assert json.loads(printed.out)["weights_sha256"] == sound["weights_sha256"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_training_that_is_ended_goes_on_bit_for_bit(capsys, private_home, number):
    """By a signal that it heeds, and by one that it can't."""
    command = [sys.executable, "-m", "aetui", "train", *SMALL, "--name", "cut", "--steps", "1000000000", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    database = Path(private_home, "runs", "cut", "run.db")
    while not (database.exists() and main(["runs", "show", "cut", "--json"]) == 0 and _step(capsys) > 200):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == ""
    (run,) = outcome(capsys, "runs")
    if number == signal.SIGKILL:
        assert run["state"] == "interrupted"
    else:
        assert process.returncode == 128 + number
        said = rf"aetui: {number.name}: the run cut is stored at step ([\d,]+); aetui resume cut --headless goes on\n"
        match = re.fullmatch(said, err)
        assert match and int(match[1].replace(",", "")) == run["step"] and run["state"] == "paused"
    steps = run["step"] + 50
    resumed = outcome(capsys, "resume", "cut", "--headless", "--steps", str(steps))
    train("whole", steps)
    assert resumed["weights_sha256"] == outcome(capsys, "resume", "whole", "--headless")["weights_sha256"]


def _step(capsys: pytest.CaptureFixture[str]) -> int:
    return json.loads(capsys.readouterr().out)["step"] or 0


# --- taking away, and engines -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("csv", ["run.csv"]),
        ("parquet", ["run.parquet"]),
        ("tensorboard", None),
        ("torch", ["run.pt"]),
        ("script", None),
    ],
)
def test_a_run_is_taken_away_in_every_form(capsys, tmp_path, monkeypatch, kind, files):
    train("run", 12)
    out = tmp_path / "deep" / "er"
    capsys.readouterr()
    assert main(["export", "run", "--to", kind, "--out", str(out)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert printed and all(path.is_relative_to(out) and path.stat().st_size > 0 for path in printed)
    if files is not None:
        assert [path.name for path in printed] == files
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run", "--to", kind]) == 0
    assert (tmp_path / printed[0].name).exists() or kind == "tensorboard"


def test_where_nothing_can_be_written_the_export_says_where(capsys, tmp_path):
    train("run", 3)
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(capsys, "export", "run", "--to", "csv", "--out", str(tmp_path / "file"))
    assert "there is no run 'none'" in refusal(capsys, "export", "none", "--to", "csv")


def test_attach_and_stop_without_an_engine_say_how_to_go_on(capsys):
    nothing = "no engine is running; aetui runs lists the stored runs"
    assert refusal(capsys, "attach") == f"aetui attach: {nothing}"
    assert refusal(capsys, "stop") == f"aetui stop: {nothing}"
    train("run", 3)
    assert "there is no run 'nowhere'" in refusal(capsys, "stop", "nowhere")
    assert "needs a terminal; aetui runs show run tells how it stands" in refusal(capsys, "attach", "run")
    assert main(["stop", "run"]) == 0
    assert capsys.readouterr().out == "run is not in training; aetui resume run goes on with it\n"


# --- what the machine refuses -------------------------------------------------------------------


def program(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, its standard streams as `streams` has them."""
    return subprocess.run([sys.executable, "-m", "aetui", *arguments], text=True, check=False, **streams)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_are_no_fault(closed, capsys):
    train("any", 3)
    redirections = " ".join(f"{number}>&-" for number in closed)
    for command, status in (("runs", 0), ("runs show any", 0), ("run digits", 2), ("runs delete any", 2)):
        line = f"exec {sys.executable} -m aetui {command} {redirections}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), (command, done.stderr)
    assert RunFolder.find("any").exists


def test_what_standard_output_does_not_take_is_one_sentence(capsys):
    train("kept", 3)
    with open("/dev/full", "w") as full:
        for arguments in (("runs",), ("presets",), ("--version",), ("resume", "kept", "--headless", "--steps", "5")):
            done = program(*arguments, stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1] == "aetui: standard output: No space left on device"
            assert "Traceback" not in done.stderr
        assert program("runs", stdout=subprocess.DEVNULL, stderr=full).returncode == 0
        assert program("train", "no-such", stdout=subprocess.DEVNULL, stderr=full).returncode == 2
    assert outcome(capsys, "runs", "show", "kept")["step"] == 5


def test_prune_says_what_would_go_and_asks(capsys, monkeypatch):
    train("one", 2)
    assert "--yes deletes without asking" in refusal_after_list(capsys, "runs", "prune", "--days", "0")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(["runs", "prune", "--days", "0"]) == 1
    assert "would delete one" in capsys.readouterr().out and RunFolder.find("one").exists
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert main(["runs", "prune", "--days", "0"]) == 0
    assert outcome(capsys, "runs") == []
    assert main(["runs", "prune"]) == 0


def refusal_after_list(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_a_run_that_the_system_does_not_let_be_read_is_not_called_damaged(capsys, monkeypatch):
    """What a full disk does to SQLite, which makes a file to read."""
    import sqlite3

    from aetui.runs.database import Database

    train("sound", 4)
    connect = Database._connect

    def refuse(self, write, alone=False):
        if not alone:
            raise sqlite3.OperationalError("disk I/O error")
        connect(self, write, alone)

    monkeypatch.setattr(Database, "_connect", refuse)
    monkeypatch.setattr(Database, "_sql", sqlite3.connect(":memory:"), raising=False)
    assert [(run["state"], run["step"]) for run in outcome(capsys, "runs")] == [("finished", 4)]
    monkeypatch.setattr(Database, "_connect", lambda self, write, alone=False: refuse(self, write))
    assert [run["state"] for run in outcome(capsys, "runs")] == ["unreadable"]
    assert main(["runs", "show", "sound"]) == 0
    shown = capsys.readouterr().out
    assert "it may be sound" in shown and "damaged" not in shown
    assert main(["runs", "prune", "--days", "0", "--yes"]) == 0 and RunFolder.find("sound").exists


def test_a_lock_is_held_where_nothing_can_be_written_into_it(monkeypatch):
    train("locked", 2)
    folder = RunFolder.find("locked")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aetui.runs.folder.os.pwrite", full)
    lock = folder.lock()
    try:
        assert folder.holder() == -1
        with pytest.raises(RunError, match="locked is in training; it has no screen to attach; it has to end first"):
            folder.lock()
    finally:
        lock.release()


# --- without the data ---------------------------------------------------------------------------


@pytest.fixture
def gone(tmp_path, capsys):
    """A run at step 6 whose data file has gone, its weights, and the file."""
    import numpy as np

    data = tmp_path / "mine.npy"
    np.save(data, np.random.default_rng(0).normal(size=(60, 8)).astype("float32"))
    sets = ("--set", "model.hidden=6", "--set", "model.code=3")
    assert main(["train", "--data", str(data), *sets, "--steps", "6", "--name", "gone"]) == 0
    assert main(["export", "gone", "--to", "torch", "--out", str(tmp_path / "before")]) == 0
    data.unlink()
    capsys.readouterr()
    return tmp_path


def weights(path: Path) -> dict[str, Any]:
    import torch

    return torch.load(path, weights_only=True)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all((one[name] == other[name]).all() for name in one)


def test_weights_and_tables_are_exported_without_the_data(gone, capsys):
    for kind in ("torch", "csv", "parquet", "tensorboard"):
        assert main(["export", "gone", "--to", kind, "--out", str(gone)]) == 0
    assert same(weights(gone / "gone.pt"), weights(gone / "before" / "gone.pt"))
    assert capsys.readouterr().err == ""


def test_weights_that_need_the_data_are_those_of_the_last_checkpoint(gone, capsys):
    folder = RunFolder.find("gone")
    newest = max(folder.checkpoints.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    newest.unlink()
    assert main(["export", "gone", "--to", "torch", "--out", str(gone)]) == 0
    said = capsys.readouterr().err
    assert "weights of step 0; those of step 6, where the run stands, need its data" in said
    assert not same(weights(gone / "gone.pt"), weights(gone / "before" / "gone.pt"))


def test_the_list_has_the_data_as_they_were_last_trained_on(gone, capsys):
    import numpy as np

    np.save(gone / "mine.npy", np.random.default_rng(1).normal(size=(90, 8)).astype("float32"))
    assert main(["resume", "gone", "--headless", "--steps", "8"]) == 0
    (run,) = outcome(capsys, "runs")
    assert "90 x 8" in run["source"]
