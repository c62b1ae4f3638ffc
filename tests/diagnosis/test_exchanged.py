"""Output and target in each other's place: of which losses that is a fault, and what is said of it."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import diagnose, preflight

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def gray(rows: int = 400) -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.sigmoid(torch.randn(rows, 4, generator=made) @ torch.randn(4, 30, generator=made))


def net(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 32), nn.ReLU(),
                         nn.Linear(32, 30), *last)  # fmt: skip


def entropy(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy(target, output)


def of_logits(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(target, output)


def divergence(output: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(target.log_softmax(1), output.softmax(1), reduction="batchmean")


@pytest.mark.parametrize(
    ("loss", "last"), [(entropy, nn.Sigmoid()), (nn.BCELoss(), nn.Sigmoid()), (of_logits, nn.Identity()),
                       (divergence, nn.Identity())],
)  # fmt: skip
def test_a_loss_that_is_not_symmetric_is_named_with_its_line(loss: Callable[..., Tensor], last: nn.Module) -> None:
    name = "kl_div" if loss is divergence else "binary_cross_entropy"

    def exchanged(output: Tensor, target: Tensor) -> Tensor:
        return loss(target, output) if isinstance(loss, nn.Module) else loss(output, target)

    def step(model: nn.Module, batch: Tensor) -> Tensor:
        return exchanged(model(batch), batch)

    for options in ({"loss": exchanged}, {"step": step}):
        finding = preflight(net(last), gray(), **options)[0]  # pyright: ignore
        assert finding.cause == "loss-domain"
        assert f"{name}" in finding.evidence[0].text and "where it takes the output" in finding.evidence[0].text
        assert finding.remedies[0].id == "exchange" and "test_exchanged.py" in finding.remedies[0].line


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        (lambda output, target: F.mse_loss(target, output), nn.Identity()),
        (lambda output, target: F.l1_loss(target, output), nn.Identity()),
        (lambda output, target: F.binary_cross_entropy(output, target), nn.Sigmoid()),
        (lambda output, target: nn.SmoothL1Loss()(target, output), nn.Sigmoid()),
    ],
)
def test_a_symmetric_loss_or_the_right_order_is_none(loss: Callable[..., Tensor], last: nn.Module) -> None:
    assert not [one for one in preflight(net(last), gray(), loss=loss) if one.cause == "loss-domain"]


def test_a_probe_with_the_arguments_in_their_places_repairs_it() -> None:
    report = diagnose(net(nn.Sigmoid()), gray(), loss=entropy, lr=3e-3, steps=400)
    assert report.cause == "loss-domain" and report.findings[0].confidence >= 0.9
    probed = [one for one in report.findings[0].evidence if "in their own places" in one.measure]
    assert probed and ("repairs" in probed[0].text or "helps" in probed[0].text)
