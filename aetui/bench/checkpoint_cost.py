"""What a checkpoint of a large model costs the training: `python -m aetui.bench.checkpoint_cost [MILLIONS]`.

Prints JSON: the parameters, the size of a checkpoint, how long the copy of the state stops the training beside a
plain copy of the same tensors, and the steps per second while the file is written beside those without.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from typing import Any

from torch import Tensor

from aetui import presets
from aetui.runs.folder import RunFolder
from aetui.runs.recording import Recording
from aetui.spec import changed
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer

_ROUNDS = 5
_ROWS = {"data.kind": "gaussian", "data.rows": 256, "data.features": 1000, "train.batch_size": 8, "train.steps": 0}


def measure(millions: float) -> dict[str, Any]:
    """All figures for an MLP of about so many million parameters."""
    width = int(millions * 1e6 / 4000)
    spec = changed(presets.load("digits"), _ROWS | {"model.hidden": (width, 1000), "model.code": 64})
    with tempfile.TemporaryDirectory() as home:
        os.environ["AETUI_HOME"] = home
        trainer = Trainer(spec)
        recording = Recording.begin(RunFolder.create("bench"), SpecTraining(trainer))
        for _ in range(2):
            _step(recording)
        copies, stalls, alone, writing = [], [], [], []
        for _ in range(_ROUNDS):
            copies.append(_copy(trainer))
            alone += [_step(recording) for _ in range(3)]
            start = time.perf_counter()
            recording.checkpoint("bench")
            stalls.append(time.perf_counter() - start)
            while recording.writer.busy:
                writing.append(_step(recording))
        size = recording.writer.rows[-1].bytes
        recording.close("")
    return {
        "parameters": trainer.flat.values.numel(),
        "checkpoint_mb": size / 1e6,
        "copy_s": statistics.median(copies),
        "stall_s": statistics.median(stalls),
        "stall_over_copy": statistics.median(stalls) / statistics.median(copies),
        "step_s": statistics.median(alone),
        "step_while_writing_s": statistics.median(writing) if writing else None,
        "longest_step_s": max(alone),
        "longest_step_while_writing_s": max(writing, default=None),
    }


def _step(recording: Recording) -> float:
    """Seconds of one step, recorded."""
    start = time.perf_counter()
    steps = recording.training.steps
    assert steps.advance is not None
    steps.advance()
    recording.add(steps.drain())
    return time.perf_counter() - start


def _copy(trainer: Trainer) -> float:
    """Seconds that a plain copy of the weights and the optimizer's state takes."""
    values = trainer.flat.values
    tensors = [values.detach(), *(one for one in trainer.optimizer.state[values].values() if isinstance(one, Tensor))]
    start = time.perf_counter()
    copies = [tensor.clone() for tensor in tensors]
    seconds = time.perf_counter() - start
    del copies
    return seconds


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 100)))
