"""Initial weights, drawn on the CPU, so that they are the same on every device.

Fan in and fan out are those of PyTorch and Keras alike: the second and the first dimension of the
weights times the receptive field. For transposed convolutions, whose weights are stored
[in, out, height, width], fan in is therefore the output channels times the receptive field; with
a stride of 2 that is also closer to the number of inputs that an output pixel really sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from aetui.models.base import TiedLinear
from aetui.spec import sections
from aetui.spec.sections import Init

Fill = Callable[[Tensor, torch.Generator], object]


def initialize(model: nn.Module, init_section: Init, generator: torch.Generator) -> None:
    """Fill every weight of `model` in place, module by module from input to output.

    `gain` multiplies the weights. Biases are zero, but for PyTorch's own default: uniform within
    1/sqrt(fan in), untouched by the gain. Batch normalization starts as the identity. A tied
    decoder has only biases of its own.

    Args:
        generator: a CPU generator; values are copied to the device of the parameters.
    """
    fill = _fill(init_section)
    default = isinstance(init_section, sections.PytorchInit)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | _ConvNd):
                values = torch.empty(module.weight.shape, dtype=torch.float32)
                fill(values, generator)
                module.weight.copy_(values.mul_(init_section.gain))
                _bias(module.bias, fans(module.weight)[0], default, generator)
            elif isinstance(module, TiedLinear):
                _bias(module.bias, fans(module.weight)[0], default, generator)
            elif isinstance(module, _BatchNorm):
                module.reset_parameters()


def fans(weight: Tensor) -> tuple[int, int]:
    """Fan in and fan out of a dense layer's [out, in] or a convolution's [out, in, ...] weights."""
    field = math.prod(weight.shape[2:])
    return weight.shape[1] * field, weight.shape[0] * field


def _bias(bias: Tensor | None, fan_in: int, default: bool, generator: torch.Generator) -> None:
    if bias is None:
        return
    values = torch.zeros(bias.shape, dtype=torch.float32)
    if default:
        bound = 1 / math.sqrt(fan_in)
        values.uniform_(-bound, bound, generator=generator)
    bias.copy_(values)


def _fill(section: Init) -> Fill:
    """The distribution of the weights, before the gain."""
    match section:
        case sections.PytorchInit():
            # The negative slope that PyTorch's layers use makes the bound 1/sqrt(fan in).
            return lambda values, generator: nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
        case sections.KerasInit() | sections.XavierUniform():
            return lambda values, generator: nn.init.xavier_uniform_(values, generator=generator)
        case sections.XavierNormal():
            return lambda values, generator: nn.init.xavier_normal_(values, generator=generator)
        case sections.HeUniform():
            return lambda values, generator: nn.init.kaiming_uniform_(values, nonlinearity="relu", generator=generator)
        case sections.HeNormal():
            return lambda values, generator: nn.init.kaiming_normal_(values, nonlinearity="relu", generator=generator)
        case sections.NormalInit(std=std):
            return lambda values, generator: values.normal_(0.0, std, generator=generator)
        case sections.UniformInit(bound=bound):
            return lambda values, generator: values.uniform_(-bound, bound, generator=generator)
        case sections.Orthogonal():
            return lambda values, generator: nn.init.orthogonal_(values, generator=generator)
        case sections.ConstantInit(value=value):
            return lambda values, generator: values.fill_(value)
