"""Everything it takes to continue a training bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from aetui.models import ownstate
from aetui.models.custom import OwnAutoencoder
from aetui.spec import dumps, loads
from aetui.training import optimizers
from aetui.training.interface import Checkpoint, CheckpointError
from aetui.training.schedules import PlateauState
from aetui.training.step import set_rates
from aetui.training.trainer import Trainer


def capture(trainer: Trainer) -> Checkpoint:
    """The present state of a trainer; the device waits for no longer than the copy takes."""
    order, where = trainer.batches.state()
    tensors: dict[str, Tensor] = {"values": trainer.flat.values.detach()}
    plain: dict[str, Any] = {
        "spec": dumps(trainer.spec),
        "steps": trainer.steps,
        "batches": where,
        "schedule": {
            "origin": trainer.schedule.origin,
            "plateau": dataclasses.asdict(trainer.schedule.plateau),
            "late": trainer.late.known() if trainer.late else [],
        },
        "threads": torch.get_num_threads(),
        "optimizer": {},
        "attributes": {},
    }
    tensors |= {f"model.{name}": tensor for name, tensor in _held(trainer)}
    if order is not None:
        tensors["order"] = order
    tensors["random.order"] = trainer.batches.generator.get_state()
    tensors |= {f"random.model.{index}": state for index, state in enumerate(trainer.model.random_states())}
    for name, value in trainer.optimizer.state.get(trainer.flat.values, {}).items():
        if isinstance(value, Tensor):
            tensors[f"optimizer.{name}"] = value
        else:
            plain["optimizer"][name] = value
    if isinstance(trainer.model, OwnAutoencoder):
        for name, value in ownstate.attributes(trainer.model.inner).items():
            if isinstance(value, Tensor):
                tensors[f"attribute.{name}"] = value
            else:
                plain["attributes"][name] = value
    return Checkpoint({name: _copied(tensor) for name, tensor in tensors.items()}, plain)


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Put a trainer of the same run into the state that `capture` saw; what it recorded since is dropped.

    On another kind of device training goes on from there, and close to as it would have, not bit for bit.

    Raises:
        CheckpointError: the model has other tensors than the checkpoint.
    """
    tensors, plain = checkpoint.tensors, checkpoint.plain
    held = dict(_held(trainer))
    saved = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    shapes = {name: tensor.shape for name, tensor in held.items()} | {"values": trainer.flat.values.shape}
    given = {name: tensor.shape for name, tensor in saved.items()} | {"values": tensors["values"].shape}
    if shapes != given:
        odd = next(name for name in {**shapes, **given} if shapes.get(name) != given.get(name))
        raise CheckpointError(f"the checkpoint is of another model: {odd} is not as it was; its file may have changed")
    torch.set_num_threads(plain["threads"])
    trainer.put_in_force(loads(plain["spec"]))
    with torch.no_grad():
        trainer.flat.values.copy_(tensors["values"])
        for name, tensor in held.items():
            tensor.copy_(saved[name])
    trainer.flat.grads.zero_()
    trainer.has_gradient = False
    trainer.batches.restore(tensors.get("order"), plain["batches"])
    trainer.batches.generator.set_state(tensors["random.order"])
    count = sum(name.startswith("random.model.") for name in tensors)
    states = [tensors[f"random.model.{index}"] for index in range(count)]
    # Generators of another kind of device have other states; noise and dropout then go on as this training's own.
    if [state.shape for state in states] == [state.shape for state in trainer.model.random_states()]:
        trainer.model.restore_random_states(states)
    trainer.schedule.origin = plain["schedule"]["origin"]
    trainer.schedule.plateau = PlateauState(**plain["schedule"]["plateau"])
    trainer.take_late(plain["schedule"].get("late", []))
    trainer.steps = plain["steps"]
    _restore_optimizer(trainer, checkpoint)
    if isinstance(trainer.model, OwnAutoencoder):
        mark = "attribute."
        kept = {name.removeprefix(mark): tensor for name, tensor in tensors.items() if name.startswith(mark)}
        ownstate.put_back(trainer.model.inner, plain["attributes"] | kept, trainer.device)
    trainer.recorder.drain()


def _restore_optimizer(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """A new optimizer with the state of the old one; PyTorch's `load_state_dict` would cast some of it."""
    trainer.optimizer = optimizers.build(trainer.spec.optim, trainer.flat.values, on_host=trainer.on_host)
    state: dict[str, Any] = dict(checkpoint.plain["optimizer"])
    fused = bool(trainer.optimizer.param_groups[0].get("fused"))
    for name, tensor in checkpoint.tensors.items():
        if name.startswith("optimizer."):
            key = name.removeprefix("optimizer.")
            # PyTorch keeps counters on the host unless one kernel does the whole update.
            on_host = tensor.ndim == 0 and not fused
            state[key] = tensor.to("cpu" if on_host else trainer.device, copy=True)
    if state:
        trainer.optimizer.state[trainer.flat.values] = state
    set_rates(trainer.optimizer, [trainer.rate])


def _held(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    """What a model holds besides its trained parameters: frozen ones, and buffers, saved by it or not."""
    trained = set(trainer.flat.names)
    for name, parameter in trainer.model.named_parameters():
        if name not in trained:
            yield name, parameter.data
    yield from trainer.model.named_buffers()


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
