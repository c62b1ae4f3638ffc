"""Callbacks for trainers of other people: what `aetui watch SCRIPT` does, by one line in the script.

    trainer = lightning.Trainer(callbacks=[aetui.integrations.lightning()])

Model, optimizer, loss, reconstruction and code are found in the first steps. Under `aetui watch`, and with
`AETUI_WATCH=0`, these callbacks do nothing. A framework is imported when a callback for it is made.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


class _Watching:
    """The watching of one training after the other."""

    def __init__(
        self,
        name: str | None = None,
        *,
        model_is: str = "",
        probe_rows: int = 512,
        loss: str = "",
        target: Callable[..., Any] | None = None,
        reconstruct: Callable[..., Any] | None = None,
    ) -> None:
        self._told: dict[str, Any] = {
            "name": name, "model_is": model_is, "probe_rows": probe_rows, "loss": loss, "target": target or "",
            "reconstruct": reconstruct or "",
        }  # fmt: skip
        self._finder: Any = None

    def begin(self) -> None:
        from aetui.watching.finding import begin_within
        from aetui.watching.told import Told

        self.end()
        self._finder = begin_within(Told(**self._told, within=True))
        # A name is that of one run.
        self._told["name"] = None

    def end(self) -> None:
        from aetui.watching.finding import end_within

        finder, self._finder = self._finder, None
        if finder is not None:
            end_within(finder)

    @property
    def run(self) -> Any:
        """The run, an `aetui.Run`; None before it has begun and after it has ended."""
        return None if self._finder is None else self._finder.run


def _callback(base: Any, begin: str, ends: tuple[str, ...], made: tuple[Any, str | None, dict[str, Any]]) -> Any:
    """A callback of a framework, which calls `begin` before the first step of a training and one of `ends` after it.

    made: the function that makes it, with its arguments; a copy in another process is made anew.
    """
    _, name, told = made
    watching = _Watching(name, **told)

    def begins(_self: Any, *_args: Any, **_kwargs: Any) -> None:
        watching.begin()

    def is_over(_self: Any, *_args: Any, **_kwargs: Any) -> None:
        watching.end()

    members = {
        begin: begins, **dict.fromkeys(ends, is_over), "watching": watching, "__reduce__": lambda _self: (_again, made),
    }  # fmt: skip
    return type("AetuiCallback", (base,), members)()


def _again(make: Callable[..., Any], name: str | None, told: dict[str, Any]) -> Any:
    return make(name, **told)


def lightning(name: str | None = None, **told: Any) -> Any:
    """A `Callback` for `lightning.Trainer`, and for that of `pytorch_lightning` where only this is loaded.

    Args:
        name: of the run.
        told: corrections of what is found, as the options of `aetui watch`: `model_is`, `probe_rows`, `loss`, and the
            functions `target(rows)` and `reconstruct(model, rows)`.

    Raises:
        ImportError: Lightning is not installed.
        TypeError: there is no such correction.
    """
    older = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
    base = import_module("pytorch_lightning" if older else "lightning.pytorch").Callback
    return _callback(base, "on_fit_start", ("on_fit_end", "on_exception"), (lightning, name, told))


def transformers(name: str | None = None, **told: Any) -> Any:
    """A `TrainerCallback` for `transformers.Trainer`; arguments and errors as with `lightning`."""
    base = import_module("transformers").TrainerCallback
    return _callback(base, "on_train_begin", ("on_train_end",), (transformers, name, told))


def pythae(name: str | None = None, **told: Any) -> Any:
    """A `TrainingCallback` for the trainers and pipelines of pythae; arguments and errors as with `lightning`."""
    base = import_module("pythae.trainers.training_callbacks").TrainingCallback
    return _callback(base, "on_train_begin", ("on_train_end",), (pythae, name, told))
