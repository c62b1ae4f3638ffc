"""The real program on a pseudo-terminal, and what a user would see on it."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

KEYS = {
    "F1": b"\x1bOP", "F2": b"\x1bOQ", "F3": b"\x1bOR", "F5": b"\x1b[15~", "F6": b"\x1b[17~", "F7": b"\x1b[18~",
    "F8": b"\x1b[19~", "F9": b"\x1b[20~",
    "ctrl+q": b"\x11", "ctrl+c": b"\x03", "ctrl+d": b"\x04", "ctrl+u": b"\x15", "ctrl+z": b"\x1a", "ctrl+y": b"\x19",
    "enter": b"\r", "backspace": b"\x7f", "down": b"\x1b[B", "tab": b"\t", "escape": b"\x1b",
}  # fmt: skip
PATIENCE = 60.0
"""Seconds until a wait is given up; a busy machine loads PyTorch slowly."""
_QUIET = 0.03
"""Seconds without output that end a frame."""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def engines(home: str) -> list[int]:
    """The engines of the runs under a private home, with a screen or without."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            command = (environ.parent / "cmdline").read_bytes()
            if f"AETUI_HOME={home}\0".encode() in environ.read_bytes() and b"aetui.engine" in command:
                found.append(int(environ.parent.name))
    return [pid for pid in found if alive(pid)]


_PRIVATE = re.compile(rb"\x1b\[[<>=][0-9;]*[A-Za-z]")
"""Sequences of newer terminals that pyte would show as text."""
_UNFINISHED = re.compile(rb"\x1b(\[[0-?]*[ -/]*)?\Z")


class _Screen(pyte.Screen):
    """A terminal that answers questions."""

    def __init__(self, columns: int, rows: int, reply: Callable[[bytes], object]) -> None:
        super().__init__(columns, rows)
        self._reply = reply

    def write_process_input(self, data: str) -> None:
        self._reply(data.encode())


