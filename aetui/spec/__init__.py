"""One spec for every hyperparameter; see `sections` for the list."""

from aetui.spec.change import Difference, changed, differences, from_mapping, moves_text, to_mapping
from aetui.spec.errors import Problem, SpecError
from aetui.spec.sections import RunSpec
from aetui.spec.toml import dumps, load, loads

__all__ = [
    "Difference", "Problem", "RunSpec", "SpecError",
    "changed", "differences", "dumps", "from_mapping", "load", "loads", "moves_text", "to_mapping",
]  # fmt: skip
