"""aetui: a terminal workbench for training autoencoders and seeing why they collapse."""

from typing import TYPE_CHECKING, Any

from aetui.version import __version__

if TYPE_CHECKING:
    from aetui.diagnosis import diagnose
    from aetui.report import Report
    from aetui.spec import RunSpec, SpecError
    from aetui.training.trainer import Trainer
    from aetui.watching.begin import watch
    from aetui.watching.run import Run

__all__ = ["Report", "Run", "RunSpec", "SpecError", "Trainer", "__version__", "diagnose", "watch"]

_HOMES = {
    "Report": "aetui.report",
    "Run": "aetui.watching.run",
    "RunSpec": "aetui.spec",
    "SpecError": "aetui.spec",
    "Trainer": "aetui.training.trainer",
    "diagnose": "aetui.diagnosis",
    "watch": "aetui.watching.begin",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import aetui` alone loads neither torch nor textual."""
    if name not in _HOMES:
        raise AttributeError(f"module 'aetui' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
