"""Optimizers from their spec, and live changes to them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from aetui.spec import sections as s


def build(section: s.Optim, parameters: nn.Parameter) -> torch.optim.Optimizer:
    """The optimizer over one flat tensor; PyTorch's fused kernel where there is one."""
    return over(section, [parameters])


def over(section: s.Optim, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer over a list of parameters."""
    options = _options(section) | ({"fused": True} if CLASSES[type(section)] in FUSED else {})
    return CLASSES[type(section)](parameters, **options)


def change(optimizer: torch.optim.Optimizer, section: s.Optim) -> None:
    """Put the live numbers of `section` in force, keeping the optimizer's state."""
    for group in optimizer.param_groups:
        for name, value in _options(section).items():
            if name in group:
                group[name] = value


def _options(section: s.Optim) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": section.lr, "weight_decay": section.weight_decay}
    match section:
        case s.Sgd():
            return options | {"momentum": section.momentum, "nesterov": section.nesterov}
        case s.RmsProp():
            extra = {"alpha": section.alpha, "momentum": section.momentum, "centered": section.centered}
            return options | extra | {"eps": section.eps}
        case s.Adagrad():
            extra = {"lr_decay": section.lr_decay, "initial_accumulator_value": section.accumulator}
            return options | extra | {"eps": section.eps}
        case s.Adadelta():
            return options | {"rho": section.rho, "eps": section.eps}
        case _:
            options |= {"betas": (section.beta1, section.beta2), "eps": section.eps}
    if isinstance(section, s.Adam | s.AdamW):
        options["amsgrad"] = section.amsgrad
    if isinstance(section, s.NAdam):
        options["momentum_decay"] = section.momentum_decay
    return options


CLASSES: dict[type, Callable[..., torch.optim.Optimizer]] = {
    s.Adam: torch.optim.Adam,
    s.AdamW: torch.optim.AdamW,
    s.NAdam: torch.optim.NAdam,
    s.RAdam: torch.optim.RAdam,
    s.Adamax: torch.optim.Adamax,
    s.Sgd: torch.optim.SGD,
    s.RmsProp: torch.optim.RMSprop,
    s.Adagrad: torch.optim.Adagrad,
    s.Adadelta: torch.optim.Adadelta,
}
"""PyTorch's optimizer for each section of a spec."""

FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
"""Those with a kernel for all parameters at once on every device."""
