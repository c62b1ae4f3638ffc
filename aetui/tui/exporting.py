"""Taking a run away while its screen is open: the command line does it, in a process of its own."""

import asyncio
import os
import sys
import time
from pathlib import Path

from aetui import protocol as p
from aetui.tui.dialogs import Choice, Confirm
from aetui.tui.session import Session
from aetui.tui.shell import Shell

KINDS = {
    "csv": "history as a table, .csv",
    "parquet": "history as a table, .parquet",
    "tensorboard": "history as TensorBoard event files",
    "torch": "weights, for torch.load",
    "script": "a plain PyTorch script that trains it again",
}


class Exporting:
    """The key that exports a run."""

    def __init__(self, session: Session, shell: Shell) -> None:
        self._session, self._shell = session, shell

    def offer(self) -> None:
        """Ask what to export, and do it while the screen goes on."""
        info = self._session.model.info
        if info is None or not info.folder:
            nothing = "there is nothing to export: the run is not stored" if info else "there is no run yet"
            self._shell.say(nothing, "warning")
            return

        def chosen(kind: str | None) -> None:
            if kind in KINDS:
                self._shell.say(f"exporting {info.name} as {kind}")
                self._shell.work(self._export(info.folder, kind))

        choices = [Choice(kind, kind[0] if kind != "tensorboard" else "b", words) for kind, words in KINDS.items()]
        text = f"Export {info.name} into {Path.cwd()}:"
        self._shell.ask(Confirm("Export", text, choices, cancel="cancel", id="export"), chosen)

    async def _export(self, folder: str, kind: str) -> None:
        text, done = await export(folder, kind)
        step = self._session.model.status.step
        self._session.absorb(p.Noted(text=text, warning=not done, step=step, time=time.time()))
        self._shell.say(text, "note" if done else "error")


async def export(folder: str, kind: str) -> tuple[str, bool]:
    """Export a stored run into the present folder; what came of it in a sentence, and whether it did."""
    command = ("-m", "aetui", "export", folder, "--to", kind, "--out", str(Path.cwd()))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        # A random.py in the working folder must not take the place of the real one.
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    paths, remarks = printed.decode(errors="replace").split("\n"), said.decode(errors="replace").strip().splitlines()
    last = remarks[-1].removeprefix("aetui: ") if remarks else ""
    if process.returncode:
        return last or f"the export ended with status {process.returncode}", False
    found = [Path(path).name for path in paths if path]
    return f"exported {', '.join(found)}" + (f"; {last}" if last else ""), True
