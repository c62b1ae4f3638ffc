"""How long OpenMP's threads spin while they wait for each other.

A thread that spins for another one that has no core wastes the core that the other one waits for. So on a busy machine
PyTorch's default, to spin for milliseconds, costs a training nearly all of its speed. A bound costs a quiet machine
nothing as long as it lies above the pauses between two operations (docs/measurements.md has both measured).
"""

import os
from collections.abc import MutableMapping

BOUND = {
    "GOMP_SPINCOUNT": "2000",  # libgomp, of the wheels for Linux: turns of an empty loop
    "KMP_BLOCKTIME": "1",  # libomp, of the wheels for macOS and of conda: milliseconds, 200 by default
}
_POLICY = "OMP_WAIT_POLICY"


def bound_spin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Bound the spinning in an environment; has an effect on processes that load torch afterwards.

    What the user has said about waiting in any of the variables stays in force.
    """
    if not {*BOUND, _POLICY} & environment.keys():
        environment.update(BOUND)


def spinning_threads() -> int:
    """How many threads of PyTorch's spin for each other without a bound, in this process; 0 for a single one."""
    import torch

    threads = torch.get_num_threads()
    return 0 if threads < 2 or {*BOUND, _POLICY} & os.environ.keys() else threads


def unbound(environment: MutableMapping[str, str]) -> None:
    """Take back what `bound_spin` has set, for a process that measures PyTorch as it comes."""
    for name, value in BOUND.items():
        if environment.get(name) == value:
            del environment[name]
