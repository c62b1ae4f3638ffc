"""The weights of a run as a file that torch.load reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from aetui.runs.export.errors import ExportError


def write_state_dict(path: Path, state: Mapping[str, Tensor]) -> Path:
    """Write {name: tensor} for `torch.load(path, weights_only=True)`: tensors on the CPU that share no memory.

    Raises:
        ExportError: the file can't be written.
    """
    plain = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    try:
        # Opened here, since PyTorch raises a RuntimeError of many lines for a folder that is not there.
        with path.open("wb") as file:
            torch.save(plain, file)
    except OSError as error:
        raise ExportError(f"{path}: can't be written: {error.strerror or error}") from error
    return path
