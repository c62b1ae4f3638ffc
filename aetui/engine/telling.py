"""What of a run's events goes to whoever is elsewhere, as the user's settings say."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aetui import protocol as p
from aetui.alerts.sending import send_away, settle
from aetui.alerts.told import Listener

log = logging.getLogger(__name__)


class Telling:
    """Hears an engine as a sink does; whatever goes wrong here is a line of the log or of the journal."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        """failed: takes a sentence for what was not told, from a thread."""
        self._failed = failed
        self._listener = Listener()

    def take(self, reply: p.Reply) -> None:
        """A sink."""
        try:
            if (alert := self._listener.hear(reply)) is not None:
                send_away(alert, self._failed)
            if isinstance(reply, p.Ended):
                settle()
        except Exception:
            log.exception("an alert was not told")
