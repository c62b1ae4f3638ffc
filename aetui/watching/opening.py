"""From what was found in a script to what `watch` takes, and to the words for it."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from aetui.diagnosis.outputs import take_apart
from aetui.diagnosis.width import find_code
from aetui.watching.measured import unwrapped
from aetui.watching.programs import Seen
from aetui.watching.reading import Reading
from aetui.watching.told import Told


@dataclass
class Opening:
    """What `watch` is told."""

    module: nn.Module
    rows: Tensor
    options: dict[str, Any]
    about: tuple[str, ...]
    output: str

    def lines(self, batches: int, steps: int, optimizer: str) -> Iterator[str]:
        """What was taken as what, for the journal."""
        first, *more = self.about
        yield f"{first}, trained by {optimizer}; what step 0 keeps is its state after {steps} steps"
        yield from more
        many = "the first batch" if batches == 1 else f"the first {batches} batches"
        rows = f"{len(self.rows):,} of {many}, {list(self.rows.shape[1:])} each"
        yield f"probe rows: {rows}; --probe-rows takes more or fewer"
        if self.output:
            yield f"what the script prints is in {self.output}"


def arguments(told: Told, module: nn.Module, reading: Reading | None, rows: Tensor, targets: Tensor | None) -> Opening:
    """Put together what was found and what the command line says.

    Raises:
        ValueError: an option names what is not there; one sentence.
    """
    module = unwrapped(module)
    rows = rows[: told.probe_rows]
    targets = None if targets is None else targets[: told.probe_rows]
    options: dict[str, Any] = {"target": targets, "loss": told.loss or (None if reading is None else reading.loss)}
    about = [f"model: {_called(module)}"]
    if reading is None:
        about.append(
            "reconstruction: what the forward returns, though nothing was seen that compares it with the data; "
            "--reconstruct file.py:f and --loss say more"
        )
    else:
        about += reading.words
        options["kl"] = reading.variational
    if told.reconstruct:
        options["reconstruct"] = function_of(told.reconstruct, "--reconstruct")
        about.append(f"reconstruction: {_said(told.reconstruct)}, as --reconstruct says")
    if told.target:
        options["target"] = function_of(told.target, "--target")
        about.append(f"target: {_said(told.target)}, as --target says")
    if told.loss:
        about.append(f"loss: {told.loss}, as --loss says")
    if "reconstruct" not in options and not (reading is not None and reading.variational):
        code = _code(module, rows)
        if code is not None:
            options["code"] = code
            about.append(f"code: what {code} returns, the narrowest place")
    return Opening(module, rows, options, tuple(about), told.output)


def _called(module: nn.Module) -> str:
    if isinstance(module, Seen):
        parts = [f"{name} ({type(one).__name__})" for name, one in module.named_children()]
        return " with ".join(parts)
    return type(module).__name__


def _code(module: nn.Module, rows: Tensor) -> str | None:
    """The name of the submodule that makes the code, where it is one."""
    few = rows[:8]
    try:
        found = find_code(module, len(few), few.device, lambda copy: take_apart(copy(few.clone()), few.shape))
    except Exception:  # noqa: BLE001 - a module that can't be copied or looked into
        return None
    if found is None or found.width >= few[0].numel() or not found.where.startswith("what "):
        return None
    name = found.where.removeprefix("what ").removesuffix(" returns")
    return name if name in dict(module.named_modules()) else None


def _said(told: Any) -> str:
    return told if isinstance(told, str) else getattr(told, "__name__", type(told).__name__)


def function_of(text: str | Callable[..., Any], option: str) -> Callable[..., Any]:
    """`file.py:name`, whose code is run; a function as it is.

    Raises:
        ValueError: there is no such file, or no such name in it.
    """
    if not isinstance(text, str):
        return text
    file, _, name = text.rpartition(":")
    if not file.endswith(".py") or not Path(file).is_file():
        raise ValueError(f"{option}: {text!r} is not allowed; it takes file.py:name, and there is no such file")
    found = runpy.run_path(file, run_name="aetui_own").get(name)
    if not callable(found):
        raise ValueError(f"{option}: {file} has no function {name!r}")
    return found
