"""Optimizers from their spec, and live changes to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from aetui.spec import sections as s
from aetui.spec.fields import fields_of
from aetui.training.kinds import complete, takes
from aetui.training.step import set_rates

_NAMES: dict[str, tuple[str, ...]] = {"betas": ("beta1", "beta2"), "initial_accumulator_value": ("accumulator",)}
"""PyTorch's options whose settings have other names; each setting else has the option's."""


@dataclass(frozen=True)
class OptimizerKind:
    """How an optimizer of a spec is made; its settings are options of PyTorch's class."""

    make: Callable[..., torch.optim.Optimizer]
    usual: tuple[float, float, float]
    """Low end, usual value and high end of its learning rates."""
    fused: bool = False
    """Whether it has a kernel for all parameters at once on every device."""

    @property
    def native(self) -> bool:
        """Whether it is PyTorch's; a script takes the source of any other."""
        return getattr(torch.optim, self.make.__name__, None) is self.make


OPTIMIZERS: dict[type, OptimizerKind] = complete(
    {
        s.Adam: OptimizerKind(torch.optim.Adam, (3e-4, 1e-3, 5e-3), fused=True),
        s.AdamW: OptimizerKind(torch.optim.AdamW, (3e-4, 1e-3, 5e-3), fused=True),
        s.NAdam: OptimizerKind(torch.optim.NAdam, (3e-4, 2e-3, 5e-3)),
        s.RAdam: OptimizerKind(torch.optim.RAdam, (3e-4, 1e-3, 1e-2)),
        s.Adamax: OptimizerKind(torch.optim.Adamax, (5e-4, 2e-3, 1e-2)),
        s.Sgd: OptimizerKind(torch.optim.SGD, (0.01, 0.1, 1.0), fused=True),
        s.RmsProp: OptimizerKind(torch.optim.RMSprop, (1e-4, 1e-3, 5e-3)),
        s.Adagrad: OptimizerKind(torch.optim.Adagrad, (5e-3, 1e-2, 0.2)),
        s.Adadelta: OptimizerKind(torch.optim.Adadelta, (0.2, 1.0, 5.0)),
    },
    s.Optim,
)
"""PyTorch's optimizer for each kind of a spec."""


def settings_of(section: type) -> dict[str, tuple[str, ...]]:
    """PyTorch's options of an optimizer of a spec, each with the settings that it is made of."""
    known = fields_of(section)
    renamed = {option: names for option, names in _NAMES.items() if names[0] in known}
    others = {name: (name,) for name in known if not any(name in names for names in renamed.values())}
    return others | renamed


for _section, _kind in OPTIMIZERS.items():
    takes(_kind.make, settings_of(_section))


def build(section: s.Optim, parameters: nn.Parameter, *, on_host: bool = True) -> torch.optim.Optimizer:
    """The optimizer over one flat tensor; PyTorch's fused kernel where there is one.

    on_host: whether the rate is a number of the host's in any case; else it is a tensor that is filled in place, where
    the kernel reads one on the device.
    """
    optimizer, device = over(section, [parameters]), parameters.device
    if not on_host and OPTIMIZERS[type(section)].fused and device.type in ("cuda", "cpu"):
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
    return optimizer


def over(section: s.Optim, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer over a list of parameters."""
    kind = OPTIMIZERS[type(section)]
    return kind.make(parameters, **options_of(section), **({"fused": True} if kind.fused else {}))


def change(optimizer: torch.optim.Optimizer, section: s.Optim) -> None:
    """Put the live numbers of `section` in force, keeping the optimizer's state."""
    for group in optimizer.param_groups:
        for name, value in options_of(section).items():
            if name == "lr":
                set_rates(optimizer, [value] * len(optimizer.param_groups))
            elif name in group:
                group[name] = value


def options_of(section: s.Optim) -> dict[str, Any]:
    """PyTorch's options, with their values."""
    return {
        option: getattr(section, names[0]) if len(names) == 1 else tuple(getattr(section, name) for name in names)
        for option, names in settings_of(type(section)).items()
    }
