"""Source that a script has word for word from the package: functions and classes that need nothing but torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def source_of(*parts: Callable[..., Any]) -> list[str]:
    """The definitions, each once, in this order."""
    return [inspect.getsource(part) for part in dict.fromkeys(parts)]
