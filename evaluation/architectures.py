"""The models of generated cases, built from a plan in which one entry can be a fault."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.networks import (
    FUNCTIONS,
    MODULES,
    ConvDecoder,
    ConvEncoder,
    Functional,
    Hidden,
    Parameters,
    Residual,
    SequenceDecoder,
    SequenceEncoder,
    TwoBranches,
    sequential,
)

STYLES: dict[str, tuple[str, ...]] = {
    "mlp": ("plain", "sequential", "functional"),
    "conv": ("conv",),
    "vae": ("sequential", "functional"),
    "recurrent": ("gru", "lstm", "gru-dense"),
    "odd": ("parameters", "residual", "two-branches", "tied"),
}


@dataclass(frozen=True)
class ModelPlan:
    """Architecture and habits of the model, with the entries that faults are planted into."""

    family: str
    style: str
    widths: tuple[int, ...]
    """Hidden widths of the encoder, from the input inwards; the decoder mirrors them."""
    code: int
    seed: int
    hidden: Hidden
    blocks: int = 2
    """Of a residual network, in encoder and decoder each."""
    output: str = "linear"
    code_activation: str = "linear"
    returns: str = "tensor"
    """`tensor`, `tuple` (with the code), `mapping`, `moments` (with mu and logvar)."""
    keep: bool = False
    """Whether forward leaves self.code (and a VAE self.kl) for a penalty."""
    noise: float = 0.0
    noise_at: str = "input"
    noise_always: bool = False
    init: str = ""
    """A re-initialization by the user: `zeros`, `constant`, `normal`, `uniform`."""
    init_amount: float = 0.0
    hidden_bias: float | None = None
    frozen: str = ""
    """`detach`, `data`, `no-grad-encoder`, `no-grad-decoder`, `encoder`, `decoder`, `last`, `list-encoder`,
    `list-decoder`."""
    shape: str = ""
    """`channel`: the output gets a dimension of 1 after the batch; `no-channel`: it loses it; `one`: one column."""
    eval_path: str = ""
    """What differs between train and eval mode by the user's own hand."""


class Autoencoder(nn.Module):
    """Encoder, decoder, and what users do around them."""

    def __init__(self, plan: ModelPlan, encoder: nn.Module, decoder: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.plan, self.shape = plan, shape
        self.encoder, self.decoder = encoder, decoder
        self.flat = plan.family not in ("conv", "recurrent")
        self.code: Tensor | None = None
        self.kl: Tensor | None = None
        if plan.family == "vae":
            inner = plan.widths[-1]
            self.mu, self.logvar = nn.Linear(inner, plan.code), nn.Linear(inner, plan.code)

    def forward(self, x: Tensor) -> Any:
        plan = self.plan
        if self.flat:
            x = x.flatten(1)
        if plan.eval_path == "scaled-in-training" and self.training:
            x = x * 0.1
        if plan.noise and plan.noise_at == "input" and (self.training or plan.noise_always):
            x = x + plan.noise * torch.randn_like(x)
        if plan.frozen == "no-grad-encoder":
            with torch.no_grad():
                z = self.encoder(x)
        else:
            z = self.encoder(x)
        extra: tuple[Tensor, ...] = ()
        if plan.family == "vae":
            z = F.relu(z)
            mu, logvar = self.mu(z), self.logvar(z)
            self.kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean() if plan.keep else None
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu
            extra = (mu, logvar)
        z = FUNCTIONS[plan.code_activation](z)
        if plan.keep:
            self.code = z
        if plan.noise and plan.noise_at == "code" and (self.training or plan.noise_always):
            z = z + plan.noise * torch.randn_like(z)
        if plan.frozen == "detach":
            z = z.detach()
        elif plan.frozen == "data":
            z = z.data
        if plan.frozen == "no-grad-decoder":
            with torch.no_grad():
                y = self.decoder(z)
        else:
            y = self.decoder(z)
        if plan.eval_path == "scaled-in-eval" and not self.training:
            y = y / 10
        elif plan.eval_path == "dropout-in-eval":
            y = F.dropout(y, 0.8, training=not self.training)
        y = self._shaped(y)
        match plan.returns:
            case "moments":
                return (y, *extra)
            case "tuple":
                return y, z
            case "mapping":
                return {"reconstruction": y, "code": z}
        return y

    def _shaped(self, y: Tensor) -> Tensor:
        match self.plan.shape:
            case "one":
                return y
            case "channel":
                return y.flatten(1).unsqueeze(1) if self.flat else y.unsqueeze(1)
            case "flat":
                return y.flatten(1)
            case "no-channel":
                return y.reshape(len(y), *self.shape[1:])
        return y.reshape(len(y), *self.shape)


class Tied(nn.Module):
    """The decoder uses the encoder's weights, transposed."""

    def __init__(self, plan: ModelPlan, features: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.plan, self.shape = plan, shape
        widths = [features, *plan.widths, plan.code]
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(b, a) / math.sqrt(a)) for a, b in pairwise(widths)])
        self.up = nn.ParameterList([nn.Parameter(torch.zeros(width)) for width in widths[1:]])
        self.down = nn.ParameterList([nn.Parameter(torch.zeros(width)) for width in reversed(widths[:-1])])

    def forward(self, x: Tensor) -> Tensor:
        plan = self.plan
        act = FUNCTIONS[plan.hidden.activation]
        z = x.flatten(1)
        if plan.noise and (self.training or plan.noise_always):
            z = z + plan.noise * torch.randn_like(z)
        for i, (weight, bias) in enumerate(zip(self.weights, self.up, strict=True)):
            z = F.linear(z, weight, bias)
            if i < len(self.weights) - 1:
                z = act(plan.hidden.gain * z - plan.hidden.shift)
        for i, (weight, bias) in enumerate(zip(reversed(list(self.weights)), self.down, strict=True)):
            z = F.linear(z, weight.t(), bias)
            if i < len(self.weights) - 1:
                z = act(plan.hidden.gain * z - plan.hidden.shift)
        return FUNCTIONS[plan.output](z).reshape(len(z), *self.shape)


