"""A user's own model: what is taken, how it is called, and what is said where it can't be used."""

import copy
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aetui.engine.history import History
from aetui.engine.measure import Gauges
from aetui.models.build import ModelError, build
from aetui.models.custom import OwnAutoencoder
from aetui.models.errors import ForwardError
from aetui.models.units import measure_units
from aetui.spec import RunSpec, changed
from aetui.training.remarks import warnings
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer

HEAD = "import torch\nfrom torch import nn\n"

PLAIN = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 5), nn.Tanh())
        self.decoder = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 64))

    def forward(self, x):
        return self.decoder(self.encoder(x))
"""

VAE = """
class AE(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.body, self.mu, self.lv = nn.Linear(features, 12), nn.Linear(12, 3), nn.Linear(12, 3)
        self.first, self.last, self.drop = nn.Linear(3, 12), nn.Linear(12, features), nn.Dropout(0.2)

    def forward(self, x):
        h = torch.relu(self.body(x))
        mu, lv = self.mu(h), self.lv(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * lv)
        return self.last(self.drop(torch.relu(self.first(z)))), mu, lv
"""


def spec_for(folder: Path, text: str, name: str = "AE", **changes) -> RunSpec:
    file = folder / "mine.py"
    file.write_text(HEAD + text)
    settings = {"data.rows": "0:200", "train.batch_size": 32, "train.device": "cpu", "train.threads": 1}
    return changed(
        RunSpec(),
        {"model.kind": "file", "model.path": f"{file}:{name}", **settings}
        | {key.replace("__", "."): value for key, value in changes.items()},
    )


def own(folder: Path, text: str, features: int = 64, image: tuple[int, ...] = (1, 8, 8), **changes) -> OwnAutoencoder:
    strict = changes.pop("strict", True)
    model = build(spec_for(folder, text, **changes), features, image, seed=3, strict=strict)
    assert isinstance(model, OwnAutoencoder)
    return model


def batch(rows: int = 6, features: int = 64) -> torch.Tensor:
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(0))


def refusal(folder: Path, text: str, **changes) -> str:
    with pytest.raises(ModelError) as caught:
        own(folder, text, **changes)
    sentence = str(caught.value)
    assert sentence.startswith(("model.path: ", "model.args: ")) and "\n" not in sentence
    return sentence


def test_a_plain_module_is_an_autoencoder_whose_code_is_what_the_decoder_takes(tmp_path):
    model = own(tmp_path, PLAIN)
    x = batch()
    made = model(x)
    encoder, decoder = model.inner.get_submodule("encoder"), model.inner.get_submodule("decoder")
    assert torch.equal(made.code, encoder(x)) and torch.equal(made.output, decoder(encoder(x)))
    assert torch.equal(model.encode(x), made.code)
    assert made.kl is None and not model.variational
    assert model.code_width == 5 and model.architecture == "AE 64-16-[5]-16-64"


def test_a_copy_catches_its_own_code(tmp_path):
    model = own(tmp_path, PLAIN)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    x = batch()
    assert torch.equal(twin(x).code, twin.inner.get_submodule("encoder")(x))
    assert torch.equal(model(x).code, model.inner.get_submodule("encoder")(x))


@pytest.mark.parametrize(
    ("returned", "kl"),
    [
        ("out, mu, lv", True),
        ("{'x_hat': out, 'mu': mu, 'logvar': lv}", True),
        ("[out, x, mu, lv]", True),
        ("out, (mu, lv)", True),
        ("mu, out", False),
        ("{'latent': mu, 'decoded': out}", False),
        ("out, mu", False),
    ],
)
def test_reconstruction_and_code_are_found_in_what_forward_returns(tmp_path, returned, kl):
    text = f"""
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.mu, self.lv, self.back = nn.Linear(64, 4), nn.Linear(64, 4), nn.Linear(4, 64)

    def forward(self, x):
        mu, lv = self.mu(x), self.lv(x)
        out = self.back(mu) + 0 * lv.sum()
        return {returned}
"""
    model = own(tmp_path, text)
    x = batch()
    made = model(x)
    mean, log_variance = model.inner.get_submodule("mu")(x), model.inner.get_submodule("lv")(x)
    assert torch.equal(made.code, mean) and made.output.shape == (6, 64)
    assert model.variational is kl and model.code_width == 4
    if kl:
        q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
        torch.testing.assert_close(made.kl, expected)
    else:
        assert made.kl is None


@pytest.mark.parametrize(
    ("body", "call", "shape"),
    [
        ("self.a, self.b = nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 2, 2)", "self.b(self.a(x))", (1, 8, 8)),
        ("self.a, self.b = nn.LSTM(8, 3, batch_first=True), nn.Linear(3, 8)", "self.b(self.a(x)[0])", (8, 8)),
        ("self.a, self.b = nn.Conv1d(1, 2, 3, 1, 1), nn.Conv1d(2, 1, 1)", "self.b(self.a(x))", (1, 64)),
        ("self.a, self.b = nn.Linear(64, 3), nn.Linear(3, 64)", "self.b(self.a(x.view(-1, 64)))", (64,)),
    ],
)
def test_rows_are_given_in_the_first_shape_that_the_module_takes(tmp_path, body, call, shape):
    text = f"""
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        {body}

    def forward(self, x):
        return {call}
"""
    model = own(tmp_path, text)
    assert model.row_shape == shape
    assert model(batch()).output.shape == (6, 64)


def test_a_recurrent_code_that_is_the_last_state_is_found(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.LSTM(8, 7, batch_first=True), nn.LSTM(7, 12, batch_first=True)
        self.out = nn.Linear(12, 8)

    def forward(self, x):
        state = self.enc(x)[1][0][-1]
        return self.out(self.dec(state.unsqueeze(1).expand(-1, 8, -1))[0])
"""
    model = own(tmp_path, text)
    x = batch()
    assert torch.equal(model(x).code, model.inner.get_submodule("enc")(x.view(-1, 8, 8))[1][0][0])


def test_a_narrow_side_branch_is_not_the_code(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.code, self.back = nn.Linear(64, 2), nn.Linear(64, 6), nn.Linear(6, 64)

    def forward(self, x):
        return self.back(self.code(x * self.gate(x).mean(1, keepdim=True)))
"""
    assert own(tmp_path, text).code_width == 6


def test_the_code_width_of_the_spec_chooses_among_the_layers(tmp_path):
    model = own(tmp_path, PLAIN, model__code=16)
    assert model.code_width == 16 and model(batch()).code.shape == (6, 16)


@pytest.mark.parametrize(
    "maker",
    [
        "def AE():\n    return nn.Linear(64, 64)",
        "def AE(spec):\n    return nn.Linear(64, 2 * spec.train.batch_size)",
        "def AE(whatever):\n    return nn.Linear(64, 2 * whatever.train.batch_size)",
        "def AE(input_dim, hidden=3):\n    return nn.Sequential(nn.Linear(input_dim, hidden), nn.Linear(hidden, 64))",
        "def AE(*, features, image_shape):\n    assert image_shape == (1, 8, 8)\n    return nn.Linear(features, 64)",
        "AE = nn.Sequential(nn.Linear(64, 3), nn.Linear(3, 64))",
        "AE = lambda: nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(64))",
    ],
)  # fmt: skip
def test_classes_functions_and_modules_are_called_by_their_signature(tmp_path, maker):
    assert own(tmp_path, maker)(batch()).output.shape == (6, 64)


@pytest.mark.parametrize(
    ("text", "name", "parts"),
    [
        (PLAIN, "EA", ("mine.py", "'EA'", "did you mean AE?")),
        ("AE = 3", "AE", ("mine.py: AE is an object of type int",)),
        ("class AE:\n    pass", "AE", ("a class that is no torch.nn.Module",)),
        ("def AE():\n    return 3", "AE", ("AE returned an object of type int",)),
        ("def AE(a, b):\n    return 3", "AE", ("mine.py:AE needs a, b", "give it a default")),
        ("def AE(latent: int):\n    return 3", "AE", ("mine.py:AE needs latent", "--model-arg latent=")),
        ("def AE(latent):\n    return nn.Linear(64, latent)", "AE", ("AE can't be made", "--model-arg latent=")),
        ("def AE():\n    return nn.Identity()", "AE", ("no trainable parameters", "ModuleList")),
        ("AE = nowhere.Net", "AE", ("mine.py, line 3: NameError",)),
        ("import nowhere_at_all", "AE", ("mine.py, line 3: ModuleNotFoundError",)),
        ("class AE(nn.Module)\n    pass", "AE", ("mine.py, line 3: SyntaxError",)),
        ("raise SystemExit(1)", "AE", ("mine.py, line 3: SystemExit: 1",)),
        ("def AE():\n    return nn.Linear(-1, 2)", "AE", ("AE can't be made: mine.py, line 4: ",)),
        ("AE = nn.Linear(5, 5)", "AE", ("AE failed on a batch of [13, 64]", "[1, 8, 8]")),
        ("AE = nn.Linear(64, 1)", "AE", ("returned [13, 1] for a batch of [13, 64]", "broadcast", "64 values per row")),
        ("AE = nn.Linear(64, 32)", "AE", ("returned [13, 32] for a batch of [13, 64];",)),
    ],
)
def test_what_cannot_be_used_is_one_sentence_with_file_and_line(tmp_path, text, name, parts):
    sentence = refusal(tmp_path, text, name=name)
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    ("forward", "part"),
    [
        ("return None", "AE returned None"),
        ("return self.a(x).detach()", "no gradient reaches the output of AE"),
        ("return self.a(x)[0:1]", "returned [1, 64]"),
        ("return self.a(x) + missing", "mine.py, line 9: NameError: name 'missing' is not defined"),
    ],
)
def test_a_forward_that_cannot_be_trained_is_one_sentence(tmp_path, forward, part):
    text = f"""
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 64)
    def forward(self, x):
        {forward}
"""
    assert part in refusal(tmp_path, text)


def test_a_missing_file_is_one_sentence(tmp_path):
    spec = changed(RunSpec(), {"model.kind": "file", "model.path": f"{tmp_path}/none.py:AE"})
    with pytest.raises(ModelError, match=r"none\.py: there is no such file"):
        build(spec, 64, (), seed=0)


@pytest.mark.parametrize(("width", "strict"), [(1, True), (1, False), (64, True), (64, False)])
def test_an_output_of_another_shape_is_refused_or_handed_on_to_be_broadcast(tmp_path, width, strict):
    text = f"AE = nn.Sequential(nn.Linear(64, {width}))"
    if width == 1 and strict:
        assert "broadcast" in refusal(tmp_path, text)
        return
    output = own(tmp_path, text, strict=strict)(batch()).output
    assert output.shape == (6, width)


def test_without_strictness_a_squeezed_column_broadcasts_as_in_a_plain_loop(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(1, 1)
    def forward(self, x):
        return self.a(x).squeeze(1)
"""
    x = batch(6, 1)
    assert own(tmp_path, text, 1, ())(x).output.shape == (6, 1)
    raw = own(tmp_path, text, 1, (), strict=False)(x).output
    assert raw.shape == (6,)
    assert (raw - x).shape == (6, 6)


def test_building_leaves_every_global_generator_and_the_path_as_they_were(tmp_path):
    text = "import random, numpy\nrandom.random(), numpy.random.rand(), torch.rand(1)\n" + VAE
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    path = list(sys.path)
    model = own(tmp_path, text)
    model(batch())
    model.eval()(batch())
    assert random.getstate() == before[0] and np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert sys.path == path and not (tmp_path / "__pycache__").exists()


def test_the_same_spec_gives_the_same_weights_whatever_is_drawn_or_measured_meanwhile(tmp_path):
    spec = spec_for(tmp_path, VAE, model__kl_weight=0.01)
    first, second = Trainer(spec), Trainer(spec)
    torch.manual_seed(5)
    gauges = Gauges(SpecTraining(second), History())
    for _ in range(12):
        first.advance()
        second.advance()
        torch.rand(3)
        second.evaluate()
        for name in ("variance", "code", "layers", "pairs"):
            gauges.measure(name, 0)
    assert first.weights_sha256() == second.weights_sha256()
    other = Trainer(changed(spec, {"train.seed": 1}))
    assert other.weights_sha256() != Trainer(spec).weights_sha256()


def test_what_a_model_draws_in_eval_mode_is_the_same_at_every_call(tmp_path):
    model = own(tmp_path, VAE)
    x = batch()
    made = [model(x).output for _ in range(2)]
    assert not torch.equal(*made)
    model.eval()
    assert torch.equal(model(x).output, model(x).output)


def test_the_weights_are_the_modules_own_unless_init_says_otherwise(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 64)
        nn.init.constant_(self.a.weight, 0.25)
    def forward(self, x):
        return self.a(x)
"""

    def weights(**changes):
        return own(tmp_path, text, **changes).inner.get_submodule("a").weight

    assert (weights() == 0.25).all()
    assert (weights(init__gain=2.0) == 0.5).all()
    assert (weights(init__kind="constant", init__value=0.1) == torch.tensor(0.1)).all()


def test_tries_leave_no_trace_in_the_module(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 64)
    def forward(self, x):
        x.mul_(1.5)
        return self.b(self.norm(self.a(x)))
"""
    model = own(tmp_path, text)
    norm = model.inner.get_submodule("norm")
    assert isinstance(norm, nn.BatchNorm1d) and int(norm.num_batches_tracked or 0) == 0
    x = batch()
    kept = x.clone()
    model(x)
    assert torch.equal(x, kept), "the rows belong to the data set"


def test_a_failure_on_a_later_batch_is_a_sentence_with_its_line(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 64)
    def forward(self, x):
        if len(x) == 7:
            raise KeyError("seven")
        return self.a(x)
"""
    model = own(tmp_path, text)
    with pytest.raises(ForwardError, match=r"AE failed on a batch of \[7, 64\]: mine.py, line 10: KeyError: 'seven'"):
        model(batch(7))


def test_helpers_beside_the_file_are_imported_and_an_edit_counts(tmp_path):
    (tmp_path / "helpers.py").write_text("WIDTH = 3\n")
    text = "from helpers import WIDTH\nAE = nn.Sequential(nn.Linear(64, WIDTH), nn.Linear(WIDTH, 64))"
    assert own(tmp_path, text).code_width == 3
    (tmp_path / "helpers.py").write_text("WIDTH = 4\n")
    assert own(tmp_path, text).code_width == 4


def test_what_the_file_prints_is_not_on_stdout(tmp_path, capsys):
    own(tmp_path, "print('loading')\n" + PLAIN)
    printed = capsys.readouterr()
    assert printed.out == "" and "loading" in printed.err


def test_the_run_says_how_wide_the_code_is_and_what_the_kl_weighs(tmp_path):
    trainer = Trainer(spec_for(tmp_path, VAE))
    info = SpecTraining(trainer).info()
    assert info.code == 3 and info.architecture == "AE 64-12-[3]-12-64"
    assert any("model.kl_weight" in text and "weight 0" in text for text in info.warnings)
    assert trainer.kl_weight == 0
    trainer.set({"model.kl_weight": 0.5})
    assert trainer.kl_weight == 0.5 and warnings(trainer) == trainer.dataset.warnings
    plain = Trainer(spec_for(tmp_path, PLAIN, model__kl_weight=1.0))
    assert any("has no effect" in text for text in warnings(plain))


def test_the_linear_floor_has_the_width_of_the_code_that_was_found(tmp_path):
    found = Trainer(spec_for(tmp_path, PLAIN)).floors()
    built = Trainer(changed(RunSpec(), {"data.rows": "0:200", "model.code": 5})).floors()
    assert found == built


def test_a_file_that_comes_with_aetui_is_found_beside_the_presets(tmp_path, monkeypatch):
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "models.py").write_text(HEAD + PLAIN)
    monkeypatch.setattr("aetui.models.userfile.files", lambda package: tmp_path)
    spec = changed(RunSpec(), {"model.kind": "file", "model.path": "preset:shelf/models.py:AE"})
    assert build(spec, 64, (), seed=0)(batch()).code.shape == (6, 5)


@pytest.mark.parametrize("path", ["mine.py", "mine:AE", "mine.py:", "preset:../mine.py:AE", "preset:/etc/mine.py:AE"])
def test_a_path_of_another_form_is_refused_by_the_spec(path):
    with pytest.raises(ValueError, match=r"model\.path: .* is not allowed"):
        changed(RunSpec(), {"model.kind": "file", "model.path": path})


def test_a_dense_layer_over_a_sequence_has_its_own_units(tmp_path):
    text = """
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.act, self.dec = nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 8)
        with torch.no_grad():
            self.enc.weight[1].zero_()

    def forward(self, x):
        return self.dec(self.act(self.enc(x.view(-1, 8, 8))))
"""
    model = own(tmp_path, text)
    units = measure_units(model, batch())
    layer = model.inner.get_submodule("enc")
    assert len(units[layer].spread) == 3 and int(units[layer].dead()) == 1
