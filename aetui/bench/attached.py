"""A screen on somebody else's run, in a process of its own, so that its terminal is read as fast as it is drawn.

Run as `python -m aetui.bench.attached NAME HOME`; says "ready" once it shows the run, and ends with its input.
"""

import os
import select
import subprocess
import sys
from pathlib import Path

from aetui.bench.terminal import Terminal


class Attached:
    """`aetui attach` on a pseudo-terminal, from the process whose run it shows."""

    def __init__(self, name: str, home: str) -> None:
        """Raises RuntimeError where the screen does not come up."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aetui.bench.attached", name, home],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._ready = False

    def ready(self) -> bool:
        """Whether the screen shows the run; it may be asked again and again while the run trains on."""
        assert self._process.stdout is not None
        if not self._ready and select.select([self._process.stdout], [], [], 0)[0]:
            if not self._process.stdout.readline():
                raise RuntimeError("the screen that was to be attached has ended")
            self._ready = True
        return self._ready

    def close(self) -> None:
        self._process.communicate()


def _show(name: str, home: str) -> None:
    terminal = Terminal(["attach", name], Path(home))
    try:
        terminal.wait_for("RUNNING")
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0] or os.read(0, 1):
            terminal.read(0.2)
    finally:
        terminal.close_screen()


if __name__ == "__main__":
    _show(*sys.argv[1:])