def build(plan: ModelPlan, shape: tuple[int, ...]) -> nn.Module:
    """The model for samples of `shape` (without the batch dimension), the same for the same plan."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = _assemble(plan, shape)
        with torch.no_grad():
            _initialize(model, plan)
    for name, parameter in model.named_parameters():
        frozen = plan.frozen in ("encoder", "decoder") and name.startswith(plan.frozen)
        if frozen or (plan.frozen == "last" and parameter.shape[:1] == (math.prod(shape),)):
            parameter.requires_grad_(False)
    return model


def _assemble(plan: ModelPlan, shape: tuple[int, ...]) -> nn.Module:
    features = math.prod(shape)
    down, up = [features, *plan.widths, plan.code], [plan.code, *reversed(plan.widths), features]
    if plan.shape == "one":
        up[-1] = 1
    hidden, output = plan.hidden, plan.output
    match plan.family, plan.style:
        case "mlp", "plain":
            encoder, decoder = sequential(down, hidden), sequential(up, hidden, output)
            if plan.code_activation != "linear":
                encoder.append(MODULES[plan.code_activation]())
            if len(shape) == 1:
                return nn.Sequential(*encoder, *decoder)
            return nn.Sequential(nn.Flatten(), *encoder, *decoder, nn.Unflatten(1, shape))
        case "vae", style:
            # The last hidden layer feeds mu and logvar.
            make = sequential if style == "sequential" else Functional
            return Autoencoder(plan, make(down[:-1], hidden), make(up, hidden, output), shape)
        case "conv", _:
            side, channels = shape[-1], plan.widths[0]
            return Autoencoder(
                plan,
                ConvEncoder(side, channels, plan.code, hidden),
                ConvDecoder(side, channels, plan.code, hidden, output),
                shape,
            )
        case "recurrent", style:
            time, channels = shape
            kind = "lstm" if style == "lstm" else "gru"
            encoder = SequenceEncoder(kind, channels, plan.widths[0], plan.code)
            decoder = (
                sequential(up, hidden, output)
                if style == "gru-dense"
                else SequenceDecoder(kind, time, channels, plan.widths[0], plan.code, output)
            )
            return Autoencoder(plan, encoder, decoder, shape)
        case "odd", "tied":
            return Tied(plan, features, shape)
        case "odd", "residual":
            encoder = Residual(down, hidden, blocks=plan.blocks)
            return Autoencoder(plan, encoder, Residual(up, hidden, output, plan.blocks), shape)
        case "odd", style:
            layers = {"parameters": Parameters, "two-branches": TwoBranches}[style]
            return Autoencoder(plan, layers(down, hidden), layers(up, hidden, output), shape)
        case "mlp", "functional":
            encoder = Functional(down, hidden, listed=plan.frozen == "list-encoder")
            decoder = Functional(up, hidden, output, listed=plan.frozen == "list-decoder")
            return Autoencoder(plan, encoder, decoder, shape)
    return Autoencoder(plan, sequential(down, hidden), sequential(up, hidden, output), shape)


def _initialize(model: nn.Module, plan: ModelPlan) -> None:
    """The user's own initialization of weights and hidden biases."""
    for parameter in model.parameters():
        if parameter.dim() < 2:
            continue
        match plan.init:
            case "zeros":
                parameter.zero_()
            case "constant":
                parameter.fill_(plan.init_amount)
            case "normal":
                parameter.normal_(0, plan.init_amount)
            case "uniform":
                parameter.uniform_(0, plan.init_amount)
            case "gain":
                parameter.mul_(plan.init_amount)
    if plan.hidden_bias is None:
        return
    for part in (model.get_submodule(name) for name in ("encoder", "decoder") if hasattr(model, name)):
        layers = [module for module in part.modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
        last = [] if plan.family == "vae" and part is model.get_submodule("encoder") else layers[-1:]
        for layer in layers:
            if layer.bias is not None and layer not in last:
                layer.bias.fill_(plan.hidden_bias)
