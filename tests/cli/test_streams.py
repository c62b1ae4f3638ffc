"""Standard streams that are closed or full, and disks that are: a sentence and a status, never a traceback."""

import os
import sqlite3
import subprocess
import sys

import pytest

from aetui.cli.main import main
from aetui.runs import database as database_
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.keeper import Keeper
from aetui.runs.summary import summary

SMALL = "--set data.kind=gaussian --set data.rows=60 --set data.features=8 --set model.code=3 --steps 3"
full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """A command line of `aetui` with the shell's redirections."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m aetui {command}"], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "status"), [("", 2), ("runs", 0), ("presets", 0), (f"train {SMALL}", 0), ("attach", 2)]
)
def test_a_closed_stream_is_no_error_of_the_program(command, status, closed):
    ended = shell(f"{command} {closed}")
    assert ended.returncode == status and "Traceback" not in ended.stdout + ended.stderr


def test_no_file_of_a_run_takes_the_number_of_a_closed_stream(private_home):
    ended = shell(f"train {SMALL} --name quiet >&- 2>&-")
    assert ended.returncode == 0
    assert (summary(RunFolder.find("quiet")).state, summary(RunFolder.find("quiet")).step) == ("finished", 3)


@full
@pytest.mark.parametrize("command", ["presets", "runs", "spec", f"train {SMALL}"])
def test_output_that_nothing_takes_is_a_sentence(command):
    ended = shell(f"{command} > /dev/full")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "what there is to print can't be written: No space left on device" in ended.stderr


@full
def test_a_full_disk_behind_stderr_does_not_end_a_training():
    ended = shell(f"train {SMALL} --json --set loss.kind=bce --set model.output_activation=sigmoid 2> /dev/full")
    assert ended.returncode == 0 and '"steps": 3' in ended.stdout


def train(name: str) -> int:
    return main(["train", *SMALL.split(), "--name", name])


def test_a_run_that_could_not_be_stored_is_no_success(monkeypatch, capsys):
    train("lost")

    def full_disk(self: Keeper, timeout: float = 60.0) -> bool:
        close(self, timeout)
        self.record_trouble = "run.db: database or disk is full"
        return False

    close = Keeper.close
    monkeypatch.setattr(Keeper, "close", full_disk)
    assert main(["resume", "lost", "--headless", "--steps", "6"]) == 1
    assert "could not be stored whole: run.db: database or disk is full" in capsys.readouterr().err


def test_a_lock_that_a_full_disk_refuses_is_a_sentence(monkeypatch):
    train("tight")
    folder = RunFolder.find("tight")

    def refuse(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(RunError, match=r"tight can't be used: .*: No space left on device"):
        folder.lock()
    monkeypatch.undo()
    folder.lock().release()


def test_a_sound_run_is_not_damaged_where_its_index_has_no_room(monkeypatch):
    """SQLite makes an index beside a record that it reads, but for one that it is told is not written."""
    train("sound")
    real = sqlite3.connect

    class NoRoom(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:  # type: ignore[override]
            raise sqlite3.OperationalError("unable to open database file")

    def connect(file: str, **options: object) -> sqlite3.Connection:
        return real(file, **options, **({} if "immutable" in file else {"factory": NoRoom}))  # type: ignore[arg-type]

    monkeypatch.setattr(database_.sqlite3, "connect", connect)
    assert (summary(RunFolder.find("sound")).state, summary(RunFolder.find("sound")).step) == ("finished", 3)


def test_a_run_that_died_before_its_first_commit_was_interrupted():
    train("young")
    folder = RunFolder.find("young")
    record = database_.Database(folder.database)
    record._sql.execute("DELETE FROM meta WHERE key = 'state'")
    record.commit()
    record.close()
    assert summary(folder).state == "interrupted"
    lock = folder.lock()
    assert summary(folder).state == "running"
    lock.release()
