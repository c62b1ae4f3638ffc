"""The three trainings that the bench measures."""

from aetui import presets
from aetui.spec import RunSpec, changed

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "tiny": (
        "digits",
        {"model.hidden": (32,), "model.code": 8, "train.batch_size": 32, "train.steps": 0, "train.epochs": 0},
    ),
    "classic": ("latent-and-loss", {"train.epochs": 0, "clip.kind": "none"}),
    "large": (
        "digits",
        {
            "data.kind": "gaussian", "data.rows": 8192, "data.features": 784, "model.hidden": (512,), "model.code": 64,
            "train.batch_size": 256, "train.steps": 0, "train.epochs": 0,
        },
    ),
}  # fmt: skip
"""A preset and what is changed in it: a tiny MLP at batch 32, the classic full-batch example, a larger MLP.

None of them ends by itself; clipping is off in all, since the plain loop has none.
"""


def case_spec(case: str) -> RunSpec:
    preset, changes = CASES[case]
    return changed(presets.load(preset), changes)


def case_arguments(case: str) -> list[str]:
    """The same case as arguments of `aetui run`."""
    preset, changes = CASES[case]
    sets = [
        f"{path}={', '.join(map(str, value)) if isinstance(value, tuple) else value}" for path, value in changes.items()
    ]
    return [preset, *(word for item in sets for word in ("--set", item))]
