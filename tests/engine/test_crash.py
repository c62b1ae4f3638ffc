"""A process that ends without a word leaves its stack, and the screen says where it was."""

import subprocess
import sys
from pathlib import Path

import pytest

from aetui import protocol as p
from aetui.engine import crash
from aetui.engine.links import ProcessLink
from aetui.runs.folder import RunFolder
from aetui.spec import RunSpec, changed, dumps

MODEL = """
import ctypes
import os
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 4), nn.Linear(4, features)
        self.steps = 0

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            if self.steps == 20:
                {end}  # here
        return self.decoder(torch.relu(self.encoder(x)))
"""
LINE = 1 + next(i for i, line in enumerate(MODEL.splitlines()) if line.endswith("# here"))
ENDS = {
    "os._exit(3)": "with status 3 by os._exit",
    "ctypes.string_at(0)": "by signal SIGSEGV",
    "os.abort()": "by signal SIGABRT",
}


def spec_of(folder: Path, end: str) -> RunSpec:
    (folder / "mine.py").write_text(MODEL.format(end=end))
    return changed(
        RunSpec(),
        {"data.rows": "0:100", "model.kind": "file", "model.path": f"{folder}/mine.py:Net", "train.steps": 40},
    )


@pytest.mark.parametrize(("end", "how"), ENDS.items())
def test_an_engine_that_its_model_ends_is_said_to_have_been_in_the_line_that_did(tmp_path: Path, end: str, how: str):
    import threading

    folder = RunFolder.create("test")
    # Of an engine before this one.
    folder.log.write_text(
        "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n"
        '  File "/elsewhere/old.py", line 1 in forward\n'
    )
    lost: list[str] = []
    over = threading.Event()
    link = ProcessLink(folder.name, str(folder.log), folder.path)
    link.connect(lambda reply: None, lambda text: (lost.append(text), over.set()))
    link.send(p.New(id=1, spec=dumps(spec_of(tmp_path, end)), start=True))
    assert over.wait(60)
    assert lost[0].startswith(f"the engine ended {how} in mine.py, line {LINE}; the run is saved")
    assert f'mine.py", line {LINE} in forward' in folder.log.read_text()
    link.close()


@pytest.mark.parametrize("end", ["os._exit(3)", "ctypes.string_at(0)"])
def test_a_run_without_a_screen_leaves_its_stack_too(tmp_path: Path, private_home: str, end: str):
    spec_of(tmp_path, end)
    command = [
        *(sys.executable, "-m", "aetui", "train", "--model", f"{tmp_path}/mine.py:Net", "--set", "data.rows=0:100"),
        *("--steps", "40", "--name", "lost"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (3 if "exit" in end else -11)
    log = Path(private_home, "runs", "lost", "log.txt").read_text()
    assert f'mine.py", line {LINE} in forward' in log
    if "exit" in end:
        assert f"os._exit(3) was called in mine.py, line {LINE}, and ends the program" in done.stderr


def test_a_stack_is_read_for_the_line_that_is_the_users_own(tmp_path: Path):
    log = tmp_path / "log.txt"
    library = Path(subprocess.__file__)
    before = f'Thread 0x1 (most recent call first):\n  File "{tmp_path}/mine.py", line 7 in forward\n\n'
    current = f'Current thread 0x2 (most recent call first):\n  File "{library}", line 9 in run\n'
    log.write_text(f"2026 INFO aetui: event\n{crash._FATAL}Segmentation fault\n\n{before}{current}")
    assert crash.last_place(str(log), 0) == " in mine.py, line 7"
    log.write_text(f"{crash._FATAL}Aborted\n\n{current}")
    assert crash.last_place(str(log), 0) == " in subprocess.py, line 9"
    assert crash.last_place(str(log), log.stat().st_size) == ""
    assert crash.last_place(str(tmp_path / "none.txt"), 0) == ""
