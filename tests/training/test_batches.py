"""Batches: every row once an epoch, an order that the seed alone decides."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from aetui.training.batches import Batches


def rows(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float32)[:, None]


def make(count: int, size: int, seed: int = 0, least: int = 1) -> Batches:
    return Batches(rows(count), size, torch.Generator().manual_seed(seed), least=least)


@given(st.integers(1, 60), st.integers(1, 70))
def test_an_epoch_takes_every_row_once(count: int, size: int):
    batches = make(count, size)
    for _ in range(3):
        taken = torch.cat([batches.next() for _ in range(batches.steps_per_epoch)]).flatten()
        assert sorted(taken.tolist()) == list(range(count))
    assert batches.epoch == 3


def test_full_batch_is_the_data_in_its_own_order():
    batches = make(7, 0)
    assert torch.equal(batches.next(), rows(7))
    assert batches.steps_per_epoch == 1


def test_the_seed_decides_the_order():
    first, same, other = (make(50, 8, seed) for seed in (1, 1, 2))
    one = torch.cat([first.next() for _ in range(20)])
    assert torch.equal(one, torch.cat([same.next() for _ in range(20)]))
    assert not torch.equal(one, torch.cat([other.next() for _ in range(20)]))


def test_the_block_size_does_not_change_the_order(monkeypatch):
    wanted = torch.cat([batch for batches in [make(50, 8)] for batch in (batches.next() for _ in range(21))])
    monkeypatch.setattr(Batches, "BLOCK", 1)
    found = torch.cat([batch for batches in [make(50, 8)] for batch in (batches.next() for _ in range(21))])
    assert torch.equal(wanted, found)


def test_a_new_batch_size_goes_on_at_the_next_row():
    batches = make(20, 4)
    taken = [batches.next(), batches.next()]
    batches.resize(6)
    taken += [batches.next(), batches.next()]
    assert [len(batch) for batch in taken] == [4, 4, 6, 6]
    assert sorted(torch.cat(taken).flatten().tolist()) == list(range(20))


def test_a_rest_that_is_too_small_is_left_out():
    batches = make(9, 4, least=2)
    sizes = [len(batches.next()) for _ in range(8)]
    assert sizes == [4] * 8
    assert batches.steps_per_epoch == 2
