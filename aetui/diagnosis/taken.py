"""What of a step is taken as what: reconstruction, target, mask, code, mean and log-variance, with where from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis.parted import Gaussian, Parts, parts_of
from aetui.diagnosis.paths import Path, item_text, items_of
from aetui.diagnosis.touched import DATA, WEIGHTS, Comparison, Touch, as_mask
from aetui.report import Taken

Step = Callable[[nn.Module, Any], Any]

_TOTALS = ("loss", "total_loss", "total", "objective", "loss_total", "train_loss", "elbo_loss", "cost", "neg_elbo")


class StepError(ValueError):
    """A step that returned no loss; one sentence."""


@dataclass
class Look:
    """One step as it was watched.

    raw: what the model's own forward returned, None where it was not called. main: the comparison of the
    reconstruction with its target, None where there is none. parts: the loss taken apart.
    """

    touch: Touch
    raw: Any
    loss: Tensor
    main: Comparison | None
    parts: Parts

    @property
    def gaussian(self) -> Gaussian | None:
        return self.parts.gaussian

    @property
    def exchanged(self) -> tuple[str, str]:
        """Name and line of a loss that is given output and target in each other's place, '' for none."""
        return (self.main.function, self.main.line) if self.main is not None and self.main.exchanged else ("", "")


@dataclass(frozen=True)
class Judged:
    """A reconstruction beside its target as the loss compares them, both [rows, features].

    mask: 1 where the loss looks, the same shape, None where it looks everywhere.
    """

    made: Tensor
    wanted: Tensor
    mask: Tensor | None = None


@contextmanager
def touching(model: nn.Module, touch: Touch) -> Iterator[list[Any]]:
    """Watch what the model computes, module by module; yields the list of what its own forward returns."""
    names = {module: name for name, module in model.named_modules()}
    returned: list[Any] = []

    def enter(module: nn.Module, _given: object) -> None:
        touch.stack.append(names[module])

    def leave(module: nn.Module, _given: object, output: Any) -> None:
        touch.stack.pop()
        if module is model:
            returned.append(output)
        elif isinstance(output, Tensor):
            touch.outputs[id(output)] = names[module]

    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        with touch:
            yield returned
    finally:
        for hook in hooks:
            hook.remove()


def look(
    model: nn.Module, batch: Any, step: Step, instead: tuple[int, Callable[[Tensor, Tensor], Tensor]] | None = None
) -> Look:
    """Run a step on a batch and watch it.

    Raises:
        StepError: it returned no loss.
    """
    touch = Touch(batch, list(model.parameters()), instead)
    with touching(model, touch) as returned:
        loss, named = loss_of(step(model, batch))
    main = main_comparison(touch, loss)
    parts = parts_of(touch, loss, None if main is None else main.number, named)
    return Look(touch, returned[-1] if returned else None, loss, main, parts)


def loss_of(returned: Any) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """The loss, 0-dim, and further single numbers by name, in what a step returned.

    Raises:
        StepError: there is no loss in it.
    """
    if isinstance(returned, Tensor):
        return _single(returned), []
    items: list[tuple[str, Any]] = []
    if isinstance(returned, Mapping):
        items = [(str(key), value) for key, value in returned.items()]
    elif dataclasses.is_dataclass(returned) and not isinstance(returned, type):
        items = [(field.name, getattr(returned, field.name)) for field in dataclasses.fields(returned)]
    elif hasattr(returned, "_asdict"):
        items = [(str(key), value) for key, value in cast(Any, returned)._asdict().items()]
    elif isinstance(returned, list | tuple):
        items = [("" if place else "loss", value) for place, value in enumerate(returned)]
        if items and isinstance(items[0][1], Mapping | list | tuple):
            return loss_of(items[0][1])
    elif hasattr(returned, "__dict__"):
        items = list(vars(returned).items())
    numbers = [(name, value) for name, value in items if isinstance(value, Tensor) and value.numel() == 1]
    lowered = {name.lower(): value for name, value in reversed(numbers)}
    total = next((lowered[name] for name in _TOTALS if name in lowered), None)
    if total is None:
        trained = [value for _, value in numbers if value.requires_grad]
        if len(trained) != 1:
            known = ", ".join(repr(name) for name, _ in items[:6] if name)
            what = f"a {type(returned).__name__}" + (f" with {known}" if known else "")
            raise StepError(
                f"step: it returned {what}, in which the loss can't be told; it has to return the loss, a tuple "
                "with it first, or a mapping with it as 'loss'"
            )
        total = trained[0]
    return _single(total), [(name, value) for name, value in numbers if value is not total and name]


