"""The KL of a watched model: as a callable gives it, as a forward tells it, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aetui.watching.measured import PROBE_ROWS
from tests.watching.conftest import FEATURES, ROWS, autoencoder, data

UNITS = torch.tensor([0.5, 0.0, 2.0])


class Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(FEATURES, 6), nn.Linear(3, FEATURES)

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(rows).chunk(2, 1)
        return mean, log_variance

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(rows)
        return self.decoder(mean), mean, log_variance


def gaussian(model: nn.Module, rows: Tensor) -> Tensor:
    """[rows, units]"""
    assert isinstance(model, Variational)
    mean, log_variance = model.encode(rows)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


@pytest.mark.parametrize(
    ("given", "total", "by_unit"),
    [
        (lambda model, rows: UNITS.expand(len(rows), 3), 2.5, [0.5, 0.0, 2.0]),
        (lambda model, rows: UNITS, 2.5, [0.5, 0.0, 2.0]),
        (lambda model, rows: torch.full((len(rows),), 2.5), 2.5, None),
        (lambda model, rows: torch.tensor(2.5), 2.5, None),
    ],
    ids=["rows and units", "units", "rows", "total"],
)
def test_it_may_be_given_by_row_by_unit_or_as_a_whole(watched, given, total: float, by_unit):
    run = watched(autoencoder(), optimizer=torch.optim.SGD(autoencoder().parameters(), lr=0.1), code="4", kl=given)
    code = run._engine.run.watch.gauges.measure("code", 0)
    assert run._training.measured.variational
    assert code.kl == pytest.approx(total)
    assert (None if code.unit_kl is None else code.unit_kl.numpy().tolist()) == by_unit


def test_what_the_forward_tells_is_the_closed_form_and_the_same_as_by_hand(watched):
    torch.manual_seed(0)
    model = Variational()
    run = watched(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    told = run._engine.run.watch.gauges.measure("code", 0)
    assert ROWS <= PROBE_ROWS
    with torch.no_grad():
        wanted = gaussian(model, data()).mean(0)
    torch.testing.assert_close(torch.tensor(told.unit_kl.numpy()), wanted)
    assert told.kl == pytest.approx(float(wanted.sum()), rel=1e-5)
    run.close()
    again = watched(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), kl=gaussian)
    assert again._engine.run.watch.gauges.measure("code", 0).unit_kl == told.unit_kl


def test_a_switch_says_that_there_is_a_distribution_and_no_more(watched):
    model = autoencoder()
    run = watched(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), code="4", kl=True)
    assert run._training.measured.variational
    assert run._engine.run.watch.gauges.measure("code", 0).kl is None


@pytest.mark.parametrize(
    ("kl", "error", "sentence"),
    [
        (0.5, TypeError, "kl: 0.5 is not allowed; it takes True, or a callable"),
        (lambda model, rows: 3.0, ValueError, "kl= returned float"),
        (lambda model, rows: torch.zeros(7), ValueError, r"kl= returned shape \[7\] of 2 rows"),
        (lambda model, rows: model.encode(rows), ValueError, "kl: it can't be measured: .*encode"),
    ],
)
def test_another_kl_is_refused_at_once_with_one_sentence(watched, kl, error, sentence: str):
    with pytest.raises(error, match=sentence) as raised:
        watched(autoencoder(), code="4", kl=kl)
    assert "\n" not in str(raised.value)


def test_one_that_draws_and_fails_later_costs_the_loop_and_the_other_figures_nothing(watched):
    calls: list[int] = []

    def moody(model: nn.Module, rows: Tensor) -> Tensor:
        torch.rand(3)
        calls.append(len(rows))
        if len(rows) > 2:
            raise RuntimeError("not today")
        return torch.zeros(3)

    model = autoencoder()
    state = torch.get_rng_state()
    run = watched(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), code="4", kl=moody)
    assert len(calls) >= 2 and torch.equal(torch.get_rng_state(), state)
    assert run._engine.run.watch.point is not None
    assert run._engine.run.watch.gauges.measure("code", 0).kl is None
