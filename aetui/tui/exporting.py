"""Taking a run away while its screen is open: the command line does it, in a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

from aetui.tui.dialogs import Choice, Confirm

KINDS = {
    "csv": "history as a table, .csv",
    "parquet": "history as a table, .parquet",
    "tensorboard": "history as TensorBoard event files",
    "torch": "weights, for torch.load",
    "script": "a plain PyTorch script that trains it again",
}


def choose_export(name: str) -> Confirm:
    """What to export; one of `KINDS`, or `cancel`."""
    choices = [Choice(kind, kind[0] if kind != "tensorboard" else "b", words) for kind, words in KINDS.items()]
    text = f"Export {name} into {Path.cwd()}:"
    return Confirm("Export", text, choices, cancel="cancel", id="export")


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
