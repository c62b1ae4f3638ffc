"""From a spec to a model with its initial weights."""

from __future__ import annotations

import itertools
import math
import os

import torch
from torch import Tensor, nn

from aetui.models.base import Autoencoder, Chain, Dropout, Reshape, TiedLinear, Variational
from aetui.models.custom import build_own
from aetui.models.errors import ModelError
from aetui.models.initialize import initialize
from aetui.spec.sections import Conv, DeepSection, Linear, Mlp, Model, OwnModel, RunSpec, Vae

__all__ = ["ACTIVATIONS", "ModelError", "architecture", "build"]

Part = tuple[str, nn.Module]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""By name; `linear` is no module at all."""


def build(
    spec: RunSpec,
    features: int,
    image_shape: tuple[int, ...],
    seed: int,
    sample: Tensor | None = None,
    *,
    strict: bool = True,
) -> Autoencoder:
    """The model of `spec` for rows of `features` values, on the CPU, float32, in train mode.

    The weights are a function of the spec and `seed` alone, whatever device the model moves to
    later. The model's generator goes on where the initialization stopped; a run that trains on
    another device sets its own. The global random state is not touched.

    Args:
        image_shape: (channels, height, width) or (height, width) of a row, () for vectors.
        sample: some rows, [rows, features], that a user's own model is tried out on.
        strict: whether a user's own model is refused where its output can't be a reconstruction.

    Raises:
        ModelError: the model does not suit the data, or does not fit in memory.
    """
    section = spec.model
    if isinstance(section, OwnModel):
        return build_own(spec, features, image_shape, seed, sample, strict=strict)
    # On the meta device constructing draws no random numbers and takes no memory.
    with torch.device("meta"):
        model = _assemble(section, features, image_shape)
    _check_memory(model, architecture(spec, features, image_shape))
    _materialize(model)
    generator = torch.Generator().manual_seed(seed)
    initialize(model, spec.init, generator)
    model.set_generator(generator)
    model.apply_live(section)
    return model.train()


def architecture(spec: RunSpec, features: int, image_shape: tuple[int, ...]) -> str:
    """The widths from input to output, the code in brackets: `64-128-[10]-128-64`.

    Raises:
        ModelError: the model does not suit the data.
    """
    section = spec.model
    if isinstance(section, OwnModel):
        return f"{features}-[{section.code or '?'}]-{features}"
    if isinstance(section, Conv):
        ends = "x".join(map(str, _planes(features, image_shape)))
        hidden = [f"{channels}c" for channels in section.hidden]
    else:
        ends = str(features)
        hidden = [str(width) for width in _hidden_of(section)]
    return "-".join([ends, *hidden, f"[{section.code}]", *reversed(hidden), ends])


def _assemble(section: Mlp | Conv | Vae | Linear, features: int, image_shape: tuple[int, ...]) -> Autoencoder:
    if isinstance(section, Conv):
        return _conv(section, _planes(features, image_shape))
    if isinstance(section, Vae):
        return _vae(section, features)
    return _dense(section, features)


def _hidden_of(section: Mlp | Vae | Linear) -> tuple[int, ...]:
    return () if isinstance(section, Linear) else section.hidden


def _dense(section: Mlp | Linear, features: int) -> Autoencoder:
    widths = (features, *_hidden_of(section), section.code)
    layers = [nn.Linear(inner, outer) for inner, outer in itertools.pairwise(widths)]
    back = [TiedLinear(one) if section.tied else nn.Linear(one.out_features, one.in_features) for one in layers[::-1]]
    code_activation = section.code_activation if isinstance(section, Mlp) else "linear"
    encoder = [*_hidden_dense(layers[:-1], section), ("code", layers[-1]), *_activation("code", code_activation)]
    decoder = [
        *_hidden_dense(back[:-1], section),
        ("output", back[-1]),
        *_activation("output", section.output_activation),
    ]
    return Autoencoder(Chain(encoder), Chain(decoder))


def _vae(section: Vae, features: int) -> Variational:
    widths = (features, *section.hidden)
    layers = [nn.Linear(inner, outer) for inner, outer in itertools.pairwise(widths)]
    mean, log_variance = nn.Linear(widths[-1], section.code), nn.Linear(widths[-1], section.code)
    outward = (section.code, *section.hidden[::-1], features)
    back = [nn.Linear(inner, outer) for inner, outer in itertools.pairwise(outward)]
    decoder = [
        *_hidden_dense(back[:-1], section),
        ("output", back[-1]),
        *_activation("output", section.output_activation),
    ]
    return Variational(Chain(_hidden_dense(layers, section)), mean, log_variance, Chain(decoder))


def _hidden_dense(layers: list[nn.Linear] | list[nn.Linear | TiedLinear], section: Model) -> list[Part]:
    parts: list[Part] = []
    for number, layer in enumerate(layers, start=1):
        parts.append((f"dense{number}", layer))
        width = len(layer.bias)
        parts += _after(number, section, nn.BatchNorm1d(width) if getattr(section, "batch_norm", False) else None)
    return parts


def _after(number: int, section: Model, norm: nn.Module | None) -> list[Part]:
    """What follows a hidden layer's weights: normalization (Ioffe & Szegedy 2015), activation, dropout."""
    assert isinstance(section, DeepSection)
    parts: list[Part] = [] if norm is None else [(f"norm{number}", norm)]
    return [*parts, *_activation(str(number), section.activation), (f"dropout{number}", Dropout())]


