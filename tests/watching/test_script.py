"""Scripts that other people could have written, untouched, under the runner."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from aetui.watching import finding, prepared, script

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass
class Ended:
    """What a script printed, and what was found in it."""

    printed: str
    run: Any
    said: str
    notes: str = ""

    @property
    def losses(self) -> list[float]:
        return self.run._engine.run.history.since(0).loss.numpy().tolist()


@contextlib.contextmanager
def as_python_does(arguments: list[str]) -> Iterator[None]:
    """What a script's run changes in this process is put back."""
    before = sys.argv, list(sys.path), sys.modules["__main__"], os.getcwd(), sys.excepthook
    random = torch.get_rng_state()
    os.chdir(SCRIPTS)
    sys.argv = ["", *arguments]
    try:
        yield
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"], where, sys.excepthook = before
        os.chdir(where)
        torch.set_rng_state(random)
        for name in [name for name in sys.modules if name.partition(".")[0] == "packaged"]:
            del sys.modules[name]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    def run(name: str, *arguments: str, watched: bool = True, **told: Any) -> Ended:
        monkeypatch.setenv("AETUI_WATCH", "1" if watched else "0")
        finding._finder = None
        key = "script" if name.endswith(".py") else "module"
        printed, said = io.StringIO(), io.StringIO()
        with as_python_does(list(arguments)), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            script.become({key: name, **told})
        finder: Any = finding._finder
        ended = Ended(printed.getvalue(), None if finder is None else finder.run, said.getvalue())
        if finder is not None:
            finder.remove()
            if finder.run is not None:
                finder.run.close()
                ended.notes = "\n".join(text for text in _notes(finder.run))
            prepared._waiting.clear()
        return ended

    yield run
    finding._finder = None


def _notes(run: Any) -> list[str]:
    heard: list[Any] = []
    run._engine.join(heard.append)
    events = [event for one in heard for event in getattr(one, "events", [one])]
    return [event.text for event in events if getattr(event, "text", "")]


CASES = [
    ("plain.py", (), "Sequential", "Adam", "mse", "what net returns", "the input itself", 40),
    ("functions.py", (), "ConvAE", "AdamW", "bce", "what convae returns", "the input itself", 20),
    ("trainer_class.py", (), "VAE", "Adam", "bce_sum", "first item of what vae returns", "the input itself", 25),
    ("with_argparse.py", ("--epochs", "6"), "DAE", "SGD", "mse", "what autoencoder returns", "computed from", 24),
    ("packaged.train", ("6",), "Seen", "RMSprop", "mse", "second item of", "the input itself", 24),
    ("two_modules.py", (), "Seen", "Adam", "mae", "what dec returns", "the input itself", 36),
    ("notebook.py", (), "Seen", "Adam", "mse_sum", "what model.d2 returns", "the input itself", 30),
    ("two_models.py", (), "Generator", "Adam", "mse", "first item of what G returns", "the input itself", 30),
    ("conditional.py", (), "Seen", "LBFGS", "smooth_l1", "'decoded' of what cae returns", "the input itself", 8),
]


@pytest.mark.parametrize(("name", "given", "model", "optimizer", "loss", "made", "wanted", "steps"), CASES)
def test_an_untouched_script_is_understood_and_trains_as_without(
    run_script, name, given, model, optimizer, loss, made, wanted, steps
):
    alone = run_script(name, *given, watched=False)
    assert "weights 0x" in alone.printed
    ended = run_script(name, *given)
    assert ended.printed == alone.printed
    assert ended.run is not None, ended.said
    training = ended.run._training
    assert type(training.module).__name__ == model
    assert [type(one).__name__ for one in training.optimizers] == [optimizer]
    assert training.measured.loss == loss
    assert f"reconstruction: {made}" in ended.notes
    assert f"target: {wanted}" in ended.notes
    assert training.steps.done == steps == len(ended.losses)
    predicted = training.measured.predict(training.measured.probe)
    assert predicted.output.shape == training.measured.probe.targets.shape


def test_the_curve_is_the_loss_that_the_script_prints(run_script):
    ended = run_script("plain.py")
    printed = [float(line.rpartition(" ")[2]) for line in ended.printed.splitlines() if line.startswith("step")]
    assert [ended.losses[step] for step in (0, 10, 20, 30)] == pytest.approx(printed, abs=1e-6)


def test_batches_that_are_added_up_make_one_loss_a_step(run_script):
    ended = run_script("packaged.train", "6")
    assert max(ended.losses) / min(ended.losses) < 1.5
    last = float(ended.printed.splitlines()[-2].rpartition("=")[2])
    assert ended.losses[-1] == pytest.approx(last, rel=0.2)
