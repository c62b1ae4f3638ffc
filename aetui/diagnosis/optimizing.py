"""An optimizer over a copy's parameters, from a name, a class, a callable or the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import nn

from aetui.diagnosis.intake import takes
from aetui.diagnosis.isolate import twins_of
from aetui.diagnosis.losses import hint
from aetui.training import optimizers

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    **{section.__name__.lower(): kind.make for section, kind in optimizers.OPTIMIZERS.items()},
    "rprop": torch.optim.Rprop,
}
"""By name: those of a spec, and one more."""
_FUSED = tuple(kind.make for kind in optimizers.OPTIMIZERS.values() if kind.fused)


def builder(
    given: Any, lr: float, options: dict[str, Any], model: nn.Module
) -> tuple[Callable[[nn.Module], torch.optim.Optimizer], str]:
    """How to build an optimizer over a copy of `model`, and its class's lower-case name, '' where it is not known yet.

    Raises:
        ValueError, TypeError: it is nothing that an optimizer can be built from.
    """
    if isinstance(given, torch.optim.Optimizer):
        instance = given
        own = {id(one) for one in (*model.parameters(), *twins_of(model, model).values())}
        if not any(id(one) in own for group in instance.param_groups for one in group["params"]):
            raise ValueError(
                f"optimizer: none of the parameters of this {type(given).__name__} is one of the model's; build it "
                "over the parameters of the model that is diagnosed"
            )
        return lambda _copy: instance, type(instance).__name__.lower()
    if isinstance(given, str):
        name = given.lower().replace("-", "").replace("_", "")
        if name not in OPTIMIZERS:
            ways = f"{hint(name, OPTIMIZERS)}, or an optimizer, a torch.optim class, or a callable on the parameters"
            raise ValueError(f"optimizer: {given!r} is not known; {ways}")
        given = OPTIMIZERS[name]
    if isinstance(given, type):
        kind: type = given
        build = cast(Callable[..., torch.optim.Optimizer], given)
        if given in _FUSED and not options.keys() & {"fused", "foreach", "capturable", "differentiable"}:
            options = {**options, "fused": True}

        def from_class(model: nn.Module) -> torch.optim.Optimizer:
            parameters = list(model.parameters()) or [nn.Parameter(torch.zeros(1))]
            if not issubclass(kind, torch.optim.Optimizer):
                raise TypeError(f"optimizer: {kind.__name__} is no torch.optim.Optimizer")
            try:
                return build(parameters, lr=lr, **options)
            except (TypeError, ValueError) as error:
                raise ValueError(f"optimizer_options: {options!r} with lr {lr!r} is refused: {error}") from None

        return from_class, given.__name__.lower()
    if not callable(given):
        raise TypeError(
            f"optimizer: {given!r} is not allowed; it takes a name, an optimizer, a class, or a callable on the "
            "parameters"
        )
    return _Factory(given), ""


class _Factory:
    """A callable on the parameters, or one that takes nothing, as a module's `configure_optimizers`."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        parameters: Iterable[nn.Parameter] = model.parameters()
        made = self.call(parameters) if takes(self.call, 1) else self.call()
        return first_optimizer(made)


def first_optimizer(made: Any) -> Any:
    """The optimizer in what a factory returned: itself, the first of a list, or under 'optimizer'."""
    while isinstance(made, list | tuple | dict) and made:
        made = made.get("optimizer") if isinstance(made, dict) else made[0]
    return made
