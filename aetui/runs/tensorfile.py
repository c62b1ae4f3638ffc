"""Tensors in a file: safetensors, written whole or not at all, with a checksum of its own.

The format is https://github.com/huggingface/safetensors: the length of a JSON header, the header,
the bytes. It is written here, in pieces that leave the interpreter to the training, because the library
keeps the number of an error to itself and chooses the name of its unfinished file; it is read by the
library, which checks the format.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip
_PIECE = 2**24
"""Bytes that are hashed or written at a time; the interpreter is free meanwhile."""


class DamagedFile(ValueError):
    """A file that is not what was written, or not there; one sentence."""


def write(path: Path, tensors: Mapping[str, Tensor], text: str) -> int:
    """Write contiguous tensors on the host, and a text, to `path`; its size in bytes.

    The file appears under its name when all of it is on the disk.

    Raises:
        OSError: it could not be written; nothing is left behind.
        ValueError: a tensor has a type that the format does not know.
    """
    if sys.byteorder != "little":
        raise ValueError("checkpoints are written on little-endian machines only")
    header: dict[str, object] = {"__metadata__": {"text": text, "sha256": _digest(tensors, text)}}
    at = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            raise ValueError(f"{name}: a checkpoint can't hold {tensor.dtype}")
        end = at + tensor.nbytes
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb", 0) as file:
            _write_all(file.fileno(), struct.pack("<Q", len(encoded)) + encoded)
            for tensor in tensors.values():
                for piece in _pieces(tensor):
                    _write_all(file.fileno(), piece)
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)
    return path.stat().st_size


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors and the text of a file that `write` made.

    Raises:
        DamagedFile: it is missing, cut, or has other bytes than were written.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text, wanted = about.get("text", ""), about.get("sha256")
        if _digest(tensors, text) != wanted:
            raise DamagedFile(f"{path.name} is damaged: its checksum does not match")
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, DamagedFile):
            raise
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DamagedFile(f"{path.name} can't be read: {reason}") from error
    return tensors, text


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over the text and each tensor's name, type, shape and bytes, sorted by name."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{_TYPES.get(tensor.dtype)}\0{list(tensor.shape)}\0".encode())
        for piece in _pieces(tensor):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    flat = tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else memoryview(b"")
    for start in range(0, len(flat), _PIECE):
        yield flat[start : start + _PIECE]


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