def _single(loss: Tensor) -> Tensor:
    if not loss.is_floating_point():
        raise StepError(f"step: its loss is of type {loss.dtype}; it has to be a floating-point number")
    return loss if loss.ndim == 0 else loss.mean()


def main_comparison(touch: Touch, loss: Tensor) -> Comparison | None:
    """The comparison with the data that the loss depends on and that nothing compared later is made from."""
    reached = touch.compared_in(loss)
    found = [one for one in touch.comparisons if reached >> one.number & 1]
    last = [one for one in found if not any(touch.compared_in(other.made) >> one.number & 1 for other in found)]

    def weight(one: Comparison) -> tuple[bool, bool, int, bool]:
        size = one.made.numel()
        return bool(touch.depends(one.wanted) & DATA), one.wanted.is_floating_point(), size, one.named

    return max(last, key=weight, default=None)


# --- judging ----------------------------------------------------------------------------------------


def judged(touch: Touch, main: Comparison, rows: int) -> Judged:
    """The reconstruction and its target, rows first, as they are judged."""
    made, wanted, mask = whole(touch, main)
    made, wanted = made.detach(), wanted.detach()
    if main.function in ("cross_entropy", "nll_loss") and not wanted.is_floating_point():
        classes = made.softmax(1) if main.function == "cross_entropy" else made.exp()
        hot = F.one_hot(wanted.clamp(min=0).long(), made.shape[1]).to(made.dtype)
        return Judged(_table(classes.movedim(1, -1), rows), _table(hot, rows), None)
    if main.function == "binary_cross_entropy_with_logits":
        made = made.sigmoid()
    if made.shape != wanted.shape:
        made = fitted(made, wanted)
    if mask is not None and mask.shape != wanted.shape:
        mask = mask.reshape(wanted.shape) if mask.numel() == wanted.numel() else None
    table = None if mask is None else _table(mask, rows)
    return Judged(_table(made, rows), _table(wanted.to(made.dtype), rows), table)


def whole(touch: Touch, main: Comparison) -> tuple[Tensor, Tensor, Tensor | None]:
    """The tensors before a mask picked entries from both of them."""
    made, wanted = touch.records.get(id(main.made)), touch.records.get(id(main.wanted))
    if (
        made is None
        or wanted is None
        or made.name != wanted.name
        or made.name not in ("getitem", "mul", "masked_select")
    ):
        return main.made, main.wanted, main.mask
    pairs = [(one, other) for one in made.tensors for other in wanted.tensors if one is other]
    for shared, _ in pairs:
        output = next((one for one in made.tensors if one is not shared), None)
        target = next((one for one in wanted.tensors if one is not shared), None)
        mask = None if output is None else as_mask(shared, output)
        if output is not None and target is not None and mask is not None and output.shape == target.shape:
            return output, target, mask
    return main.made, main.wanted, main.mask


def _table(values: Tensor, rows: int) -> Tensor:
    """[rows, features], whichever dimension the rows are in; entries of no single row are rows themselves."""
    if values.ndim == 0:
        return values.reshape(1, 1)
    if values.shape[0] != rows:
        place = next((place for place, size in enumerate(values.shape) if size == rows and rows > 1), None)
        if place is not None and values.ndim > 1:
            values = values.movedim(place, 0)
        elif values.numel() % rows == 0 and values.ndim <= 2:
            values = values.reshape(rows, -1)
    return values.reshape(len(values), -1)


