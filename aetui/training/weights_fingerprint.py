"""Fingerprint of a model's weights."""

import hashlib
import sys

import torch
from torch import Tensor


def sha256(state: dict[str, Tensor]) -> str:
    """Hash over every entry in order: name, dtype (`float32`), shape (`(3, 4)`), little-endian bytes."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        header = f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0"
        digest.update(header.encode())
        data = tensor.detach().cpu().contiguous().reshape(-1)
        if sys.byteorder == "big":
            data = data.view(torch.uint8).reshape(-1, tensor.element_size()).flip(1).reshape(-1).contiguous()
        digest.update(data.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
