"""`aetui.watch`: where the watching of a training loop of the user's own begins."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from aetui.runs.folder import NameRefused, RunError, RunFolder
from aetui.watching import logs, prepared, ranks, rates
from aetui.watching.aside import Aside
from aetui.watching.following import FollowerRun
from aetui.watching.measured import WatchedMeasured, rows_of, unwrapped
from aetui.watching.run import Run
from aetui.watching.stored import LOADER
from aetui.watching.training import WatchedTraining

_watched: weakref.WeakValueDictionary[int, Run] = weakref.WeakValueDictionary()
"""The runs that are watched, by the number of their model."""
_numbers = itertools.count()
"""Of the trainings that are watched, equal in all processes that run the same script."""


def watch(
    model: nn.Module,
    probe: Any = None,
    *,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    scheduler: Any = None,
    scaler: Any = None,
    loader: Any = None,
    loss: str | Callable[..., Tensor] | None = None,
    target: Any = None,
    reconstruct: Callable[..., Any] | None = None,
    code: Callable[..., Any] | str | None = None,
    kl: bool | Callable[..., Tensor] = False,
    name: str | None = None,
) -> Run:
    """Watch and steer a training loop of your own; `aetui attach` shows it, and nothing of the loop changes.

    With `AETUI_WATCH=0` in the environment nothing happens.

    Args:
        model: what is trained. Its forward takes rows and returns the reconstruction, or a tuple or mapping with it.
        probe: rows to measure on, [rows, ...], as the model takes them; up to 2,048 of them are used.
        optimizer: one or several; the first that steps parameters of the model unless given.
        scheduler: one or several, where they are not PyTorch's; PyTorch's are found.
        scaler: a `torch.amp.GradScaler`, saved and put back with the rest.
        loader: one with a `state_dict`, saved and put back; also how many steps make an epoch.
        loss: reconstruction loss, by name or as a callable `(output, target)`; for the floors and the diagnosis.
        target: what the output is compared with, rows or a callable on the probe rows; the probe rows unless given.
        reconstruct: `(model, rows)` to the output, where the forward takes something else.
        code: `(model, rows)` to the code, or the name of the submodule that makes it.
        kl: whether the code is a distribution, or `(model, rows)` to its KL in nats: of each row and unit, of each
            unit, of each row, or the total.
        name: of the run.

    Raises:
        TypeError, ValueError: an argument does not fit, or the model is watched already; one sentence.
    """
    if prepared.off():
        return Run(None, None)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: {type(model).__name__} is not allowed; it takes a torch.nn.Module")
    module = unwrapped(model)
    running = _watched.get(id(module))
    if running is not None and not running.closed:
        raise ValueError(f"this model is watched already, by the run {running.name}; close() it first")
    if probe is None:
        raise TypeError("probe: it takes rows to measure the model on, such as some of the validation data")
    optimizers = _listed(optimizer)
    for one in optimizers:
        if not isinstance(one, torch.optim.Optimizer):
            raise TypeError(f"optimizer: {type(one).__name__} is not allowed; it takes a torch.optim.Optimizer")
    optimizers = [rates.own(one) for one in optimizers]
    for word, given in (("scaler", scaler), *(("scheduler", one) for one in _listed(scheduler))):
        if given is not None and not callable(getattr(given, "state_dict", None)):
            raise TypeError(f"{word}: {type(given).__name__} is not allowed; it has no state_dict")
    others = {word: one for word, one in (("scaler", scaler), (LOADER, loader)) if _has_state(one)}
    place, number = ranks.place(), next(_numbers)
    if ranks.sharded(module):
        if place is None or place.rank == 0:
            logs.say(f"the model is not watched: {ranks.NOT_WHOLE}")
        return Run(None, None)
    if place is not None and place.rank:
        _watched[id(module)] = run = FollowerRun(place, number)
        return run.follow(module, optimizers, _listed(scheduler), others)
    aside = Aside(module)
    with nullcontext() if place is None else ranks.Alone():
        measured = WatchedMeasured(
            module, rows_of(probe, "probe", module), aside,
            loss=loss, target=target, reconstruct=reconstruct, code=code, kl=kl,
        )  # fmt: skip
    ready = prepared.taken() or prepared.Prepared()
    try:
        folder = _folder(name, place, number) if ready.folder is None else RunFolder(ready.folder)
    except NameRefused as error:
        raise ValueError(f"name: {error}") from None
    except RunError as error:
        logs.say(f"the run is not stored, and no screen can attach: {error}")
        folder = None
    run = Run(folder, name, number)
    training = WatchedTraining(module, measured, aside, others, run._say)
    training.output = ready.output
    if loader is not None and hasattr(loader, "__len__") and len(loader):
        training.steps.per_epoch = len(loader)
    run._begin(training, optimizers, _listed(scheduler), ready.began)
    _watched[id(module)] = run
    return run


def _folder(name: str | None, place: ranks.Place | None, number: int) -> RunFolder:
    """A new folder; where the launcher has started the processes again, under the name that the run had before.

    Raises:
        RunError: it can't be made.
    """
    if place is None:
        return RunFolder.create(name)
    if before := ranks.kept_name(number):
        name = before
        with suppress(RunError):
            RunFolder.find(before).rename(f"{before}.{ranks.restarts()}")
    folder = RunFolder.create(name)
    ranks.keep_name(number, folder.name)
    return folder


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _has_state(one: Any) -> bool:
    return callable(getattr(one, "state_dict", None)) and callable(getattr(one, "load_state_dict", None))