def fitted(made: Tensor, wanted: Tensor) -> Tensor:
    """An output in the shape of its target, spread over it where it has fewer values."""
    if made.shape == wanted.shape:
        return made
    if made.numel() == wanted.numel():
        return made.reshape(wanted.shape)
    try:
        return made.expand(wanted.shape)
    except RuntimeError:
        while made.ndim > wanted.ndim and 1 in made.shape[1:]:
            made = made.squeeze(1 + list(made.shape[1:]).index(1))
        if made.numel() == wanted.numel():
            return made.reshape(wanted.shape)
        return made.flatten(1).mean(1).reshape(-1, *[1] * (wanted.ndim - 1)).expand(wanted.shape)


# --- in words ---------------------------------------------------------------------------------------


def path_to(touch: Touch, raw: Any, tensor: Tensor) -> Path | None:
    """The way to the item of what forward returned that a tensor was made from; None where it is none of them."""
    places = {id(one): path for path, one in reversed(list(items_of(raw)))}
    return next((places[id(one)] for one, _ in touch.chain(tensor) if id(one) in places), None)


def source_of(touch: Touch, raw: Any, batch: Mapping[int, str], tensor: Tensor) -> str:
    """Where a tensor comes from, in words."""
    places = {id(one): path for path, one in reversed(list(items_of(raw)))}
    kind = "tuple" if isinstance(raw, tuple) else "list" if isinstance(raw, list) else "output"
    for one, through in touch.chain(tensor):
        after = f", after {through}" if through else ""
        if id(one) in batch:
            return f"{batch[id(one)]}{after}"
        if id(one) in places:
            inside = f"forward's {kind}" if places[id(one)] else "what forward returns"
            return f"{item_text(places[id(one)], inside)}{after}"
        if touch.outputs.get(id(one)):
            return f"what {touch.outputs[id(one)]} returns{after}"
    record = touch.records.get(id(tensor))
    where = f" in {record.module}" if record is not None and record.module else ""
    return f"computed{where}" if touch.depends(tensor) & WEIGHTS else f"computed from the batch{where}"


def batch_names(batch: Any, inside: str = "the batch") -> dict[int, str]:
    """The tensors of a batch in words, by id."""
    return {id(one): item_text(path, inside) for path, one in items_of(batch)}


def statement(found: Look, names: Mapping[int, str]) -> tuple[Taken, ...]:
    """What was taken as what in a step, in words."""
    touch, main = found.touch, found.main
    rows: list[Taken] = []
    if main is not None:
        wanted = source_of(touch, found.raw, names, main.wanted)
        act = f"in {main.function}" if main.named else "by a difference"
        act = "in a cross-entropy" if main.function == "log" else act
        made = source_of(touch, found.raw, names, main.made)
        rows.append(_taken("reconstruction", main.made, f"{made}, compared with the target {act}"))
        rows.append(_taken("target", main.wanted, wanted))
        mask = whole(touch, main)[2]
        if mask is not None:
            rows.append(_taken("mask", mask, "a factor of 0 and 1 on the error"))
    if found.gaussian is not None:
        for role, one, more in (
            ("mean", found.gaussian.mean, ""),
            ("log-variance", found.gaussian.spread,
             "" if found.gaussian.form == "log-variance" else f", as {found.gaussian.form}"),
        ):  # fmt: skip
            source = source_of(touch, found.raw, {}, one)
            rows.append(_taken(role, one, f"{source}{more}; the loss has their KL"))
    return tuple(rows)


def _taken(role: str, tensor: Tensor, source: str) -> Taken:
    return Taken(role=role, shape=tuple(tensor.shape), source=source)
