"""Which events of a run are worth an alert."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct

from aetui import protocol as p
from aetui.alerts.settings import Kind
from aetui.report import FINE, LEARNING

_APART = 60.0
"""Seconds within which no second alert of a kind comes: a verdict on the edge would ring all the time."""


class Alert(Struct, frozen=True, kw_only=True):
    """One thing that happened to a run, as facts."""

    kind: Kind
    text: str
    """One sentence, with the run's name in front."""
    run: str = ""
    step: int = 0
    state: str = ""
    verdict: str = ""
    """The last one, '' before there is one."""
    folder: str = ""
    time: float = 0.0
    """Seconds since the epoch."""

    def environment(self) -> dict[str, str]:
        """The facts as environment variables of a command."""
        facts = {"ALERT": self.kind, "ALERT_TEXT": self.text, "RUN": self.run, "RUN_STEP": str(self.step)}
        facts |= {"RUN_STATE": self.state, "RUN_VERDICT": self.verdict, "RUN_FOLDER": self.folder}
        return {f"AETUI_{name}": value.replace("\0", " ") for name, value in facts.items()}

    def message(self, host: str) -> dict[str, Any]:
        """The facts as what a webhook gets. host: the machine's name."""
        own = {name: getattr(self, name) for name in ("kind", "text", "run", "step", "state", "verdict", "time")}
        return own | {"host": host}


class Listener:
    """Hears an engine's replies, one by one, and says which of them is an alert."""

    def __init__(self) -> None:
        self._info: p.RunInfo | None = None
        self._state = ""
        self._trains = False
        """Whether it trains, or did until what it says next: a run that is opened where it ended is no news."""
        self._verdict = ""
        self._step = 0
        self._last: dict[Kind, float] = {}

    def hear(self, reply: p.Reply) -> Alert | None:
        """The alert that a reply is, None for none."""
        if not isinstance(reply, p.Event):
            return None
        info = getattr(reply, "info", None)
        if isinstance(info, p.RunInfo):
            if self._info is None or info.folder != self._info.folder:
                self._verdict, self._last = "", {}
            self._info = info
        self._step = reply.step
        match reply:
            case p.Noted(verdict=verdict) if verdict:
                worse = verdict not in (*FINE, LEARNING, self._verdict)
                self._verdict = verdict
                return self._alert("verdict", reply.text) if worse else None
            case p.Noted(non_finite=True):
                return self._alert("non-finite", reply.text)
            case p.StateChanged():
                return self._follow(reply)
            case p.Ended() if self._trains:
                self._trains = False
                if self._info is not None and not self._info.spec:
                    return self._alert("finish", "its loop has ended")
                return self._alert("end", f"the engine ended before the run did: {reply.text}")
            case p.Moved() | p.Ready():
                self._trains = False
            case _:
                pass
        return None

    def lose(self, text: str) -> Alert | None:
        """The alert that the loss of the engine is; text: why, in a sentence."""
        trained, self._trains = self._trains, False
        return self._alert("end", text) if trained else None

    def _follow(self, event: p.StateChanged) -> Alert | None:
        trained, self._state = self._trains, event.state
        self._trains = event.state == "running"
        if not trained:
            return None
        if event.state == "finished":
            return self._alert("finish", event.reason or "finished")
        if event.state == "non-finite":
            return self._alert("non-finite", event.reason or "loss or gradient is not finite")
        return self._alert("end", event.reason or "a step failed") if event.state == "failed" else None

    def _alert(self, kind: Kind, text: str) -> Alert | None:
        now = time.monotonic()
        if now - self._last.get(kind, float("-inf")) < _APART:
            return None
        self._last[kind] = now
        info = self._info
        name = info.name if info is not None else ""
        return Alert(
            kind=kind,
            text=f"{name} at step {self._step:,}: {text}" if name else text,
            run=name,
            step=self._step,
            state=self._state,
            verdict=self._verdict,
            folder=info.folder if info is not None else "",
            time=time.time(),
        )
