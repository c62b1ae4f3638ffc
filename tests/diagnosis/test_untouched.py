"""What a diagnosis is given is bit for bit as it was afterwards."""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aetui.diagnosis import diagnose, preflight


def rows(count: int = 90, features: int = 8, rank: int = 3) -> np.ndarray:
    draw = np.random.default_rng(3)
    return draw.normal(size=(count, rank)) @ draw.normal(size=(rank, features)) / 2


class Noisy(nn.Module):
    """Everything that a forward may leave behind: attributes, buffers, counters, draws from a generator of its own."""

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Sequential(
            nn.Linear(features, 12), nn.BatchNorm1d(12), nn.ReLU(inplace=True), nn.Dropout(0.1)
        )
        self.mean, self.log_variance = nn.Linear(12, 3), nn.Linear(12, 3)
        self.decoder = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, features))
        self.mean.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.generator = torch.Generator().manual_seed(5)
        self.history: list[float] = []
        self.kl: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        self.kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        self.cache = {"mean": mean, "all": [mean, log_variance]}
        self.history.append(float(mean.detach().mean()))
        self.seen += 1
        noise = torch.randn(mean.shape, generator=self.generator) + 0.01 * torch.rand_like(mean)
        return self.decoder(mean + (log_variance / 2).exp() * noise + 0.001 * random.random() * np.random.random())


def values(held: Any) -> Any:
    """A copy of what an attribute holds, comparable with `same`."""
    if isinstance(held, Tensor):
        return (id(held), id(held.grad_fn), held._version, held.dtype, held.requires_grad, held.detach().clone())
    if isinstance(held, torch.Generator):
        return held.get_state().clone()
    if isinstance(held, dict):
        return {key: values(value) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return [values(value) for value in held]
    if isinstance(held, nn.Module):
        return id(held)
    return copy.copy(held) if isinstance(held, int | float | str | bool | None) else (id(held), repr(type(held)))


def state(model: nn.Module) -> dict[str, Any]:
    """Every attribute of every submodule (training flag, parameters, buffers, hooks, own ones), and gradients."""
    found: dict[str, Any] = {name: values(dict(vars(module))) for name, module in model.named_modules()}
    found["grads"] = [None if p.grad is None else values(p.grad) for p in model.parameters()]
    found["state_dict"] = values(dict(model.state_dict(keep_vars=True)))
    return found


def surroundings() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().clone(),
        pickle.dumps(np.random.get_state()),
        random.getstate(),
        torch.is_grad_enabled(),
    )


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(one.nan_to_num(), two.nan_to_num())
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def used(model: nn.Module, data: Tensor) -> nn.Module:
    """A model that has been through a step: gradients, cached graphs, mixed training flags, hooks."""
    model.train()
    model(data).square().mean().backward()
    model(data)
    next(iter(model.children())).eval()
    model.register_forward_hook(lambda *_: None)
    model.register_full_backward_hook(lambda *_: None)
    return model


DATA = torch.from_numpy(rows()).float()


@pytest.mark.parametrize("act", [diagnose, preflight])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"penalty": lambda m: 0.01 * m.kl},
        {"loss": "bce", "optimizer": torch.optim.SGD, "lr": 10.0},
        {"scaling": "minmax"},
    ],
)
def test_model_and_random_states(act: Callable[..., Any], options: dict[str, Any]):
    model = used(Noisy(), DATA)
    random.seed(11), np.random.seed(12), torch.manual_seed(13)
    before, around = state(model), surroundings()
    act(model, DATA, steps=30, batch_size=32, **options)
    assert same(before, state(model))
    assert same(around, surroundings())


def test_tensors_cached_by_an_earlier_forward_keep_their_graph():
    model = used(Noisy(), DATA)
    assert model.kl is not None and model.kl.grad_fn is not None
    diagnose(model, DATA, steps=5, probes=False)
    model.zero_grad()
    model.kl.backward()
    assert model.log_variance.weight.grad is not None and float(model.log_variance.weight.grad.abs().sum()) > 0