class Program:
    """A command on a terminal of its own, as its controlling terminal."""

    def __init__(self, command: list[str], columns: int, rows: int, environment: dict[str, str] | None = None) -> None:
        """environment: variables besides those of the test's own process."""
        self.master, self.slave = pty.openpty()
        self.answer: Callable[[bytes], object] = self.send
        """What is done with the terminal's answers to the program."""
        self._screen = _Screen(columns, rows, lambda data: self.answer(data))
        self._stream = pyte.ByteStream(self._screen)
        self._rest = b""
        self.raw = bytearray()
        self._set_size(columns, rows)
        self.attributes = termios.tcgetattr(self.slave)
        # A test runner's own COLUMNS and LINES would hide the terminal's size.
        extra = environment
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command,
            env=environment | {"TERM": "xterm-256color"} | (extra or {}),
            preexec_fn=lambda: os.login_tty(self.slave),
            pass_fds=[self.slave],
        )

    # --- looking ----------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """The screen, row by row."""
        self._take(0.0)
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def step(self) -> int:
        """The step that the status shows; -1 where it shows none."""
        found = re.search(r"step ([\d,]+)", "\n".join(self.lines[-6:-1]))
        return int(found[1].replace(",", "")) if found else -1

    @property
    def rate(self) -> float:
        """The learning rate that the status shows; NaN where it shows none."""
        found = re.search(r"\blr ([\d.,e+-]+)", "\n".join(self.lines[-6:-1]))
        return float(found[1].replace(",", "")) if found else float("nan")

    def wait(self, condition: Callable[[], bool], what: str = "") -> None:
        """Read what is drawn until the condition holds, or fail with the screen."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"{what or condition} never came; the screen shows\n{self.text}")
            self._take(0.1)

    def wait_for(self, *texts: str) -> None:
        """Wait until all the texts are on the screen."""
        self.wait(lambda: all(text in self.text for text in texts), " and ".join(map(repr, texts)))

    def step_at_rest(self) -> int:
        """The step that the run stands at, once it is paused and all of the status is drawn."""
        seen = [-2]

        def settled() -> bool:
            self._take(0.3)
            seen.append(self.step if "PAUSED" in self.text else -2)
            return seen[-1] == seen[-2] >= 0

        self.wait(settled, "a pause")
        return seen[-1]

    def tweaked(self, text: str) -> int:
        """The step at which the tweak that the notice tells of takes effect, once it does."""
        pattern = re.compile(rf"{re.escape(text)}.*, takes effect at step ([\d,]+)\s*$", re.MULTILINE)
        found: list[str] = []

        def settled() -> bool:
            # Part of a number may have been drawn: believe what two looks agree on.
            before = found[-1:]
            found[:] = pattern.findall(self.text)
            return bool(found) and found == before

        self.wait(settled, f"{text!r} and its step")
        return int(found[0].replace(",", ""))

    def _take(self, timeout: float) -> None:
        """Read until the terminal is quiet: what is drawn together is seen together."""
        while self.master >= 0 and select.select([self.master], [], [], timeout)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.raw += data
            self._feed(data)
            timeout = _QUIET

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        cut = _UNFINISHED.search(data)
        self._rest = data[cut.start() :] if cut else b""
        self._stream.feed(_PRIVATE.sub(b"", data[: cut.start()] if cut else data))

    # --- acting -----------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes as the terminal does."""
        if self.master >= 0:
            os.write(self.master, data)

    def press(self, *keys: str) -> None:
        """Type keys by name, or characters as they are."""
        self.send(b"".join(KEYS.get(key, key.encode()) for key in keys))

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; the kernel tells the program, where it is another."""
        if (columns, rows) == (self._screen.columns, self._screen.lines):
            return
        self._screen.resize(rows, columns)
        self._screen.reset()
        self._set_size(columns, rows)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal, as a dropped link does."""
        os.close(self.master)
        self.master = -1

    def children(self) -> list[int]:
        """Processes that the program has started."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                found.append(int(stat.parent.name))
        return found

    def kill(self) -> None:
        """End the program, which gets no chance to do anything about it."""
        self.process.kill()
        self.process.wait()

    # --- ending -----------------------------------------------------------------------------

    def wait_gone(self, *processes: int) -> None:
        """Wait until processes have ended."""
        self.wait(lambda: not any(map(alive, processes)), f"the end of {processes}")

    def wait_end(self) -> int:
        """The exit status, once the program has ended by itself."""
        self.wait(lambda: self.process.poll() is not None, "the end of the program")
        self._take(0.0)
        return self.process.returncode

    def ended(self, status: int = 0) -> str:
        """What the user reads once the program has ended by itself with `status`, the terminal as it was."""
        assert self.wait_end() == status
        self.assert_restored()
        return self.said

    @property
    def said(self) -> str:
        """The sentences of the aftermath in one line; how long the engine took to end is none of them."""
        text = self.aftermath.replace("\n", "")
        return re.sub(r"aetui: waiting for the engine[^;]*; Ctrl\+C leaves it to that", "", text)

    @property
    def aftermath(self) -> str:
        """What the user reads once the alternate screen is left."""
        _, left, after = bytes(self.raw).rpartition(b"\x1b[?1049l")
        assert left or b"\x1b[?1049h" not in self.raw, "the alternate screen was not left"
        screen = pyte.Screen(200, 50)
        pyte.ByteStream(screen).feed(_PRIVATE.sub(b"", after))
        return "\n".join(line.rstrip() for line in screen.display).strip()

    def assert_restored(self) -> None:
        """The terminal is as it was: its mode, its main screen, its cursor."""
        assert termios.tcgetattr(self.slave) == self.attributes
        assert self.raw.rfind(b"\x1b[?1049l") > self.raw.rfind(b"\x1b[?1049h")
        assert self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        for mouse in (b"1000", b"1003", b"1006"):
            assert self.raw.rfind(b"\x1b[?" + mouse + b"l") >= self.raw.rfind(b"\x1b[?" + mouse + b"h")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)


class Starter:
    """Starts `aetui` with arguments on terminals of the given size."""

    def __init__(self, home: str, environment: dict[str, str] | None = None) -> None:
        """environment: variables of every program."""
        self.home = home
        self.programs: list[Program] = []
        self._environment = environment or {}

    def __call__(
        self,
        *arguments: str,
        columns: int = 120,
        rows: int = 40,
        script: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Program:
        program = [str(script)] if script else ["-m", "aetui"]
        extra = self._environment | (environment or {})
        self.programs.append(Program([sys.executable, *program, *arguments], columns, rows, extra))
        return self.programs[-1]

    @property
    def engines(self) -> list[int]:
        """The engines of the runs under the test's home, with a screen or without."""
        return engines(self.home)

    def close(self) -> None:
        """End what has not ended by itself, engines in the background too."""
        for program in self.programs:
            program.close()
        for pid in self.engines:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(private_home: str) -> Iterator[Starter]:
    """Starts `aetui`; what has not ended by itself is ended, engines in the background too."""
    starter = Starter(private_home)
    yield starter
    starter.close()


