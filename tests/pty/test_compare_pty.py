"""`aetui compare` in a real terminal: it follows what others train, and leaves the terminal as it was."""

import sys

import pytest

from aetui.cli.main import main
from tests.pty.conftest import Starter

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SMALL = (
    "--set", "data.kind=gaussian", "--set", "data.rows=60", "--set", "data.features=8", "--set", "model.hidden=6",
    "--set", "model.code=3", "--set", "train.batch_size=16",
)  # fmt: skip


def test_runs_are_compared_and_followed_by_keys_alone(start: Starter, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("otter", "0.01"), ("heron", "0.0001")):
        assert main(["train", *SMALL, "--set", f"optim.lr={rate}", "--steps", "120", "--name", name, "--quiet"]) == 0
    capsys.readouterr()
    screen = start("compare", "otter", "heron", columns=80, rows=24)
    screen.wait_for("A  otter", "B  heron", "2 runs  each at its last step", "q quit")
    screen.press("down", "v")
    screen.wait_for("›B  heron", "Explained variance")
    screen.press("/", *"lr>0.001", "enter")
    screen.wait_for("1 shown by the filter")
    assert main(["resume", "otter", "--headless", "--steps", "150", "--quiet"]) == 0
    screen.wait_for("150  ")
    screen.press("q")
    assert screen.ended() == ""
    assert start.engines == []
