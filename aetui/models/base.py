"""The parts that every autoencoder here is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.spec.sections import ModelSection


class Reconstruction(NamedTuple):
    """What a model makes of a batch.

    output: [batch, features], after the output activation. code: [batch, code]; a VAE's means.
    kl: 0-dim, KL(q(z|x) || N(0, I)) summed over the code and averaged over the batch; None if not a VAE.
    """

    output: Tensor
    code: Tensor
    kl: Tensor | None


class Reshape(nn.Module):
    """View each row of a batch in another shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = (-1, *shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.shape)


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) that draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.p = 0.0
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        keep = 1.0 - self.p
        return x * torch.empty_like(x).bernoulli_(keep, generator=self.generator).div_(keep)


class TiedLinear(nn.Module):
    """A dense layer with another one's weights, transposed, and biases of its own.

    The weights are not registered here a second time, so they are trained and saved once.
    """

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self._source = (source,)  # a tuple hides the layer from the module's own children
        self.bias = nn.Parameter(torch.empty(source.in_features))

    @property
    def source(self) -> nn.Linear:
        return self._source[0]

    @property
    def weight(self) -> Tensor:
        """[out, in], a view of the source's weights."""
        return self._source[0].weight.t()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self._source[0].weight.t(), self.bias)


class Chain(nn.Module):
    """Named modules applied in order; dropout that drops nothing is left out of the path."""

    def __init__(self, parts: Sequence[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, part in parts:
            self.add_module(name, part)
        self.wire()

    def wire(self) -> None:
        """Choose the modules that take part, after a change of dropout."""
        self._path = tuple(part for part in self.children() if not (isinstance(part, Dropout) and not part.p))

    def forward(self, x: Tensor) -> Tensor:
        for part in self._path:
            x = part(x)
        return x


class Autoencoder(nn.Module):
    """An encoder and a decoder over flat rows, [batch, features].

    Input noise, dropout and sampling act in train mode only and draw from `generator`, which must
    live on the model's device (`set_generator`); the global generator is never used.
    """

    noise: float
    """Standard deviation of the noise added to the inputs."""
    dropout: float
    """Share of the hidden units dropped."""
    generator: torch.Generator
    variational: bool = False
    """Whether the code is Gaussian, with a KL term."""

    def __init__(self, encoder: Chain, decoder: Chain, **between: nn.Module) -> None:
        super().__init__()
        self.noise = 0.0
        self.dropout = 0.0
        self.encoder = encoder
        for name, module in between.items():
            self.add_module(name, module)
        self.decoder = decoder

    def forward(self, x: Tensor) -> Reconstruction:
        if self.noise and self.training:
            x = self.noisy(x)
        code = self.encoder(x)
        return Reconstruction(self.decoder(code), code, None)

    def encode(self, x: Tensor) -> Tensor:
        """The code of clean inputs, [batch, code]; the means for a VAE."""
        return self.encoder(x)

    def noisy(self, x: Tensor) -> Tensor:
        """`x` with normal noise of standard deviation `noise`, from the model's generator."""
        return x + torch.empty_like(x).normal_(0.0, self.noise, generator=self.generator)

    def apply_live(self, section: ModelSection) -> None:
        """Take over the settings that may change between two steps: input noise and dropout."""
        self.noise = float(section.noise)
        self.dropout = float(getattr(section, "dropout", 0.0))
        for module in self.modules():
            if isinstance(module, Dropout):
                module.p = self.dropout
        for module in self.modules():
            if isinstance(module, Chain):
                module.wire()

    def random_states(self) -> list[Tensor]:
        """The states of all generators that training draws from, uint8."""
        return [self.generator.get_state()]

    def restore_random_states(self, states: list[Tensor]) -> None:
        """Draw on from where `random_states` was taken."""
        self.generator.set_state(states[0])

    def set_generator(self, generator: torch.Generator) -> None:
        """Draw all further random numbers from `generator`, which lives on the model's device."""
        self.generator = generator
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator


class Variational(Autoencoder):
    """An autoencoder with a Gaussian code (Kingma & Welling 2014).

    In train mode the decoder sees a sample of the code, in eval mode its mean.
    """

    mean: nn.Linear
    log_variance: nn.Linear
    variational = True

    def __init__(self, encoder: Chain, mean: nn.Linear, log_variance: nn.Linear, decoder: Chain) -> None:
        super().__init__(encoder, decoder, mean=mean, log_variance=log_variance)

    def forward(self, x: Tensor) -> Reconstruction:
        if self.noise and self.training:
            x = self.noisy(x)
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean
        if self.training:
            code = mean + torch.exp(0.5 * log_variance) * torch.empty_like(mean).normal_(generator=self.generator)
        # KL of N(mean, variance) to N(0, 1) in closed form: Kingma & Welling 2014, appendix B.
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1).mean()
        return Reconstruction(self.decoder(code), mean, kl)

    def encode(self, x: Tensor) -> Tensor:
        return self.mean(self.encoder(x))


@contextmanager
def hooked(modules: Iterable[nn.Module], hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """`hook` after the forward of each of these modules, and gone again afterwards."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; every module's own train or eval flag comes back afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training
