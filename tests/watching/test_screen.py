"""What the screen makes of a run that no spec assembled."""

from __future__ import annotations

import torch

from aetui import protocol as p
from aetui.cli.main import main
from aetui.report import Remedy
from aetui.spec.fields import kind_of
from aetui.tui import form_fields, remedies, told
from tests.watching.conftest import Screen, autoencoder, data, weights


def test_the_form_has_what_the_run_tells_and_nothing_else(watched):
    model = autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25, momentum=0.5)
    run = watched(model, optimizer=optimizer, loss="mse")
    run._training.settings.put_in_force({"clip.kind": "value", "clip.threshold": "3"})
    info = run._training.info()
    spec = told.spec_of(info)
    assert (spec.optim.lr, spec.optim.momentum) == (0.25, 0.5)
    assert (kind_of(spec.clip), spec.clip.threshold) == ("value", 3.0)
    rows = told.shown(form_fields.rows_of(spec), info)
    assert [row.path for row in rows] == [
        "optim", "optim.lr", "optim.momentum", "optim.weight_decay", "clip", "clip.kind", "clip.threshold",
    ]  # fmt: skip


def test_what_cannot_be_known_says_what_to_add(watched):
    warnings = " ".join(watched(autoencoder())._training.info().warnings)
    assert "loss=" in warnings and "code=" in warnings
    assert watched(autoencoder(), loss="mse", code="4")._training.info().warnings == ()


def test_the_record_of_a_watched_run_is_exported_and_what_needs_its_script_is_refused(
    watched, tmp_path, monkeypatch, capsys
):
    model = autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    run = watched(model, optimizer=optimizer, name="mine")
    for _ in range(3):
        loss = model(data()).square().mean()
        loss.backward()
        optimizer.step()
        run.log(loss)
    run.close()
    monkeypatch.chdir(tmp_path)
    assert main(["export", "mine", "--to", "csv"]) == 0
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 5  # the names, step 0 and three steps
    assert main(["export", "mine", "--to", "torch"]) == 0
    weights = torch.load(tmp_path / "mine.pt", weights_only=True)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    for command in (["export", "mine", "--to", "script"], ["resume", "mine", "--headless"]):
        assert main(command) != 0
        assert "was trained by a script" in capsys.readouterr().err


def test_a_remedy_that_is_no_setting_of_the_loop_is_a_change_in_its_code(watched):
    model = autoencoder()
    run = watched(model, optimizer=torch.optim.Adam(model.parameters(), lr=0.01), loss="mse")
    info = run._training.info()
    spec, settable = told.spec_of(info), told.settable(info)
    scaled = Remedy(id="minmax", text="Bring the data into 0..1.", set={"data.scaling": "minmax"})
    slower = Remedy(id="slower", text="Lower the rate.", set={"optim.lr": 1e-3})
    line = Remedy(id="out", text="Leave it out.", set={"model.output": "identity"}, line="net.py:3: return sigmoid(x)")
    assert remedies.effect(spec, scaled, settable) == [("a change in the code: it is in your own loop", "muted")]
    assert remedies.effect(spec, line, settable) == [("a change in the code: net.py:3: return sigmoid(x)", "muted")]
    assert remedies.effect(spec, slower, settable) == [("optim.lr 0.01 -> 0.001 (live)", "data")]
    assert told.settable(None) is None


def test_a_watched_loop_is_not_forked_and_says_what_can_be_done(watched):
    def trained(asked: bool) -> torch.Tensor:
        model = autoencoder()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        run = watched(model, optimizer=optimizer, loss="mse")
        screen = Screen(run)
        numbers = []
        for step in range(5):
            torch.manual_seed(step)
            loss = model(data()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if asked and step == 1:
                numbers = [screen.ask(p.TryForks, edits=({"optim.lr": "0.1"},)), screen.ask(p.Adopt, fork="edit-1")]
        if asked:
            tried, adopted = map(screen.answer, numbers)
            assert isinstance(tried, p.Refused) and isinstance(adopted, p.Refused)
            assert "trains in a loop of its own" in tried.text and "probes can check it" in tried.text
            assert "has no forks" in adopted.text
        run.close()
        return weights(model)

    assert torch.equal(trained(True), trained(False))
