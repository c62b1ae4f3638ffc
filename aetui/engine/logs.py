"""The engine's log: one file per run, readable by the user alone."""

import logging
import os
import random
import tempfile
from pathlib import Path

from aetui import paths

_ADJECTIVES = (
    "brisk calm clear deft even fair firm keen lucid mild neat plain quick quiet spare steady swift terse warm"
)
_NOUNS = "auk crane dipper dove finch grebe heron ibis jay kite lark linnet martin otter owl petrel plover robin wren"


def new_run_name() -> str:
    """Two words and a number that name a run: `brisk-otter-41`."""
    draw = random.SystemRandom()
    return f"{draw.choice(_ADJECTIVES.split())}-{draw.choice(_NOUNS.split())}-{draw.randrange(10, 100)}"


def new_log(name: str) -> Path:
    """An empty log file for the run `name`; in a new temporary folder where the usual place can't be written."""
    for folder in (_usual_folder, _spare_folder):
        try:
            file = folder() / f"{name}.log"
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        except OSError:
            continue
        return file
    return Path(os.devnull)


def _usual_folder() -> Path:
    return paths.private_folder(paths.home_folder() / "logs")


def _spare_folder() -> Path:
    """A folder of a name that nobody else could have made before."""
    return Path(tempfile.mkdtemp(prefix="aetui-"))


def log_to(file: str) -> None:
    """Send this process's log records to `file`."""
    logging.basicConfig(
        filename=file or os.devnull,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
