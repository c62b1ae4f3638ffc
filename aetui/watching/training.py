"""A loop that its author wrote, as a `Training`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aetui import protocol as p
from aetui.openmp import spinning_threads
from aetui.watching.aside import Aside
from aetui.watching.measured import WatchedMeasured
from aetui.watching.settings import WatchedSettings
from aetui.watching.steps import WatchedSteps
from aetui.watching.stored import WatchedStored

NOTEBOOK = "notebook"
"""What stands for the name of a script where there is none."""


class WatchedTraining:
    """What engine, gauges, diagnosis and record see of it."""

    def __init__(
        self,
        module: nn.Module,
        measured: WatchedMeasured,
        aside: Aside,
        others: dict[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self.output = ""
        """File that gets what the script prints, '' where that goes elsewhere."""
        self.module, self.measured, self.aside = module, measured, aside
        self.optimizers: list[torch.optim.Optimizer] = []
        self.steps = WatchedSteps(measured.device, say)
        measured.rest, measured.first_rest = lambda: self.steps.rest, lambda: self.steps.first_rest
        self.settings = WatchedSettings(say)
        self.stored = WatchedStored(
            module, lambda: self.optimizers, self.steps, self.settings, aside, others, self._about
        )

    def of(self, optimizers: Sequence[torch.optim.Optimizer], schedulers: Sequence[Any]) -> None:
        """Take these for the optimizers that train the module."""
        self.optimizers = list(optimizers)
        self.settings.of(optimizers, schedulers)
        self.measured.build_optimizer = _alike(self.optimizers[0]) if len(self.optimizers) == 1 else None

    @property
    def _image_shape(self) -> tuple[int, ...]:
        shape = tuple(self.measured.shape[1:])
        return shape if len(shape) == 3 and shape[0] in (1, 3) else ()

    def _about(self) -> dict[str, Any]:
        return {
            "source": script(),
            "watched": True,
            "rows": len(self.measured.probe.inputs),
            "features": self.measured.probe.targets.shape[1],
            "image_shape": self._image_shape,
        }

    def info(self) -> p.RunInfo:
        measured = self.measured
        first = next(self.module.parameters(), None)
        width = measured.width
        return p.RunInfo(
            run=0,
            name="",
            spec="",
            source=script(),
            architecture=type(self.module).__name__,
            code=width or 0,
            parameters=sum(one.numel() for one in self.module.parameters()),
            features=measured.probe.targets.shape[1],
            train_rows=len(measured.probe.inputs),
            validation_rows=0,
            image_shape=self._image_shape,
            device=str(measured.device),
            dtype="float32" if first is None else str(first.dtype).removeprefix("torch."),
            spinning=spinning_threads() if measured.device.type == "cpu" else 0,
            floors=measured.floors,
            warnings=self._unknown(),
            title=script(),
            text="Your own loop. " + measured.parts_of,
            settings=self.settings.table(),
            output=self.output,
        )

    def _unknown(self) -> tuple[str, ...]:
        """What can't be known, and what to add."""
        missing = []
        if self.measured.loss is None:
            missing.append("no floors and no diagnosis: loss= says which loss compares output and target")
        elif self.measured.floors == p.Floors():
            missing.append("no floors: they are known for losses that loss= gives by name")
        if not self.measured.has_code:
            missing.append("no code pane: code= says how to get the code")
        return tuple(missing)


def _alike(optimizer: torch.optim.Optimizer) -> Callable[[nn.Module], torch.optim.Optimizer] | None:
    """Makes an optimizer of the same kind and settings over a copy's parameters; None where it is not PyTorch's."""
    kind: Any = type(optimizer)
    taken = inspect.signature(kind.__init__).parameters
    if not kind.__module__.startswith("torch.optim"):
        return None

    def build(module: nn.Module) -> torch.optim.Optimizer:
        group = optimizer.param_groups[0]
        options = {key: value for key, value in group.items() if key in taken and key != "params"}
        options["lr"] = float(group["lr"])
        return kind(list(module.parameters()), **options)

    return build


def script() -> str:
    """The name of the script that runs, `notebook` where there is none."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    return Path(file).name if file else NOTEBOOK
