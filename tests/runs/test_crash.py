"""The crash test, cut short: engines killed at random moments, each run compared with one that was left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "crash_test.py"


@pytest.mark.parametrize("case", ["dropout-noise-batchnorm", "own-model"])
def test_a_run_whose_engine_is_killed_again_and_again_ends_in_the_same_weights(case):
    command = [sys.executable, str(SCRIPT), "--kills", "4", "--seed", "3", "--case", case, "--share", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "4 kills, 0 runs lost, 0 weights differ", done.stdout + done.stderr
    assert done.returncode == 0
