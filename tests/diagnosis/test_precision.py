"""Number formats of 16 bits: what breaks in them, and what does not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import diagnose, preflight

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def table() -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.tanh(torch.randn(400, 4, generator=made) @ torch.randn(4, 20, generator=made))


def net(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(1)
    layers = (nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 20))
    return nn.Sequential(*layers).to(dtype)


def step(model: nn.Module, batch: Tensor) -> Tensor:
    return F.mse_loss(model(batch), batch)


def causes(model: nn.Module, x: Tensor, **options: object) -> list[str]:
    return [one.cause for one in preflight(model, x, **options)]


def test_an_eps_that_is_zero_in_float16_is_named_and_each_remedy_mends_it() -> None:
    report = diagnose(net(torch.float16), table(), lr=2e-3, steps=400)
    finding = report.findings[0]
    assert report.verdict == "diverged" and finding.cause == "precision"
    probes = [one for one in finding.evidence if one.measure.startswith("probe")]
    assert len(probes) == 2 and all("this repairs it" in one.text for one in probes)
    assert [one.python for one in finding.remedies] == ["model = model.float()", 'optimizer_options={"eps": 0.0001}']
    mended = (
        diagnose(net(torch.float16).float(), table(), lr=2e-3, steps=400, probes=False),
        diagnose(net(torch.float16), table(), lr=2e-3, steps=400, optimizer_options={"eps": 1e-4}, probes=False),
    )
    assert [one.verdict for one in mended] == ["healthy", "healthy"]


def test_a_step_with_an_optimizer_over_float16_weights_is_no_other_case() -> None:
    model = net(torch.float16)
    found = causes(model, table().half(), step=step, optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3))
    assert found[0] == "precision"


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (torch.float16, {"optimizer_options": {"eps": 1e-4}}),
        (torch.bfloat16, {}),
        (torch.float32, {"step": step, "amp": torch.bfloat16}),
        (torch.float32, {"step": step, "amp": torch.float16}),
        (torch.float32, {}),
    ],
)
def test_what_16_bits_can_bear_is_no_fault(dtype: torch.dtype, options: dict[str, object]) -> None:
    assert "precision" not in causes(net(dtype), table(), lr=1e-3, **options)


def test_values_beyond_float16_are_an_overflow() -> None:
    finding = preflight(net(torch.float16), 600 * table(), lr=1e-3, optimizer_options={"eps": 1e-4})[0]
    assert finding.cause == "precision"
    assert "the loss is not finite for the first batch, in float32 it is" in finding.evidence[0].text


def test_an_overflow_under_autocast_is_named_with_its_layer() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(20, 4), nn.Linear(4, 20)

        def forward(self, x: Tensor) -> Tensor:
            return self.decoder(1e6 * self.encoder(x)) * 1e-6

    model, options = Large(), {"step": step, "amp": torch.float16}
    finding = preflight(model, table(), **options)[0]
    assert finding.cause == "precision" and "what decoder returns" in finding.evidence[0].text
    assert all(one.set == {} for one in finding.remedies)
    assert "precision" not in causes(model, table(), step=step, amp=torch.bfloat16)


def test_updates_that_are_lost_to_rounding_are_suspected() -> None:
    found = {one.cause: one for one in preflight(net(torch.bfloat16), table(), lr=1e-5)}
    assert "lost to rounding" in found["precision"].evidence[0].text
    assert "precision" not in causes(net(torch.float32), table(), lr=1e-5)
