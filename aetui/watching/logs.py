"""What this package logs goes into the logs of the runs that are watched, and into nothing of the user's."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

log = logging.getLogger("aetui.watching")


class Logs:
    """This package's log records in the logs of the runs that are watched, and in nothing of the user's meanwhile."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("aetui")
        self._handlers: list[logging.Handler] = []
        self._before: tuple[list[logging.Handler], bool, int] = ([], True, logging.NOTSET)

    def open(self, file: Path) -> logging.Handler:
        logger = self._logger
        if not self._handlers:
            self._before = list(logger.handlers), logger.propagate, logger.level
            for handler in self._before[0]:
                logger.removeHandler(handler)
            logger.propagate = False
            logger.setLevel(logging.INFO)
        handler = logging.FileHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        self._handlers.append(handler)
        return handler

    def close(self, handler: logging.Handler) -> None:
        """Leave logging as it was before the first of the runs that are watched."""
        logger = self._logger
        logger.removeHandler(handler)
        handler.close()
        self._handlers.remove(handler)
        if not self._handlers:
            handlers, logger.propagate, level = self._before
            logger.setLevel(level)
            for one in handlers:
                logger.addHandler(one)


_logs = Logs()
open, close = _logs.open, _logs.close


def say(text: str) -> None:
    """Tell it whoever reads the script's standard error, which may take nothing."""
    try:
        print(text if text.startswith("aetui ") else f"aetui: {text}", file=sys.stderr, flush=True)
    except OSError:
        log.info("standard error takes nothing: %s", text)
