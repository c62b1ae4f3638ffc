"""Which of the app's actions steer the run: a screen that only watches refuses them before anything opens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from aetui import protocol as p
from aetui.tui.session import Session
from aetui.tui.shell import Shell


class _App(Protocol):
    @property
    def session(self) -> Session: ...

    shell: Shell


def steers(action: Callable[..., None]) -> Callable[..., None]:
    """An action that steers the run, which a screen that only watches answers with one sentence."""

    @wraps(action)
    def unless_read_only(app: _App, *arguments: Any) -> None:
        if app.session.read_only:
            app.shell.say(p.READ_ONLY, "warning")
        else:
            action(app, *arguments)

    vars(unless_read_only)["steers"] = True
    return unless_read_only
