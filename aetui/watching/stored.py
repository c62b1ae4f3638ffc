"""The state of somebody else's training: saved before a tweak, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aetui.training.interface import MODULE, Checkpoint, CheckpointError
from aetui.watching import rates
from aetui.watching.aside import Aside, Randomness
from aetui.watching.packing import LEFT, filled, pack, unpack
from aetui.watching.settings import WatchedSettings
from aetui.watching.steps import WatchedSteps

LOADER = "loader"
"""What the user's loader is called among the others."""


class WatchedStored:
    """Weights and buffers, and the state of optimizers, schedulers, scaler, loader and random numbers.

    The rows that a loop takes next are its own business, so training on is not exact. All tensors are put back in
    place: a captured or compiled step has them at their addresses.
    """

    exact = False

    def __init__(
        self,
        module: nn.Module,
        optimizers: Callable[[], Sequence[torch.optim.Optimizer]],
        steps: WatchedSteps,
        settings: WatchedSettings,
        aside: Aside,
        others: dict[str, Any],
        about: Callable[[], dict[str, Any]],
    ) -> None:
        """others: what else has a `state_dict`, such as the scaler and the loader, by name."""
        self._module, self._optimizers, self._others = module, optimizers, others
        self._steps, self._settings, self._aside = steps, settings, aside
        self.about = about
        self.many = False
        """Whether other processes take the same steps, each with rows and random numbers of its own."""
        self.differing: Callable[[], str] = lambda: ""
        """Why the state of this process is not that of all, '' where it is."""
        self.spread: Callable[[Checkpoint], None] = lambda _checkpoint: None
        """Has the other processes put a state back."""

    def capture(self) -> Checkpoint:
        tensors: dict[str, Tensor] = {}
        for name, tensor in self._held():
            tensors[MODULE + name] = tensor.detach().to("cpu", copy=True).contiguous()
        plain: dict[str, Any] = {
            "steps": self._steps.done,
            "settings": self._settings.state(),
            "optimizers": [
                pack(self._of_optimizer(one), f"optimizer.{index}", tensors)
                for index, one in enumerate(self._optimizers())
            ],
            "schedulers": [
                [type(one).__name__, pack(one.state_dict(), f"scheduler.{index}", tensors)]
                for index, one in enumerate(self._schedulers())
            ],
            "others": {
                name: pack(one.state_dict(), f"other.{name}", tensors) for name, one in self._others.items()
            },
            "random": pack(Randomness().packed(), "random", tensors),
        }  # fmt: skip
        return Checkpoint(tensors, plain)

    def objection(self) -> str:
        return self.differing()

    def restore(self, checkpoint: Checkpoint) -> None:
        self._check(checkpoint)
        self.spread(checkpoint)
        tensors, plain = checkpoint.tensors, checkpoint.plain
        held, optimizers, schedulers = dict(self._held()), self._optimizers(), self._schedulers()
        saved = {name.removeprefix(MODULE): one for name, one in tensors.items() if name.startswith(MODULE)}
        with torch.no_grad():
            for name, tensor in held.items():
                tensor.copy_(saved[name])
            for one, packed in zip(optimizers, plain["optimizers"], strict=True):
                _restore_optimizer(one, unpack(packed, tensors))
            for parameter in self._module.parameters():
                if parameter.grad is not None:
                    parameter.grad.zero_()
        # Of schedulers that have come or gone since, nothing is known.
        if [type(one).__name__ for one in schedulers] == [name for name, _ in plain["schedulers"]]:
            for one, (_, packed) in zip(schedulers, plain["schedulers"], strict=True):
                one.load_state_dict(filled(unpack(packed, tensors), one.state_dict()))
        for name, one in self._others.items():
            if name in plain["others"] and not (self.many and name == LOADER):
                one.load_state_dict(filled(unpack(plain["others"][name], tensors), one.state_dict()))
        self._settings.restore(plain["settings"])
        self._steps.stand_at(plain["steps"])
        if self.many:
            # Each process has random numbers of its own, and those of one are none for the others.
            if self._aside.entered:
                self._aside.renew_state()
            return
        randomness = Randomness.unpacked(unpack(plain["random"], tensors))
        if self._aside.entered:
            self._aside.renew(randomness)
        else:
            randomness.put_back()

    def _check(self, checkpoint: Checkpoint) -> None:
        shapes = {name: tensor.shape for name, tensor in self._held()}
        given = {
            name.removeprefix(MODULE): one.shape
            for name, one in checkpoint.tensors.items()
            if name.startswith(MODULE)
        }  # fmt: skip
        if shapes != given:
            odd = next(name for name in {**shapes, **given} if shapes.get(name) != given.get(name))
            raise CheckpointError(f"the checkpoint is of another model: {odd} is not as it was")
        if len(checkpoint.plain["optimizers"]) != len(self._optimizers()):
            raise CheckpointError("the checkpoint is from before the optimizers were the present ones")

    def restore_start(self) -> None:
        raise CheckpointError("the state of step 0 was not kept")

    def _held(self) -> Iterator[tuple[str, Tensor]]:
        """Weights and buffers, those that a `state_dict` leaves out too."""
        for name, parameter in self._module.named_parameters():
            yield name, parameter.data
        yield from self._module.named_buffers()

    def _schedulers(self) -> list[Any]:
        """Those with a state that can be had; what a chain is made of is in the chain's own."""
        found = self._settings.schedulers
        parts = {id(part) for one in found for part in getattr(one, "_schedulers", ())}
        return [one for one in found if id(one) not in parts and callable(getattr(one, "state_dict", None))]

    def _of_optimizer(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return {
            "groups": [
                {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
            ],
            "state": [dict(optimizer.state.get(parameter, {})) for parameter in _parameters(optimizer)],
        }


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """In place, where PyTorch's `load_state_dict` makes new groups and casts some of the state.

    Raises:
        CheckpointError: it has other parameters.
    """
    parameters = _parameters(optimizer)
    if len(parameters) != len(saved["state"]) or len(optimizer.param_groups) != len(saved["groups"]):
        raise CheckpointError("the checkpoint is from before the optimizer's groups were the present ones")
    for group, values in zip(optimizer.param_groups, saved["groups"], strict=True):
        for key, value in values.items():
            if value is LEFT:
                continue
            if isinstance(group.get(key), Tensor):
                rates.put(group, key, float(value))
            else:
                group[key] = filled(value, group.get(key))
    on_device = {
        id(parameter): bool(group.get("fused") or group.get("capturable"))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for parameter, values in zip(parameters, saved["state"], strict=True):
        if not values:
            optimizer.state.pop(parameter, None)
            continue
        state = optimizer.state[parameter]
        for key in [key for key in state if key not in values]:
            del state[key]
        for key, value in values.items():
            present = state.get(key)
            if isinstance(value, Tensor) and isinstance(present, Tensor) and present.shape == value.shape:
                present.copy_(value)
            elif isinstance(value, Tensor):
                # PyTorch keeps counters on the host unless one kernel does the whole update.
                on_host = value.ndim == 0 and not on_device[id(parameter)]
                state[key] = value.to("cpu" if on_host else parameter.device, copy=True)
            else:
                state[key] = _placed(filled(value, present), parameter.device)


def _placed(value: Any, device: torch.device) -> Any:
    """Copies of all tensors in lists and dicts, on a device: a step may change them in place."""
    if isinstance(value, Tensor):
        return value.to(device, copy=True)
    if isinstance(value, dict):
        return {key: _placed(part, device) for key, part in value.items()}
    return [_placed(part, device) for part in value] if isinstance(value, list) else value