def _activation(name: str, kind: str) -> list[Part]:
    return [] if kind == "linear" else [(f"activation{'' if name.isdigit() else '_'}{name}", ACTIVATIONS[kind]())]


def _conv(section: Conv, planes: tuple[int, int, int]) -> Autoencoder:
    channels = (planes[0], *section.hidden)
    sizes = [planes[1:]]
    for _ in section.hidden:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    deepest = (channels[-1], *sizes[-1])
    flat = math.prod(deepest)

    def norm(width: int) -> nn.Module | None:
        return nn.BatchNorm2d(width) if section.batch_norm else None

    encoder: list[Part] = [("planes", Reshape(*planes))]
    for number, (inner, outer) in enumerate(itertools.pairwise(channels), start=1):
        encoder.append((f"conv{number}", nn.Conv2d(inner, outer, 3, stride=2, padding=1)))
        encoder += _after(number, section, norm(outer))
    encoder += [("flat", Reshape(flat)), ("code", nn.Linear(flat, section.code))]
    encoder += _activation("code", section.code_activation)

    decoder: list[Part] = [("dense1", nn.Linear(section.code, flat)), ("planes", Reshape(*deepest))]
    decoder += _after(1, section, norm(channels[-1]))
    last = len(section.hidden)
    for number in range(1, last + 1):
        target, inner, outer = sizes[-1 - number], channels[-number], channels[-1 - number]
        # The stride of 2 maps both 2n - 1 and 2n to n; one more row or column brings the even size back.
        extra = (1 - target[0] % 2, 1 - target[1] % 2)
        name = "output" if number == last else f"conv{number + 1}"
        decoder.append((name, nn.ConvTranspose2d(inner, outer, 3, stride=2, padding=1, output_padding=extra)))
        if number < last:
            decoder += _after(number + 1, section, norm(outer))
    decoder += [*_activation("output", section.output_activation), ("flat", Reshape(math.prod(planes)))]
    return Autoencoder(Chain(encoder), Chain(decoder))


def _planes(features: int, image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(image_shape) not in (2, 3):
        raise ModelError(
            "model.kind",
            "conv needs image-shaped rows, and the data have no image shape; set data.image_shape to "
            "height, width or channels, height, width, or model.kind to mlp",
        )
    channels, height, width = image_shape if len(image_shape) == 3 else (1, *image_shape)
    if channels * height * width != features:
        raise ModelError(
            "data.image_shape",
            f"{', '.join(map(str, image_shape))} makes {channels * height * width:,} values, and a row has "
            f"{features:,}; the product has to be the number of features",
        )
    return channels, height, width


def _check_memory(model: nn.Module, shape: str) -> None:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if 4 * parameters > memory:
        raise ModelError(
            "model.code",
            f"{shape} has {parameters:,} parameters, {4 * parameters / 1e9:,.0f} GB, and this machine has "
            f"{memory / 1e9:,.0f} GB of memory; take a smaller model.code or model.hidden",
        )


def _materialize(model: nn.Module) -> None:
    """Give meta tensors memory, to be filled by `initialize`; `to_empty` would first import half a second of torch."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, dtype=torch.float32)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, _blank(buffer))


def _blank(buffer: Tensor) -> Tensor:
    return torch.zeros(buffer.shape, dtype=torch.float32 if buffer.is_floating_point() else buffer.dtype)