def test_probes_leave_no_trace():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3), nn.Linear(3, 8))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    before, around = state(model), surroundings()
    report = diagnose(model, DATA, steps=150)
    assert report.probe_steps > 0
    assert same(before, state(model)) and same(around, surroundings())


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.astype(np.float32), lambda x: x.astype(np.float64), lambda x: (10 * x).astype(np.int16),
        lambda x: np.asfortranarray(x), lambda x: x[::2], lambda x: torch.from_numpy(x.copy()).float(),
        lambda x: torch.from_numpy(x.copy()).float().requires_grad_(),
        lambda x: torch.from_numpy(x.copy()).T.contiguous().T,
    ],
    ids=["float32", "float64", "int16", "fortran", "strided", "tensor", "requires-grad", "transposed"],
)  # fmt: skip
def test_data(make: Callable[[np.ndarray], Any]):
    class InPlace(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            with torch.no_grad():
                input.mul_(0.5)
            return super().forward(input)

    data = make(rows())
    kept, kind, layout = (
        copy.deepcopy(data),
        data.dtype,
        data.strides if isinstance(data, np.ndarray) else data.stride(),
    )
    version = data._version if isinstance(data, Tensor) else 0
    for act in (diagnose, preflight):
        act(InPlace(nn.Linear(8, 3), nn.Linear(3, 8)), data, steps=12, targets=data, validation=data)
    assert data.dtype == kind
    assert (data.strides if isinstance(data, np.ndarray) else data.stride()) == layout
    if isinstance(data, Tensor):
        assert data.requires_grad == kept.requires_grad and data.grad is None and data._version == version
    assert bool((data == kept).all())


def test_read_only_data_is_taken():
    data = rows()
    data.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnose(nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 8)), data, steps=12, probes=False).steps == 12
        assert diagnose(nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 8)), data[::-1], steps=12, probes=False).steps == 12


class Stops(Exception):
    pass


def raising(_progress: Any) -> None:
    raise Stops


class Late(Noisy):
    """Its forward fails in train mode once it has been called a few times."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(self.history) > 12:
            raise Stops
        return super().forward(x)


def test_everything_is_as_before_where_it_raises():
    def refuse(_output: Tensor, _target: Tensor) -> Tensor:
        torch.rand(3), np.random.random(), random.random()
        raise Stops

    cases: list[tuple[nn.Module, dict[str, Any], type[Exception]]] = [
        (used(Noisy(), DATA), {"loss": refuse}, Exception),
        (used(Noisy(), DATA), {"loss": "msee"}, ValueError),
        (used(Noisy(), DATA), {"progress": raising}, Stops),
        (used(Noisy(), DATA), {"optimizer_options": {"nonsense": 1}}, ValueError),
        (used(Late(), DATA), {}, Stops),
        (Noisy(5), {}, ValueError),
    ]
    for model, options, error in cases:
        before, around = state(model), surroundings()
        with pytest.raises(error):
            diagnose(model, DATA, steps=60, **options)
        assert same(before, state(model)) and same(around, surroundings()), options


def test_a_tensor_left_in_the_forward_is_never_the_callers():
    """A penalty that reads what the forward left on the caller's model sees the copy's."""
    model = Noisy()
    read: list[float] = []

    def penalty(_model: nn.Module) -> Tensor:
        assert model.kl is not None
        read.append(float(model.kl.detach()))
        return 0.01 * model.kl

    diagnose(model, DATA, penalty=penalty, steps=40, probes=False, batch_size=32)
    assert model.kl is None
    assert len(set(read)) > 20


def linear() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 8))


class Holder:
    """A loss that knows the model, as trainers written as classes do."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return self.compute(output, target)

    def compute(self, output: Tensor, target: Tensor) -> Tensor:
        weight: Any = self.model[0].weight  # pyright: ignore[reportIndexIssue]
        return nn.functional.mse_loss(output, target) + 100 * weight.square().mean()


def weights_in_a_list(model: nn.Sequential) -> Callable[[nn.Module], Tensor]:
    held = list(model.parameters())
    return lambda _model: 100 * torch.stack([p.square().mean() for p in held]).sum()


def weights_in_a_default(model: nn.Sequential) -> Callable[[nn.Module], Tensor]:
    return lambda _model, mine=model: 100 * mine[0].weight.square().mean()


def weights_through_a_function(model: nn.Sequential) -> Callable[[nn.Module], Tensor]:
    def size() -> Tensor:
        weight: Any = model[0].weight
        return weight.square().mean()

    return lambda _model: 100 * size()


def weights_in_an_expression(model: nn.Sequential) -> Callable[[nn.Module], Tensor]:
    return lambda _model: 100 * torch.stack([p.square().mean() for p in model.parameters()]).sum()


