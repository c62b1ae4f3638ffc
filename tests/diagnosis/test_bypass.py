"""What goes around the code, and what only looks so."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import diagnose
from aetui.diagnosis.api import subject_of
from aetui.diagnosis.bypass import measure_bypass

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def table() -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.tanh(torch.randn(300, 6, generator=made) @ torch.randn(6, 24, generator=made))


class Net(nn.Module):
    def __init__(self, skip: bool, drawn: bool = False) -> None:
        super().__init__()
        self.skip, self.drawn = skip, drawn
        self.first, self.code, self.back = nn.Linear(24, 16), nn.Linear(16, 2), nn.Linear(2, 16)
        self.norm, self.last = nn.BatchNorm1d(16), nn.Linear(16, 24)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        hidden = torch.relu(self.norm(self.first(x)))
        z = self.code(hidden)
        z = z + torch.randn_like(z) if self.drawn else z
        back = self.back(z)
        if labels is not None:
            back = back + F.one_hot(labels, 16)
        return self.last(torch.relu(back) + hidden if self.skip else torch.relu(back))


def test_a_skip_connection_is_said_in_a_note() -> None:
    report = diagnose(Net(True), table(), steps=60, probes=False)
    note = next(note for note in report.notes if "goes around" in note)
    assert "what code returns" in note


@pytest.mark.parametrize("drawn", [False, True])
def test_without_one_nothing_goes_around_the_code(drawn: bool) -> None:
    found = measure_bypass(subject_of(Net(False, drawn), table()))
    assert found is not None and found.share == pytest.approx(0, abs=1e-6)


def test_labels_that_a_step_gives_the_decoder_are_none() -> None:
    labels = torch.arange(300) % 10

    def step(model: nn.Module, batch: list[Tensor]) -> Tensor:
        return F.mse_loss(model(batch[0], batch[1]), batch[0])

    data = torch.utils.data.TensorDataset(table(), labels)
    assert measure_bypass(subject_of(Net(False), data, step=step)) is None
