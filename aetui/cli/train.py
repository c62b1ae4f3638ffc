"""`aetui train`: a run without a screen."""

import json
import math
import sys
import time
from typing import Any

import numpy as np

from aetui import data as data_
from aetui.data import DataError
from aetui.engine.describe import failure, warnings
from aetui.models.errors import ForwardError, ModelError
from aetui.spec import Problem, RunSpec, SpecError, to_mapping
from aetui.training.trainer import Evaluation, Trainer

_PERIOD = 0.2
"""Seconds between two updates of the progress bar."""


def train_headless(spec: RunSpec, *, steps: int | None, as_json: bool) -> int:
    """Train, and print the outcome; status 1 where loss or gradient stopped being finite.

    Raises:
        SpecError: the spec, its data or its model can't be used, or there is no number of steps.
    """
    if steps is not None and steps < 1:
        raise SpecError([Problem("--steps", f"{steps} is not allowed; it takes a whole number of at least 1")])
    try:
        trainer = Trainer(spec)
    except (DataError, ModelError) as error:
        path = error.path or "data"
        raise SpecError([Problem(path, str(error).removeprefix(f"{path}: "))]) from None
    goal = steps or trainer.goal
    if goal is None:
        raise SpecError([Problem("--steps", "missing; the spec sets neither train.steps nor train.epochs")])
    for warning in warnings(trainer):
        print(f"aetui: {warning}", file=sys.stderr)
    try:
        seconds, finite = _train(trainer, goal)
    except (RuntimeError, MemoryError) as error:
        print(f"aetui: step {trainer.steps + 1:,} failed: {failure(error)}", file=sys.stderr)
        return 1
    try:
        evaluation = trainer.evaluate()
    except ForwardError as error:
        print(f"aetui: the model can't be measured: {error}", file=sys.stderr)
        return 1
    speed = trainer.steps / seconds if seconds else 0.0
    if as_json:
        print(json.dumps(outcome(trainer, evaluation, speed), allow_nan=False))
    else:
        _print_outcome(trainer, evaluation, speed)
    if not finite:
        print(
            f"aetui: loss or gradient was not finite at step {trainer.steps:,}; training stopped there", file=sys.stderr
        )
    return 0 if finite else 1


def _train(trainer: Trainer, goal: int) -> tuple[float, bool]:
    """Train up to `goal` steps; seconds spent and whether every step was finite."""
    bar = _progress(goal)
    start = time.perf_counter()
    shown = start
    with bar as progress:
        task = progress.add_task("training", total=goal, loss="")
        while trainer.steps < goal:
            if not trainer.advance():
                return time.perf_counter() - start, False
            now = time.perf_counter()
            if now - shown > _PERIOD:
                shown = now
                records = trainer.recorder.drain()
                if not np.isfinite(records.total).all():
                    return now - start, False
                progress.update(task, completed=trainer.steps, loss=f"loss {records.total[-1]:.4g}")
        finite = bool(np.isfinite(trainer.recorder.drain().total).all())
        progress.update(task, completed=goal)
    return time.perf_counter() - start, finite


def _progress(goal: int) -> Any:
    """A progress bar on stderr; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def outcome(trainer: Trainer, evaluation: Evaluation, speed: float) -> dict[str, Any]:
    """The JSON object of `aetui train --json`; figures that are not finite are null."""
    found = {
        "spec": to_mapping(trainer.spec),
        "steps": trainer.steps,
        "loss": evaluation.loss,
        "validation_loss": evaluation.validation_loss,
        "explained_variance": evaluation.explained_variance,
        "floors": {"mean": evaluation.floors.mean, "linear": evaluation.floors.linear},
        "variance_ratio": evaluation.variance_ratio,
        "steps_per_second": speed,
        "weights_sha256": trainer.weights_sha256(),
    }
    return _finite(found)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_outcome(trainer: Trainer, evaluation: Evaluation, speed: float) -> None:
    ratio, floors = evaluation.variance_ratio, evaluation.floors
    code = trainer.code_width

    def figure(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    print(f"steps               {trainer.steps:,} ({speed:,.0f} steps/s on {trainer.device})")
    print(f"loss                {figure(evaluation.loss)}")
    if evaluation.reconstruction_loss != evaluation.loss:
        print(f"  reconstruction    {figure(evaluation.reconstruction_loss)}")
    print(f"  predict the mean  {figure(floors.mean)}")
    print(f"  PCA with {code:<9}{figure(floors.linear)}")
    explained, linear = figure(evaluation.explained_variance), figure(floors.linear_explained)
    low = f"{ratio['below_0.1']} of {ratio['features']} features below 0.1"
    print(f"validation loss     {figure(evaluation.validation_loss)}")
    print(f"explained variance  {explained}  (PCA with {code}: {linear})")
    print(
        f"variance ratio      {', '.join(f'{name} {figure(ratio[name])}' for name in ('p10', 'median', 'p90'))}; {low}"
    )
    print(f"weights             sha256 {trainer.weights_sha256()[:16]}")
    fresh = data_.fresh_sample(trainer.spec.data, trainer.dataset, seed=trainer.spec.train.seed)
    if fresh is not None:
        with np.printoptions(precision=2, suppress=True, linewidth=100, threshold=200):
            row = trainer.dataset.scaler.inverse(fresh[None])
            print(f"\none fresh random input\n{row[0]}\n\nits output\n{trainer.reconstruct(row)[0]}")