MODEL = """
import time
from pathlib import Path
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
            while self.steps > int(Path({allowed!r}).read_text()):
                time.sleep(0.01)  # here
        return self.decoder(torch.relu(self.encoder(x)))
"""


class Gated:
    """A user's own model that computes as many steps as it may; the next one takes until it may be."""

    line = 1 + next(i for i, line in enumerate(MODEL.splitlines()) if line.endswith("# here"))
    """Where it waits."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._allowed = folder / "allowed"
        self.allow(steps)
        file = folder / "mine.py"
        file.write_text(MODEL.format(allowed=str(self._allowed)))
        self.arguments = ("--model", f"{file}:Net", "--set", "data.rows=0:300")

    def allow(self, steps: int) -> None:
        """Let it compute so many steps in all."""
        written = self._allowed.with_suffix(".new")
        written.write_text(str(steps))
        written.replace(self._allowed)


class Standing:
    """A run of the digits without an end, which one screen after the other attaches to; it is paused in between."""

    def __init__(self, home: str) -> None:
        self._start = Starter(home, {"AETUI_HOME": home, "AETUI_CONFIG": f"{home}/config"})
        opening = self._start(
            "run", "digits", "--set", "train.steps=0", "--set", "train.epochs=0", "--name", "standing"
        )
        opening.wait_for("PAUSED", "PCA-10", "F5 run")
        self.opening = bytes(opening.raw)
        """What a new screen is sent until it shows a run."""
        opening.press("d")
        opening.wait_end()

    def screen(self, answer: Callable[[Program, bytes], object] | None = None, **options: Any) -> Program:
        """A screen on the paused run.

        Args:
            answer: what is done with the terminal's answers to the program.
        """
        program = self._start("attach", "standing", **options)
        if answer is not None:
            program.answer = lambda data: answer(program, data)
        program.wait(lambda: re.search("PAUSED|RUNNING", program.text) is not None, "the run")
        program.wait(lambda: re.search("F5 (run|pause)", program.text) is not None, "the keys")
        if "RUNNING" in program.text:
            program.press("F5")
            program.wait_for("PAUSED", "F5 run")
        return program

    def close(self) -> None:
        self._start.close()


def leave(program: Program) -> None:
    """Pause the run and leave it to the next screen, the terminal as it was."""
    if "RUNNING" in program.text:
        program.press("F5")
        program.wait_for("PAUSED")
    program.press("d")
    assert program.wait_end() == 0
    program.assert_restored()


@pytest.fixture(scope="session")
def standing() -> Iterator[Standing]:
    """A run that screens attach to: they show what a screen does without the start of an engine each."""
    home = tempfile.mkdtemp(prefix="aetui-test-")
    run = Standing(home)
    yield run
    run.close()
    shutil.rmtree(home, ignore_errors=True)
