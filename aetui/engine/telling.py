"""What of a run's events goes to whoever is elsewhere, as the user's settings say."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from aetui import protocol as p
from aetui.alerts.sending import send_away, settle
from aetui.alerts.settings import load_alerts
from aetui.alerts.told import Listener

log = logging.getLogger(__name__)

_RENEWED = 60.0
"""Seconds after which the user's settings are read again."""


class Telling:
    """Hears an engine as a sink does; whatever goes wrong here is a line of the log or of the journal."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        """failed: takes a sentence for what was not told, from a thread."""
        self._failed = failed
        self._listener = Listener()
        self._wants_verdict, self._read = False, float("-inf")

    @property
    def wants_verdict(self) -> bool:
        """Whether somebody elsewhere is to hear of verdicts, so that there have to be some with no screen too."""
        now = time.monotonic()
        if now - self._read > _RENEWED:
            self._read = now
            settings, _ = load_alerts()
            self._wants_verdict = settings.sent and "verdict" in settings.on
        return self._wants_verdict

    def take(self, reply: p.Reply) -> None:
        """A sink."""
        try:
            if (alert := self._listener.hear(reply)) is not None:
                send_away(alert, self._failed)
            if isinstance(reply, p.Ended):
                settle()
        except Exception:
            log.exception("an alert was not told")
