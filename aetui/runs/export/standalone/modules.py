"""The model as plain modules."""

from __future__ import annotations

from torch import nn

from aetui.models.base import Autoencoder, Chain, Dropout, Reshape, TiedLinear, Variational
from aetui.runs.export.standalone.plan import Plan, indented

_DROPOUT = """\
class Dropout(nn.Module):
    def forward(self, x):
        {guard}
            return x
        keep = 1.0 - {share}
        return x * torch.empty_like(x).bernoulli_(keep, generator=random).div_(keep)
"""

_TIED = '''\
class TiedLinear(nn.Module):
    """A dense layer with the weights of another one, transposed, and biases of its own."""

    def __init__(self, source):
        super().__init__()
        self.source = (source,)  # in a tuple, so that its weights are not registered twice
        self.bias = nn.Parameter(torch.zeros(source.in_features))

    def forward(self, x):
        return F.linear(x, self.source[0].weight.t(), self.bias)
'''

KL = "0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)"


def random_inputs(plan: Plan) -> str:
    """The line of a forward that adds noise to its inputs, '' where a run never does."""
    if not plan.ever("model.noise"):
        return ""
    guard = "if self.training" + ("" if plan.never_zero("model.noise") else f" and {plan.get('model.noise')} > 0")
    noise = f"torch.empty_like(x).normal_(0.0, {plan.get('model.noise')}, generator=random)"
    return f"{guard}:\n    x = x + {noise}\n"


def draws(model: Autoencoder, plan: Plan) -> bool:
    """Whether steps draw random numbers besides the order of the rows."""
    return model.variational or plan.ever("model.noise") or plan.ever("model.dropout")


def network(model: Autoencoder, plan: Plan) -> list[str]:
    """Class definitions; `Autoencoder` takes rows and returns output and code, and for a VAE the KL."""
    blocks: list[str] = []
    modules = list(model.modules())
    dropout = any(isinstance(module, Dropout) for module in modules) and plan.ever("model.dropout")
    if dropout:
        share = plan.get("model.dropout")
        guard = "if not self.training:" if plan.never_zero("model.dropout") else f"if not self.training or not {share}:"
        blocks.append(_DROPOUT.format(guard=guard, share=share))
    if any(isinstance(module, TiedLinear) for module in modules):
        blocks.append(_TIED)
    paths = {id(module): name for name, module in model.named_modules()}
    made = [f"self.encoder = {_chain(model.encoder, dropout, paths)}"]
    if isinstance(model, Variational):
        made += [f"self.mean = {_layer(model.mean, paths)}", f"self.log_variance = {_layer(model.log_variance, paths)}"]
    made.append(f"self.decoder = {_chain(model.decoder, dropout, paths)}")
    init = indented("\n".join(made), 8)
    forward = indented(random_inputs(plan) + _forward(model), 8)
    blocks.append(
        "class Autoencoder(nn.Module):\n"
        f"    def __init__(self):\n        super().__init__()\n{init}\n\n    def forward(self, x):\n{forward}\n"
    )
    return blocks


def _forward(model: Autoencoder) -> str:
    if not isinstance(model, Variational):
        return "code = self.encoder(x)\nreturn self.decoder(code), code"
    return f"""\
hidden = self.encoder(x)
mean, log_variance = self.mean(hidden), self.log_variance(hidden)
code = mean
if self.training:
    code = mean + torch.exp(0.5 * log_variance) * torch.empty_like(mean).normal_(generator=random)
kl = {KL}.sum(1).mean()
return self.decoder(code), mean, kl"""


def _chain(chain: Chain, dropout: bool, paths: dict[int, str]) -> str:
    parts = [(name, part) for name, part in chain.named_children() if dropout or not isinstance(part, Dropout)]
    if not parts:
        return "nn.Sequential()"
    lines = "\n".join(f"        {name}={_layer(part, paths)}," for name, part in parts)
    return f"nn.Sequential(\n    OrderedDict(\n{lines}\n    )\n)"


def _layer(layer: nn.Module, paths: dict[int, str]) -> str:
    match layer:
        case nn.Linear():
            return f"nn.Linear({layer.in_features}, {layer.out_features})"
        case nn.Conv2d():
            return f"nn.Conv2d({layer.in_channels}, {layer.out_channels}, 3, stride=2, padding=1)"
        case nn.ConvTranspose2d():
            sizes = f"{layer.in_channels}, {layer.out_channels}, 3"
            return f"nn.ConvTranspose2d({sizes}, stride=2, padding=1, output_padding={layer.output_padding})"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return f"nn.{type(layer).__name__}({layer.num_features})"
        case Reshape():
            shape = layer.shape[1:]
            return "nn.Flatten()" if len(shape) == 1 else f"nn.Unflatten(1, {shape})"
        case TiedLinear():
            return f"TiedLinear(self.{paths[id(layer.source)]})"
        case _:
            return "Dropout()" if isinstance(layer, Dropout) else f"nn.{type(layer).__name__}()"
