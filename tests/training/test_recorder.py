"""The recorder keeps every step, in order, whatever the device."""

import sys
import threading

import numpy as np
import pytest
import torch

from aetui.training import recorder as module
from aetui.training.recorder import Recorder

HERE = torch.device("cpu")


def test_the_ring_gives_back_every_step_across_its_end(monkeypatch):
    monkeypatch.setattr(module, "_CAPACITY", 8)
    recorder = Recorder(HERE)
    for step in range(21):
        value = torch.tensor(float(step))
        recorder.add_tensors(value, None if step % 2 else value + 0.5, value * 2, torch.tensor(step % 3 == 0))
    records = recorder.drain()
    steps = np.arange(21)
    assert np.array_equal(records.loss, steps)
    assert np.array_equal(records.total, np.where(steps % 2, steps, steps + 0.5))
    assert np.array_equal(records.grad_norm, steps * 2)
    assert np.array_equal(records.clipped, steps % 3 == 0)
    assert len(recorder.drain()) == 0


def test_values_on_the_host():
    recorder = Recorder(None)
    recorder.add_values(1.0, 2.0, 3.0, True)
    records = recorder.drain()
    assert [records.loss[0], records.total[0], records.grad_norm[0], records.clipped[0]] == [1, 2, 3, 1]


@pytest.mark.parametrize("device", [None, HERE], ids=["host", "ring"])
def test_steps_that_another_thread_takes_over_meanwhile_are_all_there_once_and_in_order(monkeypatch, device):
    monkeypatch.setattr(module, "_CAPACITY", 64)
    recorder, over, count = Recorder(device), threading.Event(), 20_000
    taken: list[float] = []

    def take() -> None:
        while not over.is_set():
            taken.extend(recorder.drain().loss.tolist())

    thread = threading.Thread(target=take)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for step in range(count):
            if device is None:
                recorder.add_values(step, step, 0.0, False)
            else:
                recorder.add_tensors(value := torch.tensor(float(step)), None, value, None)
    finally:
        sys.setswitchinterval(interval)
        over.set()
        thread.join()
    taken.extend(recorder.drain().loss.tolist())
    assert taken == list(range(count))
