"""What can't run at all is refused in one clear sentence; what can be explained is a finding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aetui.diagnosis import diagnose, preflight
from aetui.report import Report

DATA = torch.randn(80, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(
    3, 8, generator=torch.Generator().manual_seed(1)
)
UNIT = DATA.sigmoid()


def model(last: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3), nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 8)]
    return nn.Sequential(*layers, *([last] if last else []))


class Made(nn.Module):
    """Returns what a function makes of a reconstruction."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.make = model(), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.net(x))


def fails(_made: Tensor) -> Tensor:
    raise KeyError("nothing here")


def fails_silently(_made: Tensor) -> Tensor:
    raise AssertionError


# --- refused ------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, Any, dict[str, Any], tuple[str, ...]]] = {
    "no module": (lambda x: x, DATA, {}, ("model", "Module", "function")),
    "a class": (nn.Linear, DATA, {}, ("model", "Module")),
    "loss, near": (model(), DATA, {"loss": "msee"}, ("loss", "'msee'", "'mse'")),
    "loss, far": (model(), DATA, {"loss": "qqqq"}, ("loss", "'qqqq'", "huber", "callable")),
    "loss, number": (model(), DATA, {"loss": 3}, ("loss", "3")),
    "loss, none": (model(), DATA, {"loss": None}, ("loss", "None")),
    "optimizer, near": (model(), DATA, {"optimizer": "adamm"}, ("optimizer", "'adamm'", "'adam'")),
    "optimizer, far": (model(), DATA, {"optimizer": "qqqq"}, ("optimizer", "'qqqq'", "adam")),
    "optimizer, number": (model(), DATA, {"optimizer": 3}, ("optimizer", "3")),
    "optimizer, made": (model(), DATA, {"optimizer": torch.optim.SGD(model().parameters(), lr=0.1)}, ("optimizer",)),
    "optimizer, class": (model(), DATA, {"optimizer": nn.Linear}, ("optimizer", "Linear")),
    "optimizer, result": (model(), DATA, {"optimizer": lambda p: None}, ("optimizer", "None")),
    "options": (model(), DATA, {"optimizer_options": {"betta": 1}}, ("optimizer_options", "betta")),
    "scaling, near": (model(), DATA, {"scaling": "standardise"}, ("scaling", "'standardise'", "standardize")),
    "scaling, far": (model(), DATA, {"scaling": "qqqq"}, ("scaling", "'qqqq'", "minmax")),
    "lr, negative": (model(), DATA, {"lr": -1e-3}, ("lr", "-0.001", "at least 0")),
    "lr, text": (model(), DATA, {"lr": "fast"}, ("lr", "'fast'")),
    "lr, nan": (model(), DATA, {"lr": float("nan")}, ("lr", "nan")),
    "batch size, negative": (model(), DATA, {"batch_size": -1}, ("batch_size", "-1")),
    "batch size, fraction": (model(), DATA, {"batch_size": 2.5}, ("batch_size", "2.5")),
    "steps, none": (model(), DATA, {"steps": 0}, ("steps", "0")),
    "steps, fraction": (model(), DATA, {"steps": 10.5}, ("steps", "10.5")),
    "clip, zero": (model(), DATA, {"clip": 0}, ("clip", "0")),
    "clip, text": (model(), DATA, {"clip": "hard"}, ("clip", "'hard'")),
    "seed, text": (model(), DATA, {"seed": "one"}, ("seed", "'one'")),
    "penalty, number": (model(), DATA, {"penalty": 0.1}, ("penalty", "0.1")),
    "data, text": (model(), ["a", "b"], {}, ("data", "numbers")),
    "data, objects": (model(), np.array([{}, {}]), {}, ("data", "numbers")),
    "data, ragged": (model(), [[1.0, 2.0], [3.0]], {}, ("data", "numbers")),
    "data, none": (model(), None, {}, ("data",)),
    "data, complex": (model(), DATA.to(torch.complex64), {}, ("data", "complex")),
    "data, complex array": (model(), DATA.to(torch.complex64).numpy(), {}, ("data", "complex")),
    "one row": (model(), DATA[:1], {}, ("data", "two rows")),
    "a number": (model(), 3.0, {}, ("data", "two rows")),
    "no features": (model(), DATA[:, :0], {}, ("data",)),
    "targets, other rows": (model(), DATA, {"targets": DATA[:20]}, ("targets", "20", "80")),
    "validation, other width": (model(), DATA, {"validation": DATA[:, :5]}, ("validation",)),
    "forward, other width": (model(), DATA[:, :5], {}, ("model", "forward", "[64, 5]")),
    "forward raises": (Made(fails), DATA, {}, ("model", "forward", "KeyError", "nothing here")),
    "forward fails silently": (Made(fails_silently), DATA, {}, ("model", "forward", "AssertionError")),
    "returns last":  (Made(lambda y: y[..., None]), DATA, {}, ("model", "[64, 8, 1]", "[64, 8]")),
    "returns none": (Made(lambda y: None), DATA, {}, ("model", "NoneType")),
    "returns text": (Made(lambda y: "done"), DATA, {}, ("model", "str")),
    "returns nothing": (Made(lambda y: ()), DATA, {}, ("model", "tuple")),
    "returns other width": (Made(lambda y: y[:, :5]), DATA, {}, ("model", "[64, 5]", "[64, 8]")),
    "returns other rows": (Made(lambda y: y[:7]), DATA, {}, ("model", "[7, 8]", "[64, 8]")),
    "loss raises": (model(), DATA, {"loss": lambda o, t: o.nothing}, ("loss", "nothing")),
    "loss returns none": (model(), DATA, {"loss": lambda o, t: None}, ("loss", "None")),
    "penalty raises": (model(), DATA, {"penalty": lambda m: m.nothing}, ("penalty", "nothing")),
    "penalty returns text": (model(), DATA, {"penalty": lambda m: "much"}, ("penalty", "much")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_refused_in_one_sentence(case: str):
    given, data, options, parts = REFUSED[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        diagnose(given, data, **{"steps": 20, **options})
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 500, sentence
    assert all(part in sentence for part in parts), sentence


@pytest.mark.parametrize(
    "case", ["no module", "loss, near", "lr, negative", "one row", "returns none", "forward raises"]
)
def test_preflight_refuses_the_same(case: str):
    given, data, options, parts = REFUSED[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        preflight(given, data, **options)
    assert all(part in str(caught.value) for part in parts)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match="learning_rate"):
        diagnose(model(), DATA, learning_rate=0.1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="learning_rate"):
        preflight(model(), DATA, learning_rate=0.1)


# --- found --------------------------------------------------------------------------------------


def caught(report: Report, *causes: str) -> None:
    """The report has all its parts, is wrong, and names one of the causes first."""
    assert report.wrong and report.cause in causes, str(report)
    assert str(report) and report.to_json()
    first = report.findings[0]
    assert first.evidence and first.remedies and first.text


@pytest.mark.parametrize("loss", ["bce", "bce_sum", nn.BCELoss(), nn.functional.binary_cross_entropy])
def test_targets_outside_a_losses_domain(loss: Any):
    report = diagnose(model(nn.Sigmoid()), DATA, loss=loss, steps=60)
    caught(report, "loss-domain")


def test_outputs_outside_a_losses_domain():
    caught(diagnose(model(), UNIT, loss=nn.BCELoss(), steps=60), "loss-domain", "output-range")


@pytest.mark.parametrize(
    "make", [lambda y: y[:, :1], lambda y: y.mean(), lambda y: y[:, None, :], lambda y: y.mean(1, keepdim=True).T.T],
    ids=["column", "number", "middle", "mean"],
)  # fmt: skip
def test_outputs_that_broadcast(make: Callable[[Tensor], Tensor]):
    caught(diagnose(Made(make), DATA, steps=60), "shape-broadcast")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float):
    data = DATA.clone()
    data[5, 2] = value
    report = diagnose(model(), data, steps=60)
    caught(report, "bad-values")
    assert report.verdict == "diverged"
    assert any(one.cause == "bad-values" for one in preflight(model(), data))


def test_everything_nan():
    caught(diagnose(model(), torch.full((40, 8), float("nan")), steps=20), "bad-values")


def test_parameters_without_gradient():
    frozen = model()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    report = diagnose(frozen, DATA, steps=60)
    caught(report, "frozen-parameters")
    assert report.steps == 0
    caught(diagnose(Made(lambda y: y.detach()), DATA, steps=60), "frozen-parameters")
    half = model()
    for parameter in list(half.parameters())[:4]:
        parameter.requires_grad_(False)
        nn.init.zeros_(parameter)
    caught(diagnose(half, DATA, steps=200), "frozen-parameters", "init-symmetry")


def test_a_model_without_parameters():
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    caught(diagnose(Constant(), DATA, steps=60), "frozen-parameters")


def test_not_a_number_from_the_first_step():
    class Roots(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).sqrt()

    report = diagnose(Roots(), DATA, steps=60)
    assert report.verdict == "diverged" and str(report)
    blown = model()
    with torch.no_grad():
        for parameter in blown.parameters():
            parameter.mul_(1e30)
    report = diagnose(blown, DATA, steps=60)
    caught(report, "init-scale", "exploding-gradients")
    assert report.verdict == "diverged"


def test_a_learning_rate_of_zero():
    caught(diagnose(model(), DATA, lr=0.0, steps=150), "lr-too-low")


def test_data_without_variation():
    report = diagnose(model(), torch.ones(40, 8), steps=30)
    assert report.verdict == "trivial-data" and str(report)


def test_unusual_but_fine_arguments():
    rows = DATA.numpy()
    for data in (rows.tolist(), [torch.from_numpy(row) for row in rows], torch.utils.data.TensorDataset(DATA),
                 torch.utils.data.DataLoader(torch.utils.data.TensorDataset(DATA)), DATA.half(), rows.astype(">f4"),
                 np.asarray(rows * 10, dtype=np.uint8)):  # fmt: skip
        assert diagnose(model(), data, steps=10, probes=False).steps == 10
    assert (
        diagnose(model(), DATA, steps=np.int64(10), batch_size=np.int64(8), lr=np.float32(1e-3), probes=False).steps
        == 10
    )
    assert diagnose(model(), DATA[:2], steps=10, probes=False).steps == 10
