"""The ways of an alert to the terminal that somebody sits at: its bell, and a notification of its desktop."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping

from aetui.alerts.settings import AlertSettings, Desktop
from aetui.alerts.told import Alert

BELL = "\a"
_MOST = 200
"""Characters of a notification."""


def sequences(alert: Alert, settings: AlertSettings, environment: Mapping[str, str] = os.environ) -> str:
    """What the terminal is sent for an alert, '' for nothing; it draws nothing."""
    if alert.kind not in settings.on:
        return ""
    bell = BELL if settings.bell else ""
    return bell + notification("aetui", alert.text, settings.desktop, environment)


def notification(title: str, text: str, way: Desktop, environment: Mapping[str, str] = os.environ) -> str:
    """The sequence for a notification, '' where none is wanted; through tmux and screen to the terminal behind them."""
    if way == "off":
        return ""
    if way == "auto":
        way = "osc777" if _knows_777(environment) else "osc9"
    plain = _plain(text)
    inner = f"\x1b]777;notify;{_plain(title).replace(';', ',')};{plain}\a" if way == "osc777" else f"\x1b]9;{plain}\a"
    if environment.get("TMUX"):
        return "\x1bPtmux;" + inner.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return f"\x1bP{inner}\x1b\\" if environment.get("STY") else inner


def _knows_777(environment: Mapping[str, str]) -> bool:
    """Whether it is one of those that know this form alone: rxvt, foot, and those on VTE."""
    return environment.get("TERM", "").startswith(("rxvt", "foot")) or "VTE_VERSION" in environment


def _plain(text: str) -> str:
    return "".join(" " if unicodedata.category(c).startswith("C") else c for c in text)[:_MOST]
