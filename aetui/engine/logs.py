"""The log of this process."""

import logging
import os


def log_to(file: str) -> None:
    """Send this process's log records to `file`."""
    logging.basicConfig(
        filename=file or os.devnull,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
