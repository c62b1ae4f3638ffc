"""What a training takes of its machine: the device, the threads, and the seeds of its generators."""

import numpy as np
import torch

from aetui.spec.errors import Problem, SpecError

_THREADS = torch.get_num_threads()
_SMALL = 5_000_000
"""Parameters times rows below which a second thread gains nothing, and loses much where cores are busy."""


def pick_device(wanted: str) -> torch.device:
    """The device that `train.device` names; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        SpecError: the machine has no such device.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = wanted.partition(":")
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(kind, 1)
    if int(index or 0) >= count:
        seen = f"{count} device(s) of that kind" if count else "no such device"
        raise SpecError([Problem("train.device", f"{wanted!r} is not there: PyTorch sees {seen}; take auto or cpu")])
    return torch.device(wanted)


def pick_threads(wanted: int, work: int) -> int:
    """Threads within an operation: `wanted`, or for 0 one where a step is small, else PyTorch's own choice.

    Args:
        work: parameters times rows of a batch.
    """
    if wanted:
        return wanted
    return 1 if work < _SMALL else _THREADS


def seeds(seed: int) -> list[int]:
    """Independent seeds for weights, batch order, and noise."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(3)]
