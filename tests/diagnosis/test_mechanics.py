"""What a diagnosis is built of: outputs, losses, changes, copies, the loop."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis.api import subject_of
from aetui.diagnosis.change import Change, affine
from aetui.diagnosis.facts import gather
from aetui.diagnosis.isolate import Randomness, clone, rebound
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.losses import NAMES, resolve
from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.diagnosis.outputs import Output, OutputError, take_apart
from aetui.diagnosis.subject import KL
from aetui.spec import RunSpec
from aetui.spec.sections import OwnModel, PytorchInit
from aetui.training.trainer import Trainer

G = torch.Generator().manual_seed(0)
X = torch.randn(5, 8, generator=G)
MADE, MEAN, LOG_VARIANCE = (torch.randn(5, size, generator=G) for size in (8, 3, 3))

Named = namedtuple("Named", "loss recon mu logvar")


@dataclass
class Held:
    z_mean: Tensor
    reconstruction: Tensor
    z_log_var: Tensor


class Mapped(dict[str, Tensor]):
    """A mapping whose entries are attributes too."""

    def __getattr__(self, name: str) -> Tensor:
        return self[name]


RETURNED: dict[str, Any] = {
    "tuple": (MADE, MEAN, LOG_VARIANCE),
    "list": [MADE, MEAN, LOG_VARIANCE],
    "with the input": (X, MADE, MEAN, LOG_VARIANCE),
    "nested": (MADE, (MEAN, LOG_VARIANCE)),
    "dict": {"mu": MEAN, "logvar": LOG_VARIANCE, "recon": MADE},
    "mapping": Mapped(x_hat=MADE, mu=MEAN, log_var=LOG_VARIANCE),
    "named": Named(torch.tensor(1.0), MADE, MEAN, LOG_VARIANCE),
    "dataclass": Held(MEAN, MADE, LOG_VARIANCE),
}


# --- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in RETURNED if kind != "with the input"])
def test_outputs_are_taken_apart(kind: str):
    found = take_apart(RETURNED[kind], X.shape)
    assert found.reconstruction is MADE and found.mean is MEAN and found.log_variance is LOG_VARIANCE
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(MEAN, (LOG_VARIANCE / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert float(found.kl()) == pytest.approx(float(expected.sum(1).mean()))  # pyright: ignore[reportArgumentType]


def test_outputs_without_a_code():
    assert take_apart(MADE, X.shape).mean is None
    pair = take_apart((MEAN, MADE), X.shape)
    assert pair.reconstruction is MADE and not pair.variational and pair.kl() is None
    for nothing in (None, "text", 3, (), {"a": 1}):
        with pytest.raises(OutputError):
            take_apart(nothing, X.shape)


@pytest.mark.parametrize("kind", ["tuple", "nested", "dict", "mapping", "named", "dataclass"])
def test_the_kl_inside_a_callers_loss_is_told_apart(kind: str):
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encoder, self.decoder = nn.Linear(8, 6), nn.Linear(3, 8)

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.encoder(x).chunk(2, 1)
            made = self.decoder(mean)
            return {
                "tuple": lambda: (made, mean, log_variance),
                "nested": lambda: (made, (mean, log_variance)),
                "dict": lambda: {"recon": made, "mu": mean, "logvar": log_variance},
                "mapping": lambda: Mapped(recon=made, mu=mean, logvar=log_variance),
                "named": lambda: Named(made.sum(), made, mean, log_variance),
                "dataclass": lambda: Held(mean, made, log_variance),
            }[kind]()

    def parts(out: Any) -> tuple[Tensor, Tensor, Tensor]:
        if kind == "tuple":
            return out
        if kind == "nested":
            return out[0], *out[1]
        if kind == "dict":
            return out["recon"], out["mu"], out["logvar"]
        return (
            (out.reconstruction, out.z_mean, out.z_log_var) if kind == "dataclass" else (out.recon, out.mu, out.logvar)
        )

    def loss(out: Any, target: Tensor) -> Tensor:
        made, mean, log_variance = parts(out)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return F.mse_loss(made, target) + 3 * kl

    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
    terms = gather(subject_of(Model(), x, loss=loss, batch_size=64, validation=x)).terms
    made, mean, log_variance = parts(Model()(x))
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    assert terms == pytest.approx({"reconstruction": F.mse_loss(made, x).item(), "kl": 3 * kl.item()}, rel=1e-5)


# --- losses -------------------------------------------------------------------------------------

_TORCH: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": partial(F.mse_loss, reduction="sum"),
    "mae": partial(F.l1_loss, reduction="sum"),
    "bce": partial(F.binary_cross_entropy, reduction="sum"),
    "bce_logits": partial(F.binary_cross_entropy_with_logits, reduction="sum"),
    "huber": partial(F.huber_loss, reduction="sum"),
    "smooth_l1": partial(F.smooth_l1_loss, reduction="sum"),
    "log_cosh": lambda output, target: torch.cosh(output - target).log().sum(),
}


@pytest.mark.parametrize("name", NAMES)
def test_named_losses_against_torch(name: str):
    output, target = (torch.rand(6, 2, 5, generator=G, dtype=torch.float64) for _ in range(2))
    total = _TORCH[name.removesuffix("_sum")](output, target)
    expected = total / 6 if name.endswith("_sum") else total / 60
    assert float(resolve(name).call(output, target)) == pytest.approx(float(expected), rel=1e-12)


def test_losses_of_torch_are_recognized():
    for given, kind, summed in (
        (nn.MSELoss(), "mse", False), (nn.BCELoss(reduction="sum"), "bce", True), (F.l1_loss, "mae", False),
        (partial(F.mse_loss, reduction="sum"), "mse", True), (nn.BCEWithLogitsLoss(), "bce_logits", False),
        (lambda a, b: (a - b).abs().mean(), "", False), ("L1", "mae", False), ("MSE-sum", "mse", True),
    ):  # fmt: skip
        found = resolve(given)
        assert (found.kind, found.summed, found.named) == (kind, summed, isinstance(given, str))


# --- changes ------------------------------------------------------------------------------------


def test_scalings_and_their_inverses():
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 7, size=(30, 2, 4)))
    x[:, 0, 1] = 5.0
    standard = affine("standardize", x)
    assert standard is not None
    made = standard.apply(x)
    assert torch.allclose(made.mean(0), torch.zeros(2, 4, dtype=x.dtype), atol=1e-12)
    spread = made.std(0, correction=0)
    assert spread[0, 1] == 0 and torch.allclose(spread[spread > 0], torch.ones(7, dtype=x.dtype))
    for kind, low, high in (("unit", 0, 1), ("symmetric", -1, 1)):
        mapped = affine(kind, x)
        assert mapped is not None
        assert (float(mapped.apply(x).min()), float(mapped.apply(x).max())) == pytest.approx((low, high))
        assert torch.allclose(mapped.undo(mapped.apply(x)), x)
    assert torch.allclose(standard.undo(made), x)
    assert affine("none", x) is None and affine("unit", torch.ones(4, 4)) is None


# --- copies -------------------------------------------------------------------------------------


def test_a_clone_draws_the_same_numbers_and_shares_nothing():
    class Draws(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            self.last = super().forward(input) + torch.randn(1, generator=self.source)
            return self.last

    model = Draws(8, 8)
    model.source = torch.Generator().manual_seed(4)
    model(X).sum().backward()
    twin = clone(model)
    assert twin.weight.grad is None and model.weight.grad is not None
    assert torch.equal(twin.last, model.last) and not twin.last.requires_grad
    assert torch.equal(twin(X), model(X)) and torch.equal(twin(X), model(X))
    assert not {p.data_ptr() for p in twin.parameters()} & {p.data_ptr() for p in model.parameters()}


def scale(layer: nn.Linear, factor: float) -> Tensor:
    return factor * layer.weight.sum()


def test_functions_speak_of_the_copy():
    class Penalized(nn.Sequential):
        def size(self) -> Tensor:
            return self[0].weight.sum()

    model = Penalized(nn.Linear(8, 2))
    copy = clone(model)
    with torch.no_grad():
        copy[0].weight.add_(1.0)
    expected = copy[0].weight.sum().item()
    layer, weights, bias_free = model[0], list(model.parameters()), {"w": model[0].weight}

    def recursive(depth: int = 2) -> Tensor:
        return recursive(depth - 1) if depth else layer.weight.sum()

    speaking: list[Callable[[], Tensor]] = [
        lambda: model[0].weight.sum(), lambda: layer.weight.sum(), lambda m=model: m[0].weight.sum(), model.size,
        partial(scale, layer, 1.0), partial(scale, factor=1.0, layer=layer), lambda: model.size(),
        lambda: weights[0].sum(), lambda: bias_free["w"].sum(), lambda: sum(p.sum() for p in weights[:1]),
    ]  # fmt: skip
    for function in speaking:
        assert rebound(function, model, copy)().item() == pytest.approx(expected)
        assert function().item() == pytest.approx(model[0].weight.sum().item())
    silent = lambda: X.sum()  # noqa: E731
    assert rebound(silent, model, copy) is silent and rebound(F.mse_loss, model, copy) is F.mse_loss
    assert rebound(recursive, model, copy)(0).item() == pytest.approx(expected)


def test_randomness_goes_on_where_it_stopped():
    torch.manual_seed(1)
    own = Randomness(7, torch.device("cpu"))
    outside = torch.rand(2)
    with own.own():
        first = torch.rand(3)
    torch.rand(5)
    with own.own():
        second = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), outside)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(6), torch.cat([first, second]))


# --- the loop -----------------------------------------------------------------------------------


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3), nn.Linear(3, 8)
    ).double()


@pytest.mark.parametrize("batch", [16, 7, 0])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_an_unchanged_loop_is_plain_pytorch(batch: int, optimizer: str):
    data = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = network()

    def weights(m: nn.Module) -> Tensor:
        return 0.01 * torch.stack([p.abs().sum() for p in m.parameters()]).sum()

    subject = subject_of(model, data, optimizer=optimizer, lr=0.01, batch_size=batch, seed=5, clip=0.8,
                         penalty=weights, validation=data)  # fmt: skip
    loop = Loop(subject)
    assert loop.advance(30) and loop.advance(15)

    torch.manual_seed(5)
    order, losses, totals = torch.Generator().manual_seed(5), [], []
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}
    plain = kinds[optimizer](model.parameters(), lr=0.01)
    model.train()
    while len(losses) < 45:
        rows = torch.randperm(50, generator=order) if batch else torch.arange(50)
        for chosen in rows.split(batch or 50):
            if len(chosen) < 2 or len(losses) == 45:
                continue
            plain.zero_grad()
            loss = F.mse_loss(model(data[chosen]), data[chosen])
            total = loss + weights(model)
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.8)
            plain.step()
            losses.append(loss.item())
            totals.append(total.item())
    assert loop.losses == pytest.approx(losses, abs=1e-10)
    assert loop.totals == pytest.approx(totals, abs=1e-10)
    for one, two in zip(loop.model.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.allclose(one.double(), two.double(), atol=1e-10)
    assert loop.clipped == [norm > 0.8 for norm in loop.norms]


def test_changes_act_on_the_loop():
    data = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    subject = subject_of(network(), data, optimizer="sgd", lr=0.01, seed=5, validation=data, batch_size=0,
                         optimizer_options={"weight_decay": 0.1}, penalty=lambda m: m[0].weight.sum())  # fmt: skip

    def group(**change: Any) -> dict[str, Any]:
        return Loop(subject, Change(**change)).optimizer.param_groups[0]

    assert group(lr=10.0)["lr"] == pytest.approx(0.1)
    assert group(weight_decay=False)["weight_decay"] == 0.0
    assert group(momentum=0.9)["momentum"] == 0.9
    assert isinstance(Loop(subject, Change(adam=1e-3)).optimizer, torch.optim.Adam)
    dropped = Loop(subject, Change(drop=("penalty",)))
    dropped.advance(1)
    assert dropped.losses == dropped.totals
    quiet = Loop(subject, Change(silent=True))
    quiet.advance(1)
    without = network()
    without[3].p = 0.0
    assert quiet.losses[0] == pytest.approx(F.mse_loss(without(data), data).item(), abs=1e-10)


def test_a_scaled_probe_is_compared_in_the_callers_units():
    data = 100 + 20 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    subject = subject_of(network(), data, validation=data)
    loop = Loop(subject, Change(scale="standardize"))
    mean, spread = data.mean(0), data.std(0, correction=0)
    loop.model.eval()
    with torch.no_grad():
        expected = loop.model((data - mean) / spread) * spread + mean
    assert torch.allclose(loop.reconstruct(data, data), expected)


def test_looking_leaves_everything_as_it_was():
    data = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    subject = subject_of(network(), data, validation=data, batch_size=16)
    watched, alone = Loop(subject), Loop(subject)
    for _ in range(5):
        watched.advance(3)
        watched.reconstruct(data, data)
        watched.reconstruct(data, data, train=True)
    alone.advance(15)
    assert watched.losses == alone.losses and watched.model.training
    for one, two in zip(watched.model.state_dict().values(), alone.model.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_the_weights_before_a_loss_that_is_not_finite_are_kept():
    model = nn.Linear(8, 8).double()
    data = 1e200 * torch.randn(50, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loop = Loop(subject_of(model, data, validation=data))
    assert not loop.advance(4)
    assert loop.broken == 1 and loop.steps == 1 and math.isnan(loop.losses[0])
    assert torch.equal(next(loop.model.parameters()), model.weight)


def test_the_kl_term_of_a_users_own_model_is_a_penalty(tmp_path):
    (tmp_path / "vae.py").write_text(
        "import torch\n"
        "class Vae(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.mean, self.spread = torch.nn.Linear(64, 4), torch.nn.Linear(64, 4)\n"
        "        self.decoder = torch.nn.Linear(4, 64)\n"
        "    def forward(self, x):\n"
        "        mean, logvar = self.mean(x), self.spread(x)\n"
        "        return self.decoder(mean), mean, logvar\n"
    )
    own = OwnModel(path=f"{tmp_path / 'vae.py'}:Vae", kl_weight=0.25)
    trainer = Trainer(RunSpec(model=own, init=PytorchInit()))
    subject = subject_of_trainer(trainer)
    made = trainer.model(trainer.train_data[:8])
    penalty = subject.penalties[KL](trainer.model, Output(made, made.output), 0)
    assert float(penalty.detach()) == pytest.approx(0.25 * float(made.kl.detach()))