@pytest.mark.parametrize(
    "make", [weights_in_a_list, weights_in_a_default, weights_through_a_function, weights_in_an_expression]
)
def test_a_penalty_over_the_callers_weights_acts_on_the_trained_copy(make: Callable[..., Any]):
    model = linear()
    before = state(model)
    report = diagnose(model, DATA, penalty=make(model), steps=250, lr=0.02, probes=False)
    assert same(before, state(model))
    assert report.wrong
    assert diagnose(model, DATA, steps=250, lr=0.02, probes=False).verdict == "healthy"


def _global_penalty(_model: nn.Module) -> Tensor:
    return _global_size() * 100


def _global_size() -> Tensor:
    weight: Any = GLOBAL[0].weight
    return weight.square().mean()


GLOBAL = linear()


def test_a_penalty_over_a_model_of_its_module_acts_on_the_trained_copy():
    before = state(GLOBAL)
    report = diagnose(GLOBAL, DATA, penalty=_global_penalty, steps=250, lr=0.02, probes=False)
    assert same(before, state(GLOBAL))
    assert report.wrong


@pytest.mark.parametrize("of", [lambda holder: holder, lambda holder: holder.compute], ids=["object", "method"])
def test_a_loss_object_that_knows_the_callers_model_acts_on_the_trained_copy(of: Callable[..., Any]):
    model = linear()
    holder = Holder(model)
    before = state(model)
    report = diagnose(model, DATA, loss=of(holder), steps=250, lr=0.02, probes=False)
    assert same(before, state(model)) and holder.model is model
    assert report.wrong


@pytest.mark.parametrize(
    "make",
    [
        lambda model: lambda _parameters: torch.optim.Adam(model.parameters(), lr=0.02),
        lambda model: (
            lambda _parameters: torch.optim.Adam([{"params": layer.parameters()} for layer in model], lr=0.02)
        ),
        lambda model: (lambda held: lambda _parameters: torch.optim.Adam(held, lr=0.02))(list(model.parameters())),
        lambda model: (lambda one: lambda _parameters: one)(torch.optim.Adam(model.parameters(), lr=0.02)),
    ],
    ids=["parameters", "groups", "list", "ready-made"],
)
def test_an_optimizer_over_the_callers_parameters_trains_the_copy(make: Callable[..., Any]):
    model = linear()
    build = make(model)
    before = state(model)
    report = diagnose(model, DATA, optimizer=build, steps=250, probes=False)
    assert same(before, state(model))
    assert report.verdict == "healthy"
    made: torch.optim.Optimizer = build(None)
    assert {id(p) for group in made.param_groups for p in group["params"]} == {id(p) for p in model.parameters()}
    assert not made.state


def test_a_run_diagnosed_twice_gives_the_same_report():
    model = used(Noisy(), DATA)
    one, two = (diagnose(model, DATA, steps=60, penalty=lambda m: 0.01 * m.kl).to_dict() for _ in range(2))
    del one["seconds"], two["seconds"]
    assert one == two


def test_in_place_the_model_itself_is_trained():
    model = linear()
    torch.manual_seed(13)
    around = surroundings()
    weights = list(model.parameters())
    report = diagnose(model, DATA, steps=200, lr=0.02, in_place=True, probes=False)
    assert same(around, surroundings())
    assert all(one is two for one, two in zip(model.parameters(), weights, strict=True))
    with torch.no_grad():
        missed = float((model(DATA) - DATA).square().mean() / DATA.var(0, correction=0).mean())
    assert 1 - missed == pytest.approx(report.explained_variance.whole, abs=5e-3)
    assert 1 - missed > 0.9


def test_in_place_with_a_penalty_and_an_optimizer_over_the_model():
    model = linear()
    build = lambda _parameters: torch.optim.SGD(model.parameters(), lr=0.05)  # noqa: E731
    diagnose(model, DATA, penalty=weights_in_a_default(model), optimizer=build, steps=100, in_place=True, probes=False)
    assert float(model[0].weight.detach().abs().max()) < 0.03


class Shrinks(nn.Module):
    """Multiplies its input by 0.9, in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.net, self.in_place = linear(), in_place

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.mul_(0.9) if self.in_place else x * 0.9)


def test_a_forward_that_changes_its_input_sees_the_same_rows_each_time():
    one, two = (diagnose(Shrinks(way), DATA, targets=DATA, lr=0.02, steps=200).to_dict() for way in (False, True))
    del one["seconds"], two["seconds"]
    assert one["verdict"] == "healthy" and one == two
