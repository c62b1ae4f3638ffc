"""`aetui watch`: somebody's own script, run as it is, with the screen on it."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aetui import protocol as p
from aetui.cli.progress import say
from aetui.cli.screen import AnyLink, Screen, new_folder
from aetui.engine import sockets
from aetui.engine.links import AttachLink
from aetui.engine.sockets import SocketError
from aetui.openmp import unbound
from aetui.runs.folder import RunFolder
from aetui.spec import Problem, RunSpec, SpecError
from aetui.watching.script import command

_VALUED = (
    "--name", "--model-is", "--probe-rows", "--reconstruct", "--target", "--loss", "--theme", "-m", "--module",
)  # fmt: skip
"""Options of `aetui watch` that take a value."""
_GLANCE = 0.05
_SILENCE = 2.0
"""Seconds without a word from the script until it is said what is waited for."""
_AFTER_ANSWER = 0.5
"""Seconds from a line that was typed until the screen comes back."""
_LAST_LINES = 12
_MOST = 1 << 16
"""Bytes of the output that are looked through for its end."""


def parted(arguments: Sequence[str]) -> list[str]:
    """The arguments of `aetui watch` with those of the script behind `--`, so that they stay the script's."""
    ours: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*ours, "--", *rest]
        if not word.startswith("-") or word == "-":
            return [*ours, "--", word, *rest]
        if word == "-m" or word == "--module":
            return [*ours, "--module", *rest[:1], "--", *rest[1:]]
        ours.append(word)
        if word in _VALUED and rest:
            ours.append(rest.pop(0))
    return ours


def watch_script(
    arguments: Sequence[str], *, module: str | None, headless: bool, theme: str | None, told: dict[str, Any]
) -> int:
    """Run a script, with the screen on it where there is a terminal; its exit status.

    Raises:
        SpecError: there is no such script, or the name is taken.
    """
    given = list(arguments)
    if module is None:
        if not given:
            raise SpecError([Problem("aetui watch", "takes a script, or -m package.module, and its arguments")])
        file = given.pop(0)
        if not Path(file).is_file():
            raise SpecError([Problem("aetui watch", f"{file}: there is no such file")])
        told["script"], shown = file, Path(file).name
    else:
        told["module"], shown = module, module
    for option in ("reconstruct", "target"):
        _check_function(f"--{option}", told[option])
    if (
        headless
        or not _has_terminal()
        or os.environ.get("AETUI_WATCH", "1").strip().lower() in ("0", "false", "no", "off")
    ):
        # It finds PyTorch as it comes.
        unbound(os.environ)
        words = command(told, given)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(words[0], words)
    folder, problems = new_folder(told["name"])
    for text in problems:
        say(text)
    script = _Script(folder, told, given, shown)
    return script.show(theme)


def _check_function(option: str, text: str) -> None:
    file, _, name = text.rpartition(":")
    if text and (not file.endswith(".py") or not name.isidentifier()):
        raise SpecError([Problem(option, f"{text!r} is not allowed; it takes file.py:name, such as mine.py:rebuilt")])
    if text and not Path(file).is_file():
        raise SpecError([Problem(option, f"{file}: there is no such file")])


def _has_terminal() -> bool:
    """Whether the screen can be shown and nobody collects what the script prints."""
    from aetui.tui.characters import DUMB

    return all(os.isatty(number) for number in (0, 1, 2)) and os.environ.get("TERM", "") not in DUMB


