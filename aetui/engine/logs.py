"""The log of this process."""

import logging
import os

from aetui.engine.crash import log_crashes


def log_to(file: str) -> None:
    """Send this process's log records to `file`, and its stacks where a fatal signal ends it."""
    logging.basicConfig(
        filename=file or os.devnull,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    log_crashes(file)
