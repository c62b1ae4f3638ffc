"""Which forks an experiment has: controls, remedies, the user's edits, combinations, and a draw of random search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aetui.report import Remedy, Report
from aetui.spec import Problem, RunSpec, SpecError, changed, differences
from aetui.spec.change import value_text
from aetui.whatif.experiment import Change, Described, Fork, Origin
from aetui.whatif.judging import standing

FORKS = 8
"""Forks of an experiment at most, where the user names no more edits than leave room."""
LENGTH = ("train.steps", "train.epochs")
"""Settings of how long a run is; nothing is combined with these, since it would be compared at another step."""
UNTOUCHED, REORDERED = "untouched", "reordered"


def change_of(
    spec: RunSpec,
    values: Mapping[str, Any],
    origin: Origin,
    *,
    text: bool = False,
    remedy: Remedy | None = None,
    cause: str = "",
    remedies: tuple[str, ...] = (),
) -> Change | None:
    """What setting `values`, by path, changes of a spec; None where it changes nothing.

    Raises:
        SpecError: a path or a value is refused.
    """  # fmt: skip
    new = changed(spec, values, text=text)
    found = differences(spec, new)
    if not found:
        return None
    return Change(
        origin=origin,
        settings=tuple(found),
        values={path: value_text(new, path) for path in values},
        text="" if remedy is None else remedy.text,
        cause=cause,
        remedies=remedies or (() if remedy is None else (remedy.id,)),
    )


def remedies_of(spec: RunSpec, report: Report | None) -> tuple[list[Change], list[Described]]:
    """The remedies of a report that settings make, best first, and those that only code does."""
    changes: list[Change] = []
    described: list[Described] = []
    for finding in report.findings if report is not None else ():
        for remedy in finding.remedies:
            change = remedy_change(spec, remedy, finding.cause)
            if change is None:
                described.append(_described(finding.cause, remedy))
            elif all(change.values != other.values for other in changes):
                changes.append(change)
    return changes, described


def remedy_change(spec: RunSpec, remedy: Remedy, cause: str = "") -> Change | None:
    """What a remedy changes of a spec; None where no setting makes it, or the spec does not take it."""
    try:
        return change_of(spec, remedy.set, "remedy", remedy=remedy, cause=cause) if remedy.set else None
    except SpecError:
        return None


def _described(cause: str, remedy: Remedy) -> Described:
    return Described(remedy=remedy.id, cause=cause, text=remedy.text, code=remedy.line or remedy.python)


def edits_of(spec: RunSpec, edits: Iterable[Mapping[str, str]]) -> list[Change]:
    """The user's own edits, each the settings of one fork as text by path.

    Raises:
        SpecError: a path or a value is refused, or an edit changes nothing.
    """
    found = []
    for edit in edits:
        change = change_of(spec, edit, "user", text=True)
        if change is None:
            named = ", ".join(f"{path}={value}" for path, value in edit.items())
            raise SpecError([Problem("--set", f"{named} changes nothing: it is in force already")])
        found.append(change)
    return found


def combination(spec: RunSpec, forks: Sequence[Fork], symptom: str) -> Change | None:
    """The two best changes in one, where none fixes the run alone; None where there are no two that go together."""
    tried = [fork for fork in forks if not fork.control and fork.change.origin in ("remedy", "user")]
    if any(fork.verdict == "fixes it" for fork in tried):
        return None
    sound = ("helps", "no effect", "not told from noise")
    fit = [fork for fork in tried if fork.full is not None and fork.verdict in sound]
    fit = [fork for fork in fit if not fork.change.values.keys() & {*LENGTH}]
    fit.sort(key=lambda fork: standing(fork.full, symptom), reverse=True)
    for index, second in enumerate(fit[1:], 1):
        for first in fit[:index]:
            if first.change.values.keys() & second.change.values.keys():
                continue
            values = {**second.change.values, **first.change.values}
            try:
                change = change_of(
                    spec, values, "combination", text=True, remedies=(*first.change.remedies, *second.change.remedies)
                )
            except SpecError:
                continue
            if change is not None and all(change.values != fork.change.values for fork in forks):
                return change
    return None


# --- random search ------------------------------------------------------------------------------

_Draw = Callable[[np.random.Generator, RunSpec], Any]


def _around(low: float, high: float) -> _Draw:
    return lambda rng, _: float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.2g}")


def _one_of(*choices: Any) -> _Draw:
    return lambda rng, _: choices[int(rng.integers(len(choices)))]


def _times(path: str, *factors: float) -> _Draw:
    section, _, name = path.partition(".")

    def draw(rng: np.random.Generator, spec: RunSpec) -> Any:
        present = getattr(getattr(spec, section), name, 0)
        value = present * factors[int(rng.integers(len(factors)))]
        return max(1, round(value)) if isinstance(present, int) else value

    return draw


SPACE: dict[str, _Draw] = {
    "optim.lr": _around(1e-5, 1.0),
    "optim.kind": _one_of("adam", "adamw", "sgd", "rmsprop"),
    "optim.weight_decay": _one_of(0.0, 1e-4, 1e-2),
    "optim.eps": _one_of(1e-8, 1e-4),
    "optim.momentum": _one_of(0.0, 0.9),
    "clip.kind": _one_of("none", "global"),
    "clip.threshold": _around(0.1, 100.0),
    "schedule.kind": _one_of("constant", "warmup", "cosine"),
    "loss.kind": _one_of("mse", "huber", "bce", "bce-logits"),
    "loss.reduction": _one_of("mean", "sum"),
    "loss.l1_code": _times("loss.l1_code", 0.0, 0.1),
    "data.scaling": _one_of("none", "standardize", "minmax", "center"),
    "data.non_finite": _one_of("mean"),
    "model.output_activation": _one_of("linear", "sigmoid", "tanh"),
    "model.activation": _one_of("relu", "leaky_relu", "elu", "gelu", "tanh"),
    "model.code_activation": _one_of("linear", "tanh", "leaky_relu"),
    "model.code": _times("model.code", 0.5, 2.0),
    "model.noise": _times("model.noise", 0.0, 0.1),
    "model.dropout": _times("model.dropout", 0.0, 0.5),
    "model.kl_weight": _times("model.kl_weight", 0.01, 0.1, 10.0),
    "model.kl_warmup": _one_of(0, 200, 1000),
    "model.batch_norm": _one_of(True, False),
    "init.kind": _one_of("pytorch", "keras", "he-normal", "xavier-normal", "orthogonal"),
    "init.gain": _one_of(1.0),
    "train.batch_size": _one_of(16, 64, 256),
    "train.dtype": _one_of("float32"),
}
"""What random search draws from: the settings that remedies set, over the values that people try."""

MOST = 3
"""Settings at most that one draw changes."""


def random_change(spec: RunSpec, rng: np.random.Generator) -> Change:
    """One draw of random search: one to MOST settings of SPACE, of those that the spec has."""
    while True:
        count = int(rng.integers(1, MOST + 1))
        names = rng.permutation(np.array(list(SPACE)))
        values: dict[str, Any] = {}
        for path in map(str, names):
            if len(values) == count:
                break
            drawn = {**values, path: SPACE[path](rng, spec)}
            try:
                if differences(changed(spec, values), changed(spec, drawn)):
                    values = drawn
            except SpecError:
                continue
        change = change_of(spec, values, "random")
        if change is not None:
            return change


# --- names --------------------------------------------------------------------------------------


def named(changes: Iterable[Change], taken: Iterable[str] = ()) -> Iterator[tuple[str, Change]]:
    """Changes with a name each that none of the others has: a remedy's id, `edit-1`, `random`."""
    used = set(taken)
    for change in changes:
        stem, number = _stem(change), 1
        name = f"{stem}-1" if change.origin == "user" else stem
        while name in used:
            number += 1
            name = f"{stem}-{number}"
        used.add(name)
        yield name, change


def _stem(change: Change) -> str:
    if change.origin == "user":
        return "edit"
    return "+".join(change.remedies) or ("both" if change.origin == "combination" else change.origin)


def controls(step: int, *, anew: bool, tweaked: bool) -> list[tuple[str, int, Change]]:
    """The controls of an experiment: name, the step that each leaves from, and what it changes.

    Args:
        step: that live changes leave from.
        anew: whether some forks are trained anew from step 0.
        tweaked: whether training anew without a change is not the run.
    """
    untouched, reordered = Change(origin="untouched"), Change(origin="reordered")
    found = [(UNTOUCHED, step, untouched), (REORDERED, step, reordered)]
    if step and anew:
        if tweaked:
            found.append((f"{UNTOUCHED}-anew", 0, untouched))
        found.append((f"{REORDERED}-anew", 0, reordered))
    return found