class _Script:
    """A script in a process and session of its own; what it prints goes to a file in the run's folder.

    It outlives this process where the user leaves the screen. What it reads comes from the terminal until the screen
    opens, and from here afterwards.
    """

    def __init__(self, folder: RunFolder, told: dict[str, Any], arguments: list[str], shown: str) -> None:
        self._folder, self._shown = folder, shown
        file = folder.path / "output.txt"
        self._control, theirs = os.pipe()
        typed, self._typed = os.pipe()
        told |= {"folder": str(folder.path), "output": str(file), "control": theirs, "typed": typed}
        written = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        self._output = os.open(file, os.O_RDONLY)
        self.file = file
        self._process = subprocess.Popen(
            command(told, arguments), stdout=written, stderr=written, pass_fds=(theirs, typed), start_new_session=True
        )
        for number in (written, theirs, typed):
            os.close(number)
        self._heard = b""
        self._run = False
        self.asks = False
        """Whether it waits for a line from the terminal."""
        self._tries = 20
        self._whole = True
        """Whether what was shown last ended a line."""

    def show(self, theme: str | None) -> int:
        """Its output until a run is known, then the screen, then what remains of the output; the exit status."""
        try:
            while True:
                self._plain()
                if not self._run or self._process.poll() is not None:
                    break
                left = self._screen(theme)
                if left:
                    return 0
            return self._conclude()
        finally:
            if not self._folder.exists and self._process.poll() is not None:
                shutil.rmtree(self._folder.path, ignore_errors=True)

    # --- what it says ---------------------------------------------------------------------------

    def hear(self, timeout: float) -> None:
        """Take what the script's process tells of itself."""
        if not select.select([self._control], [], [], timeout)[0]:
            return
        data = os.read(self._control, 4096)
        if not data:
            time.sleep(timeout)
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self._run = self._run or "run" in told
            self.asks = told.get("asks", self.asks)

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    @property
    def _listens(self) -> bool:
        """Whether there is an engine yet: a script that watches itself may say so long before its first step."""
        return (self._folder.path / sockets.NAME).exists()

    # --- without the screen ---------------------------------------------------------------------

    def _plain(self) -> None:
        """Show what it prints and give it what is typed, until there is a run to show or it has ended."""
        began, silent = time.monotonic(), True
        with self._forwarding():
            while True:
                wrote = self._copy()
                silent = silent and not wrote
                # It tells that it asks before it prints the question: what is read after that is no screen's.
                self.hear(0)
                if self.over:
                    self._copy()
                    return
                if self._run and not self.asks and not self._stopped and self._listens:
                    return
                if silent and not self._run and time.monotonic() - began > _SILENCE:
                    silent = False
                    say(f"{self._shown} runs; the screen opens at the first step of an optimizer")
                self.hear(_GLANCE)
                if self._run and self.asks and select.select([0], [], [], 0)[0]:
                    self._pass_line()

    _stopped = False
    """Whether the user has ended the run from the screen, and waits for the script."""

    def _pass_line(self) -> None:
        data = os.read(0, 4096)
        with suppress(OSError):
            if data:
                os.write(self._typed, data)
            else:
                os.close(self._typed)
        if data:
            self.asks = False
            # It may ask on, or end.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_AFTER_ANSWER)
            self.hear(0)

    def _copy(self) -> bool:
        """Show what it has printed since the last time; whether it was anything."""
        wrote = False
        while data := os.read(self._output, _MOST):
            wrote = True
            self._whole = data.endswith(b"\n")
            _write(data)
        return wrote

    @contextmanager
    def _forwarding(self) -> Iterator[None]:
        """A signal is meant for the script."""

        def forward(number: int, _frame: Any) -> None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

        before = {
            number: signal.signal(number, forward)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # --- with the screen ------------------------------------------------------------------------

    def _screen(self, theme: str | None) -> bool:
        """Show the run; whether the user has left it to itself."""
        try:
            link = AttachLink(self._folder.path)
        except SocketError as error:
            # It may have ended a moment ago, or be about to listen.
            self._tries -= 1
            self._stopped = self._tries <= 0
            if self._stopped and not self.over:
                say(f"the screen can't open: {error}")
            time.sleep(_GLANCE)
            return False
        if not self._whole:
            _write(b"\n")
            self._whole = True
        screen = _OnScript(self._folder, "process", theme)
        watcher = threading.Thread(target=self._watch_for_questions, args=(screen,), daemon=True)
        watcher.start()
        status = screen.show(link, RunSpec(), attached=True)
        screen.closed.set()
        watcher.join()
        if screen.left and not screen.interrupted:
            return status == 0
        self._skip()
        self._stopped = not screen.interrupted
        return False

    def _watch_for_questions(self, screen: "_OnScript") -> None:
        """While the screen is open: where the script asks for a line, it gives way."""
        while not screen.closed.is_set():
            self.hear(0.2)
            if self.asks and not self.over:
                # It may not have begun to draw yet: until it is closed.
                screen.interrupt()

    def _skip(self) -> None:
        """Go to near the end of what was printed meanwhile."""
        here = os.lseek(self._output, 0, os.SEEK_CUR)
        end = os.lseek(self._output, 0, os.SEEK_END)
        start = max(here, end - _MOST)
        os.lseek(self._output, start, os.SEEK_SET)
        lines = os.read(self._output, _MOST).splitlines(keepends=True)
        trace = [number for number, line in enumerate(lines) if line.startswith(b"Traceback (most recent call last)")]
        first = max(0, len(lines) - _LAST_LINES)
        if trace and self.over:
            first = min(first, trace[-1])
        if not self._whole:
            _write(b"\n")
        if first > 0 or start > here:
            say(f"what {self._shown} printed is in {self.file}; the end of it:")
        self._whole = not lines or lines[-1].endswith(b"\n")
        # A progress bar's line is what it was in the end.
        _write(b"".join(line[line[:-1].rfind(b"\r") + 1 :] for line in lines[first:]))

    def _conclude(self) -> int:
        code = self._process.wait()
        return code if code >= 0 else 128 - code


class _OnScript(Screen):
    """The screen on a script: whoever stops the run waits for the script, which is not killed."""

    def __init__(self, folder: RunFolder, placement: str | None, theme: str | None) -> None:
        super().__init__(folder, placement, theme)
        self.closed = threading.Event()
        self.interrupted = self.left = False

    def interrupt(self) -> None:
        """Close, so that the script can have the terminal."""
        self.interrupted = True
        app = self.app
        if app is not None:
            with suppress(RuntimeError):
                app.call_from_thread(app.exit)

    def _let_go(self, app: Any) -> str:
        link: AnyLink = app.session.link
        if self.interrupted:
            link.detach()
            return ""
        if app.leaving == "detach" and not app.session.lost:
            self.left = True
            return super()._let_go(app)
        if not app.session.lost:
            link.send(p.Stop(id=0))
        link.detach()
        return app.session.lost


def _write(data: bytes) -> None:
    with suppress(OSError):
        sys.stdout.flush()
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
