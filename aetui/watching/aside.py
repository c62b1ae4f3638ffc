"""What is done beside a training leaves no trace in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aetui.models.ownstate import HostStates


class Randomness:
    """The global random states: Python's, NumPy's and PyTorch's, of every device in use."""

    def __init__(self) -> None:
        self._host = HostStates.present()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        self._mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back(self) -> None:
        self._host.put_in_force()
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        if self._mps is not None:
            torch.mps.set_rng_state(self._mps)

    def packed(self) -> dict[str, Any]:
        """As tensors and plain values."""
        return {"host": self._host.encoded(), "torch": self._torch, "cuda": self._cuda, "mps": self._mps}

    @staticmethod
    def unpacked(values: dict[str, Any]) -> Randomness:
        """The states that `packed` told of."""
        made = Randomness()
        made._host = HostStates.decoded(values["host"])
        made._torch = values["torch"]
        made._cuda = values["cuda"] if len(values["cuda"]) == len(made._cuda) else made._cuda
        made._mps = made._mps if values["mps"] is None else values["mps"]
        return made


class Aside:
    """Around whatever happens between two steps: random states, modes and buffers are as before afterwards.

    Within, PyTorch draws from a fixed seed, so that a model that samples in eval mode is measured alike each time.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._entered = False

    def __enter__(self) -> None:
        self.renew()
        self._entered = True
        torch.default_generator.manual_seed(0)
        if torch.cuda.is_initialized():
            for generator in torch.cuda.default_generators:
                generator.manual_seed(0)

    def renew(self, randomness: Randomness | None = None) -> None:
        """The present state is what comes back, since it was put there on purpose; `randomness` likewise."""
        self._randomness = randomness or Randomness()
        self.renew_state()

    def renew_state(self) -> None:
        """The same of modes and buffers alone."""
        modules = list(self._module.modules())
        self._modes = [(module, module.training) for module in modules]
        self._buffers = [
            (module, name, buffer, _version(buffer), buffer.detach().clone())
            for module in modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    @property
    def entered(self) -> bool:
        return self._entered

    def __exit__(self, *_: object) -> None:
        self._entered = False
        self._randomness.put_back()
        for module, training in self._modes:
            module.training = training
        for module, name, buffer, version, value in self._buffers:
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer
            if version is None or _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(value)
        self._modes, self._buffers = [], []


def _version(tensor: Tensor) -> int | None:
    """Counts the changes of a tensor in place; None where nobody does."""
    return None if tensor.is_inference() else tensor._version
