"""Rows of a batch that reach each other, and what only looks so."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import diagnose, preflight
from aetui.diagnosis.api import subject_of
from aetui.diagnosis.rows import measure_rows

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def sines(rows: int = 120) -> Tensor:
    made = torch.Generator().manual_seed(0)
    t = torch.linspace(0, 1, 12)
    return torch.sin(6.28 * (t * (1 + torch.rand(rows, 1, generator=made)) + torch.rand(rows, 1, generator=made)))


def table(rows: int = 200) -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.tanh(torch.randn(rows, 4, generator=made) @ torch.randn(4, 20, generator=made))


class Lstm(nn.Module):
    """From the report: the decoder has no batch_first."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.encoder = nn.LSTM(1, 16, batch_first=True)
        self.decoder = nn.LSTM(16, 16, batch_first=batch_first)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x)[1][0][-1]
        return self.head(self.decoder(code[:, None].repeat(1, x.shape[1], 1))[0])


class Transformer(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.enter = nn.Linear(1, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
        self.code, self.leave = nn.Linear(96, 3), nn.Linear(3, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.code(self.layer(self.enter(x)).flatten(1)))[..., None]


class Between(nn.Module):
    """Something that is done with the codes of a batch."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.encoder, self.decoder = what, nn.Linear(20, 8), nn.Linear(8, 20)
        self.attention = nn.MultiheadAttention(8, 2)
        self.batch_norm = nn.BatchNorm1d(8, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        match self.what:
            case "reshape for a transpose":
                z = z.t().reshape(z.shape)
            case "softmax over the batch":
                z = torch.softmax(z, 0)
            case "shifted rows":
                z = z.roll(1, 0)
            case "statistics of the batch":
                z = self.batch_norm(z) + (z - z.mean(0)) / z.std(0)
            case "attention to all rows":
                z = z + self.attention(z[:, None], z[:, None], z[:, None])[0][:, 0]
            case "attention by hand":
                z = z + torch.softmax(z @ z.t() / 8**0.5, -1) @ z
            case "exchanged in training":
                z = z[torch.randperm(len(z))] if self.training else z
        return self.decoder(z)


def first(model: nn.Module, x: Tensor, **options: object) -> str:
    found = preflight(model, x, **options)
    return found[0].cause if found else ""


@pytest.mark.parametrize("kind", [Lstm, Transformer])
def test_a_lost_batch_first_mixes_rows(kind: type[nn.Module]) -> None:
    x = sines()[:, :, None]
    assert first(kind(False), x) == "batch-mixing"
    assert measure_rows(subject_of(kind(True), x)).mixing is None


@pytest.mark.parametrize("what", ["reshape for a transpose", "softmax over the batch", "shifted rows"])
def test_dimensions_that_are_taken_for_each_other_mix_rows(what: str) -> None:
    assert first(Between(what), table()) == "batch-mixing"


@pytest.mark.parametrize(
    "what",
    ["statistics of the batch", "attention to all rows", "attention by hand", "exchanged in training", "nothing"],
)
def test_what_rows_share_on_purpose_is_no_mixing(what: str) -> None:
    found = measure_rows(subject_of(Between(what), table()))
    assert found.tried and found.mixing is None and found.own > 0.1


def test_the_evidence_names_the_two_rows_and_the_layer() -> None:
    model = Lstm(False)
    subject = subject_of(model, sines()[:, :, None])
    finding, x = preflight(model, sines()[:, :, None])[0], subject.inputs
    found = measure_rows(subject).mixing
    assert found is not None and found.changed != found.reached and found.where == "decoder"
    batch = x[torch.linspace(0, subject.rows - 1, found.rows + 1).round().long()]
    other = batch[:-1].clone()
    other[found.changed] = batch[-1]
    with torch.no_grad():
        before, after = model(batch[:-1]), model(other)
    change = float((after - before)[found.reached].abs().max() / before.abs().max())
    assert change == pytest.approx(found.change, rel=1e-3)
    assert "changes the reconstruction of row" in finding.evidence[0].text
    assert "batch_first=True" in finding.remedies[0].text


def plain(model: nn.Module, batch: Tensor) -> Tensor:
    return F.mse_loss(model(batch), batch)


def wrong_order(model: nn.Module, batch: Tensor) -> Tensor:
    return F.mse_loss(model(batch.t().reshape(batch.shape)), batch)


def mixup(model: nn.Module, batch: Tensor) -> Tensor:
    mixed = 0.7 * batch + 0.3 * batch[torch.randperm(len(batch))]
    return F.mse_loss(model(mixed), mixed)


def swap_noise(model: nn.Module, batch: Tensor) -> Tensor:
    other = batch[torch.randperm(len(batch))]
    return F.mse_loss(model(torch.where(torch.rand_like(batch) > 0.9, other, batch)), batch)


def test_a_step_that_mixes_rows_is_found_and_augmentation_is_none() -> None:
    model = Between("nothing")
    assert first(model, table(), step=wrong_order) == "batch-mixing"
    for step in (mixup, swap_noise):
        found = measure_rows(subject_of(model, table(), step=step))
        assert found.tried and found.mixing is None


def test_a_run_that_is_fine_all_the_same_says_so_in_a_note() -> None:
    class Hint(Between):
        def forward(self, x: Tensor) -> Tensor:
            z = self.encoder(x)
            return self.decoder(z + 0.02 * z.roll(1, 0))

    report = diagnose(Hint("nothing"), table(), lr=1e-2, steps=400, probes=False)
    assert report.verdict == "healthy" and not report.findings
    assert any("Rows reach each other" in note for note in report.notes)


def test_looking_at_rows_leaves_the_model_as_it_was() -> None:
    model = Between("statistics of the batch")
    before, state = {name: one.clone() for name, one in model.state_dict().items()}, torch.get_rng_state()
    measure_rows(subject_of(model, table()))
    assert model.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_a_model_that_takes_its_own_batch_size_only_is_tried_at_that() -> None:
    class Sized(Between):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.view(32, 20))

    found = measure_rows(subject_of(Sized("shifted rows"), table(), step=plain, batch_size=32))
    assert found.mixing is not None and found.mixing.rows == 32
