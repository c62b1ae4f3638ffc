"""What came out of a run, for people and for programs."""

import math
from typing import Any

import numpy as np

from aetui import data as data_
from aetui.spec import to_mapping
from aetui.training.trainer import Evaluation, Trainer


def outcome(trainer: Trainer, evaluation: Evaluation, speed: float, run: str) -> dict[str, Any]:
    """The JSON object of `aetui train --json`; figures that are not finite are null."""
    found = {
        "run": run,
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


def print_outcome(trainer: Trainer, evaluation: Evaluation, speed: float, run: str) -> None:
    """The same as a table."""
    ratio, floors = evaluation.variance_ratio, evaluation.floors
    code = trainer.code_width

    def figure(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    print(f"run                 {run}")
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
