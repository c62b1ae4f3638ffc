"""What is under the cursor as raw text: to the terminal's clipboard, and into a file where the terminal takes none."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from aetui.paths import home_folder, private_folder
from aetui.tui import texts, verdict_line
from aetui.tui.model import RunModel
from aetui.tui.shell import Shell
from aetui.tui.status_parts import status_parts

FILE = "copied.txt"
"""In the folder of all that is kept of runs: the text that was copied last."""
_SHOWN = 40
"""Cells of the text that the message shows."""


class Copying:
    """The key that copies."""

    def __init__(self, shell: Shell, clipboard: Callable[[str], None] | None) -> None:
        """clipboard: hands a text to the terminal (OSC 52), None where it would show that as text."""
        self._shell, self._clipboard = shell, clipboard

    def copy(self, model: RunModel) -> None:
        """Copy what the pane in focus has under its cursor, else verdict and status, and say where it went."""
        bench = self._shell.bench
        text = bench.panes[bench.focused_pane].copied() if bench.focused_pane else ""
        text = text or status_text(model)
        if not text:
            self._shell.say("there is nothing to copy yet", "warning")
            return
        try:
            file = _kept(text)
        except OSError as error:
            file, problem = "", f"no file has it: {error.filename}: {error.strerror}"
        else:
            problem = ""
        if self._clipboard is not None:
            self._clipboard(text)
        elif problem:
            self._shell.say(f"nothing was copied: this terminal has no clipboard, and {problem}", "error")
            return
        first, *more = text.splitlines()
        said = texts.cut(texts.plain(first), _SHOWN) + (f" and {len(more)} more lines" if more else "")
        where = f"also in {file}" if self._clipboard is not None else f"in {file}"
        self._shell.say(f"copied, {problem or where}: {said}")


def _kept(text: str) -> str:
    """Write the file; its path as a person writes it.

    Raises:
        OSError: it can't be written.
    """
    path = private_folder(home_folder()) / FILE
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def status_text(model: RunModel) -> str:
    """Verdict, findings and all figures of the status, one to a line; '' before there is a run."""
    info, found = model.info, model.diagnosis
    if info is None:
        return ""
    lines = [f"run {info.name}: {info.source}, {info.architecture}"]
    if found is None:
        lines.append(f"verdict: none, {verdict_line.waiting(model)}")
    else:
        lines.append(f"verdict: {verdict_line.word(found.report.verdict)}, {found.report.headline}")
        lines += [f"{rank}. {verdict_line.sure(one)}" for rank, one in enumerate(found.report.findings, 1)]
    for part in status_parts(model, time.monotonic()):
        lines.append("".join(text for text, _ in part.forms[0]))
    return "\n".join(texts.plain(line) for line in lines)
