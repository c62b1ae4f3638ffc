"""Standard streams that are closed or full, and disks that are: a sentence and a status, never a traceback."""

import os
import subprocess
import sys

import pytest

from aetui.cli.main import main
from aetui.runs import database as database_
from aetui.runs.folder import RunFolder
from aetui.runs.summary import summary
from aetui.runs.writer import Writer

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
def test_a_full_disk_behind_stderr_does_not_end_a_training():
    ended = shell(f"train {SMALL} --json --set loss.kind=bce --set model.output_activation=sigmoid 2> /dev/full")
    assert ended.returncode == 0 and '"steps": 3' in ended.stdout


def train(name: str) -> int:
    return main(["train", *SMALL.split(), "--name", name])


def test_a_run_that_could_not_be_stored_is_no_success(monkeypatch, capsys):
    train("lost")

    def full_disk(self: Writer, timeout: float = 60.0) -> bool:
        close(self, timeout)
        self.record_trouble = "run.db: database or disk is full"
        return False

    close = Writer.close
    monkeypatch.setattr(Writer, "close", full_disk)
    assert main(["resume", "lost", "--headless", "--steps", "6"]) == 1
    assert "could not be stored whole: run.db: database or disk is full" in capsys.readouterr().err


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
