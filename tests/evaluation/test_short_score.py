"""A short version of `python -m evaluation.score`: quick cases of the calibration split, whose acceptance is known."""

import pytest
import torch

from evaluation.score import judge
from evaluation.tally import summary

FAULTS = {
    "bad-values:0": 0, "exploding-gradients:1": 0, "dead-units:1": 1, "frozen-parameters:0": 0, "shape-broadcast:0": 0,
    "init-scale:0": 0, "init-symmetry:0": 1, "code-too-large:0": 1,
}  # fmt: skip
HEALTHY = {8: 0, 12: 0, 15: 0, 19: 0, 21: 0, 24: 0, 28: 0, 30: 0, 43: 0, 56: 0, 57: 0}
"""Attempt by number: plain and odd models, a VAE, denoising, small batches, noise, constant features, identical rows,
clipping, tied weights on bytes, a slow run."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_planted_faults_are_found_and_healthy_runs_left_alone():
    results = [judge(f"calibration:{name}:2", attempt) for name, attempt in FAULTS.items()]
    results += [judge(f"calibration:healthy:{number}:2", attempt) for number, attempt in HEALTHY.items()]
    assert not [result.error for result in results if result.error]
    assert not [(result.id, result.contradictions) for result in results if result.contradictions]
    score = summary(results)
    assert score["detection"].count == len(FAULTS)
    assert score["false alarms"].count == 0
    assert score["top-1 cause"].count >= len(FAULTS) - 1
    assert score["top-3 cause"].count == len(FAULTS)
