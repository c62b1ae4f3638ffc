"""The user's module, measured on rows that they gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from aetui import protocol as p
from aetui.diagnosis import losses
from aetui.diagnosis.floors import SECTIONS
from aetui.diagnosis.outputs import Output, take_apart
from aetui.diagnosis.width import find_code
from aetui.gauges.floors import floors
from aetui.models.base import evaluating
from aetui.models.errors import first_line
from aetui.training.interface import PROBE_ROWS, SAMPLES, Predicted, Rows, spread
from aetui.training.losses import Objective
from aetui.watching.aside import Aside
from aetui.watching.divergence import KlOf, checked_kl, kl_of, told_kl

_LEAST_KL = 0.02
"""Nats of a row from which the KL of the probe rows says what it weighs; that of a collapsed code is noise."""
_MOVED = 0.5
"""Share by which its weight has to differ to be another, as with a warm-up; probe rows are not those of the batch."""
_LIBRARY_WRAPPERS = ("_orig_mod", "module", "_original_module")
"""Where `torch.compile`, the data-parallel wrappers and Fabric keep the module that the user wrote."""
_LIBRARIES = ("torch", "lightning", "lightning_fabric")


def unwrapped(module: nn.Module) -> nn.Module:
    """The module that the user wrote, within what PyTorch or Fabric put around it."""
    while type(module).__module__.partition(".")[0] in _LIBRARIES:
        inner = next((found for name in _LIBRARY_WRAPPERS if (found := vars(module).get(name) or
                      module._modules.get(name)) is not None), None)  # fmt: skip
        if not isinstance(inner, nn.Module):
            break
        module = inner
    return module


def rows_of(values: Any, name: str, module: nn.Module) -> Tensor:
    """An array or a tensor as the module takes it: on its device, floating-point rows in its precision.

    Raises:
        TypeError, ValueError: it is no array of rows; one sentence.
    """
    if not isinstance(values, Tensor):
        try:
            values = torch.from_numpy(np.array(values, order="C"))
        except (TypeError, ValueError):
            text = f"{name}: {type(values).__name__} is not allowed; it takes a tensor or an array, [rows, ...]"
            raise TypeError(text) from None
    if values.ndim < 1 or len(values) < 2 or not values.numel():
        raise ValueError(f"{name}: shape {list(values.shape)} is not allowed; it takes at least two rows, [rows, ...]")
    first = next((one for one in module.parameters() if one.is_floating_point()), None)
    if first is not None:
        values = values.to(first.device, first.dtype if values.is_floating_point() else values.dtype)
    return values.detach()


class WatchedMeasured:
    """What gauges and diagnosis look at."""

    held_out = None
    build_optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None
    """Set once the optimizer is known."""
    rest: Callable[[], Tensor | float | None] = staticmethod(lambda: None)
    first_rest: Callable[[], Tensor | float | None] = staticmethod(lambda: None)
    """What the last loss is besides its reconstruction, and what the first was."""

    def __init__(
        self,
        module: nn.Module,
        probe: Tensor,
        aside: Aside,
        *,
        loss: str | Callable[..., Tensor] | None,
        target: Any,
        reconstruct: Callable[..., Any] | None,
        code: Callable[..., Any] | str | None,
        kl: bool | KlOf,
    ) -> None:
        """Raises:
        TypeError, ValueError: the module can't take the rows, or another argument does not fit; one sentence.
        """
        self.module = module
        self._aside = aside
        self._reconstruct, self._code, self._kl = reconstruct, code, checked_kl(kl)
        self.loss = loss
        self._loss = None if loss is None else losses.resolve(loss)
        chosen = torch.from_numpy(spread(len(probe), PROBE_ROWS)).to(probe.device)
        inputs = probe[chosen]
        targets = inputs
        if callable(target):
            with self._beside():
                targets = rows_of(target(inputs), "target", module)
        elif target is not None:
            targets = rows_of(target, "target", module)
            if len(targets) != len(probe):
                raise ValueError(
                    f"target: {len(targets):,} rows, and probe has {len(probe):,}; they have to be as many"
                )
            targets = targets[chosen]
        self.shape = targets.shape
        self._weight: float | None = None
        self.probe = Rows(inputs, targets.flatten(1))
        self.device = inputs.device
        few = torch.from_numpy(spread(len(inputs), SAMPLES)).to(inputs.device)
        self.samples = Rows(
            inputs[few], self.probe.targets[few], titles=tuple(f"probe row {index}" for index in few.tolist())
        )
        found = self._tried(inputs[:2])
        self.probe = replace(self.probe, shape=tuple(found.reconstruction.shape[1:]))
        first = self.predict(self.samples).kl
        self._kl_at_first = 0.0 if first is None else float(first.sum())
        self.variational = bool(kl) or found.variational
        self.has_code = code is not None or found.mean is not None
        self.parts_of = _described(found, reconstruct, code)
        """What was taken as what, for the journal."""

    def _tried(self, rows: Tensor) -> Output:
        """One forward, so that what can't be measured is said at once."""
        try:
            with self._beside():
                found, made = self._output(rows)
        except Exception as error:
            shape = list(rows.shape[1:])
            raise ValueError(
                f"probe: the model can't be measured on rows of shape {shape}: {first_line(error)}"
            ) from error
        size, wanted = found.reconstruction[0].numel(), self.shape[1:].numel()
        if found.reconstruction.shape[0] != len(rows) or size != wanted:
            raise ValueError(
                f"probe: the model makes {list(found.reconstruction.shape)} of {len(rows)} rows, which can't be "
                f"compared with targets of {wanted} values; target= gives others, reconstruct= gets another output"
            )
        try:
            with self._beside():
                self._kl_of(rows, found, made)
        except Exception as error:
            raise ValueError(f"kl: it can't be measured: {first_line(error)}") from error
        return found

    def _kl_of(self, rows: Tensor, found: Output, code: Tensor | None) -> Tensor | None:
        if self._kl is None:
            return told_kl(found)
        return kl_of(self._kl, self.module, rows, None if code is None else code.shape[1])

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Eval mode without gradients, and nothing left behind."""
        if self._aside.entered:
            with evaluating(self.module):
                yield
        else:
            with self._aside, evaluating(self.module):
                yield

    def _output(self, rows: Tensor) -> tuple[Output, Tensor | None]:
        """What the module makes of rows, and the code."""
        kept: list[Any] = []
        hook = None
        if isinstance(self._code, str):
            # Not on the training's path: it is gone before the next step.
            part = self.module.get_submodule(self._code)
            hook = part.register_forward_hook(lambda _module, _inputs, made: kept.append(made))
        try:
            raw = self.module(rows) if self._reconstruct is None else self._reconstruct(self.module, rows)
        finally:
            if hook is not None:
                hook.remove()
        found = take_apart(raw, torch.Size([len(rows), *self.shape[1:]]))
        if hook is not None:
            return found, self._checked(kept[-1] if kept else None, len(rows))
        made = self._code(self.module, rows) if callable(self._code) else found.mean
        return found, self._checked(made, len(rows))

    def _checked(self, made: Any, rows: int) -> Tensor | None:
        if isinstance(made, list | tuple):
            made = next((part for part in made if isinstance(part, Tensor)), None)
        if made is None:
            return None
        if not isinstance(made, Tensor) or len(made) != rows:
            raise TypeError("code= has to return a tensor with one row for each row that it is given")
        return made.detach().flatten(1).float()

    def predict(self, rows: Rows) -> Predicted:
        with self._beside():
            found, code = self._output(rows.inputs)
            output = self._compared(found.reconstruction.detach().reshape(len(rows.targets), -1))
            try:
                kl = self._kl_of(rows.inputs, found, code)
            except Exception:  # noqa: BLE001 - it was tried when the watching began, and other figures do without
                kl = None
            if kl is not None:
                self._weigh(float(kl.sum()), self.rest())
            return Predicted(output, code, self._mean_loss(found, rows), kl)

    @property
    def kl_weight(self) -> float | None:
        """As far as the loop tells its reconstruction from its loss: their difference over the KL of the probe rows."""
        if self._weight is None:
            self._weigh(self._kl_at_first, self.first_rest())
        return self._weight or None

    def weigh(self, weight: float) -> None:
        """Take this for the weight of the KL, until the loop tells its reconstruction."""
        self._weight = weight

    def _weigh(self, kl: float, rest: Tensor | float | None) -> None:
        """Take note of the KL of a row, in nats, and of what the loss has besides its reconstruction at that time."""
        if rest is None or kl < _LEAST_KL:
            return
        weight = float(rest) / kl
        if self._weight is None or abs(weight - self._weight) > _MOVED * abs(self._weight):
            self._weight = weight

    def _mean_loss(self, found: Output, rows: Rows) -> float | None:
        if self._loss is None:
            return None
        target = rows.targets.reshape(self._shape_of(rows))
        try:
            return float(self._loss.call(found.reconstruction.reshape(target.shape), target))
        except Exception:  # noqa: BLE001 - a loss of the user's own may take other arguments
            return None

    def _shape_of(self, rows: Rows) -> torch.Size:
        return torch.Size([len(rows.inputs), *self.shape[1:]])

    def _compared(self, output: Tensor) -> Tensor:
        return output if self._loss is None else self._loss.probabilities(output)

    def errors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        with self._beside():
            found, _ = self._output(rows.inputs)
            output = found.reconstruction.detach().reshape(len(rows.targets), -1)
            objective = self._objective
            if objective is not None:
                return self._compared(output), objective.reduce(objective.elementwise(output, rows.targets))
            return self._compared(output), (self._compared(output) - rows.targets).float().square().mean(1)

    def gradients(self) -> Mapping[str, Tensor] | None:
        named = {name: one.grad for name, one in self.module.named_parameters() if one.grad is not None}
        return {name: grad.to_dense() if grad.is_sparse else grad for name, grad in named.items()} or None

    def finale(self) -> str:
        return ""

    # --- floors ---------------------------------------------------------------------------------

    @cached_property
    def _objective(self) -> Objective | None:
        """The loss as a spec has it, where it is one of those."""
        known = self._loss
        if known is None or (section := SECTIONS.get(known.kind)) is None:
            return None
        plain = getattr(known.call, "reduction", "mean") == "mean" and getattr(known.call, "weight", None) is None
        if not known.named and not plain:
            return None
        return Objective(section(reduction="sum" if known.summed else "mean"))

    @cached_property
    def width(self) -> int | None:
        """Of the code, None where it is not known."""
        few = self.probe.inputs[:8]
        with self._beside():
            _, code = self._output(few)
        if code is not None:
            return code.shape[1]
        if self._reconstruct is not None or not few.is_floating_point():
            return None
        try:
            found = find_code(self.module, len(few), few.device, lambda copy: take_apart(copy(few.clone()), few.shape))
            return None if found is None else found.width
        except Exception:  # noqa: BLE001 - a module that can't be copied or looked into
            return None

    @property
    def floors(self) -> p.Floors:
        return self._floors

    @cached_property
    def _floors(self) -> p.Floors:
        targets = self.probe.targets
        known, objective = self._loss, self._objective
        times = None if known is None else getattr(known.call, "times", None)
        if known is not None and times is not None:
            objective = Objective(SECTIONS[known.kind]())
        if objective is None or not targets.is_floating_point():
            return p.Floors()
        found = floors(targets, objective, self.width or 1)
        found = found if self.width else p.Floors(mean=found.mean, entropy=found.entropy)
        if times is None:
            return found
        mean, linear, entropy = (
            None if one is None else one * times for one in (found.mean, found.linear, found.entropy)
        )
        return msgspec.structs.replace(found, mean=mean, linear=linear, entropy=entropy)


def _described(found: Output, reconstruct: object, code: object) -> str:
    """What was taken for reconstruction and code."""
    output = "what reconstruct= returns" if reconstruct is not None else "what the model returns"
    if found.raw is not found.reconstruction and reconstruct is None:
        output = f"the part of shape {list(found.reconstruction.shape[1:])} of what the model returns"
    if isinstance(code, str):
        where = f"what {code} returns"
    elif code is not None:
        where = "what code= returns"
    elif found.mean is not None:
        where = "the mean that the model returns"
    else:
        return f"reconstruction: {output}; code: not known, code= says how to get it"
    return f"reconstruction: {output}; code: {where}"
