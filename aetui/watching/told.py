"""What the runner of a script is told, by the command line or by a callback."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_OPTION = re.compile(r"--(model-is|probe-rows|reconstruct|target|loss)\b( file\.py:f)?")


@dataclass
class Told:
    """What the command line says; within: a callback in the script says it."""

    script: str = ""
    module: str = ""
    name: str | None = None
    folder: str = ""
    output: str = ""
    control: int | None = None
    typed: int | None = None
    model_is: str = ""
    probe_rows: int = 512
    reconstruct: str | Callable[..., Any] = ""
    target: str | Callable[..., Any] = ""
    loss: str = ""
    within: bool = False

    def worded(self, text: str) -> str:
        """A sentence that names options of the command line, as whoever told this calls them."""
        return _OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text) if self.within else text
