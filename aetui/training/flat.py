"""A model's parameters as one flat tensor, so that a step costs a few kernels, not a few per layer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def flatten(parameters: list[nn.Parameter]) -> tuple[nn.Parameter, list[Tensor]]:
    """The parameters moved into one tensor, of which they become views, and views of its gradient, one for each."""
    first = parameters[0]
    total = sum(parameter.numel() for parameter in parameters)
    flat = nn.Parameter(torch.empty(total, dtype=first.dtype, device=first.device))
    flat.grad = torch.zeros_like(flat.data)
    start, views = 0, []
    for parameter in parameters:
        part = slice(start, start + parameter.numel())
        values = flat.data[part].view(parameter.shape)
        values.copy_(parameter.data)
        parameter.data, parameter.grad = values, flat.grad[part].view(parameter.shape)
        views.append(parameter.grad)
        start = part.stop
    return flat, views


class FlatParameters:
    """The trainable parameters of a module, moved into one contiguous tensor, and their gradients.

    The module's parameters become views of `values` and their `.grad` views of `grads`, so the
    module works as before while norms, clipping and the optimizer see a single tensor. The order
    is that of `named_parameters`.

    Raises:
        ValueError: the parameters are of several dtypes or on several devices.
    """

    def __init__(self, module: nn.Module) -> None:
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        if len({(parameter.dtype, parameter.device) for _, parameter in named}) != 1:
            raise ValueError("the model's trainable parameters must share one dtype and one device")
        self.names = [name for name, _ in named]
        self._shapes = [parameter.shape for _, parameter in named]
        self.values, self.grad_views = flatten([parameter for _, parameter in named])
        assert self.values.grad is not None
        self.grads = self.values.grad
        self.all_grads = [self.grads]

    def _split(self, flat: Tensor) -> Iterator[Tensor]:
        start = 0
        for shape in self._shapes:
            stop = start + shape.numel()
            yield flat[start:stop].view(shape)
            start = stop

    def norms_of(self, flat: Tensor) -> dict[str, float]:
        """Norm of each parameter's share of a tensor laid out like `values`."""
        return {
            name: float(torch.linalg.vector_norm(part.float()))
            for name, part in zip(self.names, self._split(flat), strict=True)
        }

    def named_grads(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.grad_views, strict=True))
