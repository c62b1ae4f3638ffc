"""What the engine measures of itself and of the machine."""

import os

import pytest
import torch

from aetui.engine.meters import crowded


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("own", "others", "cores", "expected"),
    [(2, 2, 2, True), (2, 0, 2, False), (2, 1, 2, False), (1, 8, 2, False), (4, 3, 8, False), (4, 8, 8, True)],
)
def test_a_run_is_crowded_where_others_want_every_core_and_it_has_several_threads(
    monkeypatch, threads, own, others, cores, expected
):
    threads(own)
    monkeypatch.setattr(os, "getloadavg", lambda: (float(own + others), 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert crowded() is expected


def test_a_system_without_a_load_average_is_never_crowded(monkeypatch, threads):
    threads(2)
    monkeypatch.delattr(os, "getloadavg")
    assert not crowded()
