"""What can be set in a loop that its author wrote: what the optimizer's groups hold, and clipping."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import torch
from torch import Tensor

from aetui import protocol as p
from aetui.spec import sections as s
from aetui.spec.errors import Problem, SpecError, nearest
from aetui.spec.fields import Field, fields_of, kind_of, variants
from aetui.training.setting_table import of_field, of_kind
from aetui.watching import rates

_ADAM, _SGD, _CLIP = fields_of(s.Adam), fields_of(s.Sgd), fields_of(s.GlobalNorm)
_FIELDS: dict[str, Field] = {
    "lr": dataclasses.replace(_ADAM["lr"], type=msgspec.structs.replace(_ADAM["lr"].type, ge=None, gt=0)),
    "weight_decay": _ADAM["weight_decay"],
    "momentum": _SGD["momentum"],
    "beta1": _ADAM["beta1"],
    "beta2": _ADAM["beta2"],
}
"""What may be set of a group, as a spec has it; a rate of 0 would have no ratio to come back by."""
_SCALED = ("lr", "weight_decay")
"""Of several groups, what is multiplied in all of them."""
_HOLD = "optim.hold"
_HELD = dataclasses.replace(
    _ADAM["amsgrad"], path=_HOLD, help="hold the learning rate against your scheduler", live=True
)
"""A switch, as any of a spec is."""
_KIND, _THRESHOLD = "clip.kind", "clip.threshold"
_KINDS: dict[str, Any] = {**variants("clip")}


class WatchedSettings:
    """The optimizers' groups, and what is done to gradients. Used by the thread that trains."""

    text = ""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` gets a sentence about something that the user's scheduler did."""
        self._say = say
        self._optimizers: list[torch.optim.Optimizer] = []
        self._given: list[Any] = []
        self.clip: s.Clip = s.NoClip()
        self.clip_chosen = False
        """Whether clipping is what somebody chose on a screen, and not what the loop asks for."""
        self._hold = False
        self._set: list[float] | None = None
        """Each group's rate as it was put in force, until the step after has it read again."""
        self._held: list[float] | None = None
        self._rates = 0.0, 0
        """Sum of the first group's rates since it was set, and of how many steps."""
        self.spread: Callable[[Mapping[str, str]], None] = lambda _changes: None
        """Has the other processes put changes in force that are so here."""

    def of(self, optimizers: Sequence[torch.optim.Optimizer], schedulers: Sequence[Any]) -> None:
        """Take the optimizers' groups for the settings; `schedulers` are those that the user named."""
        self._optimizers, self._given = list(optimizers), list(schedulers)
        self._rates = 0.0, 0

    @property
    def schedulers(self) -> list[Any]:
        """Every scheduler of the optimizers, as far as it is to be found."""
        return rates.schedulers_of(self._optimizers, self._given)

    @property
    def groups(self) -> list[rates.Group]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    # --- what is in force -----------------------------------------------------------------------

    @property
    def rate(self) -> float | None:
        groups = self.groups
        return _get(groups[_first(groups, "lr")], "lr") if groups else None

    base_rate = rate

    @property
    def mean_rate(self) -> float:
        """Of the first group's steps since its rate was set; a schedule may have brought it near 0 by now."""
        total, steps = self._rates
        return total / steps if steps else _get(self.groups[0], "lr")

    @property
    def threshold(self) -> float | None:
        return None if isinstance(self.clip, s.NoClip) else self.clip.threshold

    def table(self) -> tuple[p.Setting, ...]:
        return tuple(self._rows())

    def _rows(self) -> Iterator[p.Setting]:
        groups = self.groups
        for name, field in _FIELDS.items():
            if any(_has(group, name) for group in groups):
                text = _text(_get(groups[_first(groups, name)], name))
                many = "; scales every group and keeps their ratios" if len(groups) > 1 and name in _SCALED else ""
                yield _with_help(of_field(dataclasses.replace(field, default=msgspec.NODEFAULT), text), many)
        if groups:
            yield of_field(_HELD, _HELD.format(self._hold))
        yield of_kind("clip", self.clip)
        if self.threshold is not None:
            yield of_field(_CLIP["threshold"], _text(self.threshold))
        if len(groups) > 1:
            for index, group in enumerate(groups):
                for name, field in _FIELDS.items():
                    if _has(group, name):
                        path = f"group[{index}].{name}"
                        yield of_field(
                            dataclasses.replace(field, path=path, default=msgspec.NODEFAULT), _text(_get(group, name))
                        )

    # --- changes --------------------------------------------------------------------------------

    def check(self, changes: Mapping[str, str]) -> tuple[p.Change, ...]:
        present = {one.path: one.value for one in self.table()}
        wanted: dict[str, str] = {}
        problems: list[Problem] = []
        kind = kind_of(self.clip)
        if _KIND in changes:
            kind = changes[_KIND].strip().lower()
            if kind not in _KINDS:
                clause = f"{changes[_KIND]!r} is not allowed; it takes {', '.join(_KINDS)}"
                problems.append(Problem(_KIND, clause))
            else:
                wanted[_KIND] = kind
                if kind != "none" and _THRESHOLD not in present:
                    wanted[_THRESHOLD] = _text(_CLIP["threshold"].default)
        for path, text in changes.items():
            if path == _KIND:
                continue
            try:
                wanted[path] = self._checked(path, text, present, kind)
            except SpecError as error:
                problems += error.problems
        if problems:
            raise SpecError(problems)
        if kind == "none" and _THRESHOLD in present and _KIND in wanted:
            wanted[_THRESHOLD] = ""
        return tuple(
            p.Change(path, present.get(path, ""), text)
            for path, text in wanted.items()
            if present.get(path, "") != text
        )

    def _checked(self, path: str, text: str, present: Mapping[str, str], kind: str) -> str:
        if path == _THRESHOLD:
            if kind == "none":
                clause = "there is nothing to set while clip.kind is none; set both together"
                raise SpecError([Problem(path, clause)])
            return _text(_CLIP["threshold"].parse(text))
        if path not in present:
            raise SpecError([Problem(path, f"is not known here; {nearest(path, present)}")])
        if path == _HOLD:
            return _HELD.format(_HELD.parse(text))
        field = dataclasses.replace(_FIELDS[path.rpartition(".")[2]], path=path)
        return _text(float(field.parse(text)))

    def put_in_force(self, changes: Mapping[str, str]) -> str:
        found = {change.path: change.new for change in self.check(changes)}
        remark = ""
        for path in sorted(found, key=lambda path: path.startswith("group")):
            if path == _HOLD:
                self._hold = found[path] == "true"
                self._held = [_get(group, "lr") for group in self.groups] if self._hold else None
            elif path not in (_KIND, _THRESHOLD):
                remark += self._put(path, float(found[path]))
        if found.keys() & {_KIND, _THRESHOLD}:
            kind = _KINDS[found.get(_KIND, kind_of(self.clip))]
            threshold = found.get(_THRESHOLD) or _text(self.threshold or 1.0)
            self.clip = s.NoClip() if kind is s.NoClip else kind(threshold=float(threshold))
            self.clip_chosen = True
        self.spread(changes)
        return remark

    def _put(self, path: str, value: float) -> str:
        section, _, name = path.rpartition(".")
        groups = self.groups
        chosen = [index for index, group in enumerate(groups) if _has(group, name)]
        if section != "optim":
            chosen = [int(section.removeprefix("group[").removesuffix("]"))]
        lead = chosen[0] if section != "optim" else _first(groups, name)
        before = _get(groups[lead], name)
        if name in _SCALED and before != 0:
            after = {index: _get(groups[index], name) * (value / before) for index in chosen} | {lead: value}
        else:
            after = dict.fromkeys(chosen, value)
        if name != "lr":
            for index, new in after.items():
                _put(groups[index], name, new)
            return ""
        remark = self._scale_schedule(groups, dict.fromkeys(chosen, value / before) if before else {})
        for index, new in after.items():
            _put(groups[index], name, new)
        self._set, self._rates = [_get(group, "lr") for group in groups], (0.0, 0)
        if self._hold:
            self._held = self._set
        return remark

    def _scale_schedule(self, groups: list[rates.Group], factors: dict[int, float]) -> str:
        if not factors:
            return " (the rate in force was 0, so your schedule goes on as it was)"
        schedulers = self.schedulers
        rates.scale(
            groups,
            [factors.get(index, 1.0) for index in range(len(groups))],
            schedulers,
            [self._indices(one) for one in schedulers],
        )
        called = " and ".join(rates.names(schedulers))
        return f" ({called} goes on from there)" if called else ""

    def _indices(self, scheduler: Any) -> list[int]:
        """Which of all groups a scheduler looks after."""
        start = 0
        for optimizer in self._optimizers:
            count = len(optimizer.param_groups)
            if rates.own(getattr(scheduler, "optimizer", None)) is optimizer:
                return list(range(start, start + count))
            start += count
        return list(range(start)) if len(self._optimizers) == 1 else []

    @property
    def steered(self) -> bool:
        """Whether something that was chosen on a screen is done at each step."""
        return self.clip_chosen or self._hold

    # --- before each step -----------------------------------------------------------------------

    def before_step(self) -> None:
        """Read the rate again that was set before, and hold it where that is asked for."""
        rate = self._optimizers[0].param_groups[0].get("lr")
        if isinstance(rate, float):
            # One that is a tensor may be on a device, which nobody waits for.
            self._rates = self._rates[0] + rate, self._rates[1] + 1
        if self._set is None and self._held is None:
            return
        now = [_get(group, "lr") for group in self.groups]
        if self._set is not None and len(now) == len(self._set):
            for index, (was, found) in enumerate(zip(self._set, now, strict=True)):
                if was != found and not self._hold:
                    which = "" if len(now) == 1 else f" of group[{index}]"
                    self._say(
                        f"your scheduler changed the rate{which} from {was:.6g} to {found:.6g}; {_HOLD} true holds "
                        "what is set here"
                    )
                    break
        self._set = None
        if self._held is not None and len(now) == len(self._held):
            for group, wanted, found in zip(self.groups, self._held, now, strict=True):
                if wanted != found:
                    rates.put(group, "lr", wanted)

    # --- its state ------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            "clip": [kind_of(self.clip), self.threshold],
            "clip_chosen": self.clip_chosen,
            "hold": self._hold,
            "held": self._held,
        }

    def restore(self, state: dict[str, Any]) -> None:
        kind, threshold = state["clip"]
        self.clip = s.NoClip() if threshold is None else _KINDS[kind](threshold=threshold)
        self.clip_chosen, self._hold, self._held = state["clip_chosen"], state["hold"], state["held"]
        self._set, self._rates = None, (0.0, 0)


def _has(group: rates.Group, name: str) -> bool:
    if name in ("beta1", "beta2"):
        return isinstance(group.get("betas"), tuple | list) and len(group["betas"]) >= 2
    return isinstance(group.get(name), int | float | Tensor) and not isinstance(group.get(name), bool)


def _get(group: rates.Group, name: str) -> float:
    if name in ("beta1", "beta2"):
        return rates.number(group["betas"][name == "beta2"])
    return rates.number(group[name])


def _put(group: rates.Group, name: str, value: float) -> None:
    if name not in ("beta1", "beta2"):
        rates.put(group, name, value)
        return
    betas, at = group["betas"], int(name == "beta2")
    if isinstance(betas[at], Tensor):
        rates.put(betas, at, value)
    else:
        group["betas"] = (*betas[:at], value, *betas[at + 1 :])


def _first(groups: Sequence[rates.Group], name: str) -> int:
    """The group whose value stands for all of them: the first that is not 0."""
    having = [index for index, group in enumerate(groups) if _has(group, name)]
    return next((index for index in having if _get(groups[index], name) != 0), having[0])


def _text(value: float) -> str:
    return _ADAM["lr"].format(float(value))


def _with_help(setting: p.Setting, more: str) -> p.Setting:
    """A setting with more to its help."""
    return msgspec.structs.replace(setting, help=setting.help + more) if more else setting
