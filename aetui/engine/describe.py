"""What the engine says about a run, in words."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import torch

from aetui import data as data_
from aetui import protocol as p
from aetui.models.build import architecture
from aetui.models.custom import OwnAutoencoder
from aetui.models.errors import ForwardError, message
from aetui.models.moments import finite_range
from aetui.spec import Difference, dumps
from aetui.spec import sections as s
from aetui.spec.fields import fields_of
from aetui.training.losses import domain_warning
from aetui.training.records import Records
from aetui.training.trainer import Trainer


def run_info(trainer: Trainer, *, run: int, name: str, log: str) -> p.RunInfo:
    """The run's description at step 0."""
    spec, dataset = trainer.spec, trainer.dataset
    return p.RunInfo(
        run=run,
        name=name,
        spec=dumps(spec),
        source=dataset.source,
        architecture=trainer.model.architecture
        if isinstance(trainer.model, OwnAutoencoder)
        else architecture(spec, dataset.features, dataset.image_shape),
        code=trainer.code_width,
        parameters=trainer.flat.values.numel(),
        features=dataset.features,
        train_rows=len(dataset.train),
        validation_rows=0 if dataset.validation is None else len(dataset.validation),
        image_shape=dataset.image_shape,
        feature_names=dataset.feature_names,
        labels=dataset.classes,
        device=str(trainer.device),
        dtype=spec.train.dtype,
        goal=trainer.goal,
        floors=trainer.floors(),
        warnings=warnings(trainer),
        title=spec.about.title,
        text=f"{spec.about.text} Source: {spec.about.source}." if spec.about.source else spec.about.text,
        knobs=spec.about.knobs,
        log=log,
    )


def warnings(trainer: Trainer) -> tuple[str, ...]:
    """What the loss's domain and the data give reason to say, one sentence each, the gravest first."""
    spec, data = trainer.spec, trainer.train_data
    remark = domain_warning(spec.loss, spec.model, *finite_range(data))
    eps = getattr(spec.optim, "eps", 1.0)
    vanishes = torch.tensor(eps, dtype=trainer.dtype).item() == 0
    found = [
        remark,
        f"optim.eps {eps:g} is 0 in {spec.train.dtype}, and updates divide by it; take 1e-4" if vanishes else None,
    ]
    return (*filter(None, found), *_own_model_warnings(trainer), *trainer.dataset.warnings)


def _own_model_warnings(trainer: Trainer) -> tuple[str, ...]:
    """What a user should know of how their own model is taken."""
    section, model = trainer.spec.model, trainer.model
    if not (isinstance(section, s.OwnModel) and isinstance(model, OwnAutoencoder)):
        return ()
    if model.variational and section.kl_weight == 0:
        return (f"{model.name} returns mean and log-variance, and their KL has weight 0; model.kl_weight sets it",)
    if not model.variational and section.kl_weight:
        return (f"model.kl_weight {section.kl_weight:g} has no effect: {model.name} returns no mean and log-variance",)
    return ()


def updated(info: p.RunInfo, trainer: Trainer) -> p.RunInfo:
    """The description after a live change."""
    return msgspec.structs.replace(info, spec=dumps(trainer.spec), goal=trainer.goal, floors=trainer.floors())


def changes_text(found: list[Difference], trainer: Trainer, old_rate: float) -> str:
    """`optim.lr 0.001 -> 0.0001`, with the rate in force where a schedule makes it another."""
    text = ", ".join(map(str, found))
    fresh = any(item.path == "optim.kind" for item in found)
    if fresh:
        text += " (the new optimizer starts with fresh state)"
    rate, kind = trainer.rate, trainer.spec.schedule
    if not isinstance(kind, s.Constant) and rate != old_rate:
        factor = trainer.schedule.factor(trainer.steps, trainer.goal)
        text += f"; rate in force {rate:.3g} (schedule {kind.__struct_config__.tag} x {factor:.3g})"
    return text


def at_the_end(spec: s.RunSpec, path: str) -> str:
    """Why a key does not move a number any further."""
    section, _, name = path.partition(".")
    part, (least, most) = getattr(spec, section), p.NUDGE_ENDS
    value = fields_of(type(part))[name].format(getattr(part, name))
    return f"nothing to change: {path} is {value}; its keys move it between {least:g} and {most:,.0f}"


def first_bad(records: Records) -> int | None:
    """Index of the first step whose loss or gradient norm is not finite."""
    bad = ~(np.isfinite(records.total) & np.isfinite(records.grad_norm))
    return int(bad.argmax()) if bad.any() else None


def non_finite(step: int, page: p.History, last: tuple[int, float, float] | None, on_host: bool) -> str:
    """Where training stopped, what the last finite values were, and what became of the step's update."""
    loss, norm = float((page.total or page.loss).numpy()[0]), float(page.grad_norm.numpy()[0])
    before = "no step before it was finite"
    if last is not None:
        before = f"last finite at step {last[0]:,}: loss {last[1]:.3g}, gradient norm {last[2]:.3g}"
    now = f"step {step:,}: loss {_figure(loss)}, gradient norm {_figure(norm)}"
    then = "the step's update was not applied" if on_host else "its gradient was set to 0 on the device"
    return f"{now}; {before}; {then}"


def _figure(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else {True: "NaN"}.get(math.isnan(value), "infinite")


def finished(steps: int) -> str:
    return f"finished {steps:,} steps, as the spec says"


def failure(error: BaseException) -> str:
    """An unexpected error in one sentence."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out of memory; take a smaller train.batch_size or model, then train on from the step before"
    if isinstance(error, ForwardError):
        return str(error)
    return f"{type(error).__name__}: {message(error) or 'no message'}"


def finale(trainer: Trainer) -> str:
    """For random data: one fresh input and its output, as the classic examples end."""
    fresh = data_.fresh_sample(trainer.spec.data, trainer.dataset, seed=trainer.spec.train.seed)
    if fresh is None:
        return ""
    output = trainer.predict(torch.from_numpy(fresh[None]).to(trainer.device, trainer.dtype))[0]
    values = output.float().cpu().numpy()[0]
    start = ", ".join(f"{value:.2f}" for value in fresh[:4])
    end = ", ".join(f"{value:.2f}" for value in values[:4])
    return (
        f"fresh random input: standard deviation {fresh.std():.2f} in, {values.std():.2f} out "
        f"({start}, ... came out as {end}, ...); Pairs shows it whole"
    )


def log_line(event: p.Events) -> str:
    """An event as one line of the log."""
    match event:
        case p.StateChanged():
            return f"{event.state} {event.reason}".strip()
        case p.Ready():
            return f"ready: {event.info.source}, {event.info.architecture}, {event.info.device}"
        case p.Loading():
            return event.stage
        case p.Accepted() | p.Refused():
            return f"command {event.command} {type(event).__name__.lower()}: {event.text}"
        case _:
            return f"{type(event).__name__.lower()}: {getattr(event, 'text', '')}"
