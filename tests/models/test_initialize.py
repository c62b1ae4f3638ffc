import math

import pytest
import torch
from torch import nn

from aetui.models.base import TiedLinear
from aetui.models.build import build
from aetui.models.initialize import initialize
from aetui.spec import RunSpec, changed, sections
from aetui.spec.fields import variants

DENSE = (300, 500)
"""Fan out and fan in of the dense layer under test."""


def drawn(section, module, seed=0):
    initialize(module, section, torch.Generator().manual_seed(seed))
    return module.weight.detach()


EXPECTED_STD = [
    (sections.PytorchInit(), 1 / math.sqrt(3 * 500)),
    (sections.KerasInit(), math.sqrt(2 / 800)),
    (sections.HeNormal(), math.sqrt(2 / 500)),
    (sections.HeUniform(), math.sqrt(2 / 500)),
    (sections.XavierNormal(), math.sqrt(2 / 800)),
    (sections.XavierUniform(), math.sqrt(2 / 800)),
    (sections.NormalInit(std=0.03), 0.03),
    (sections.UniformInit(bound=0.2), 0.2 / math.sqrt(3)),
    (sections.Orthogonal(), 1 / math.sqrt(500)),
]


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize(("section", "std"), EXPECTED_STD, ids=lambda value: type(value).__name__)
def test_spread_and_biases(section, std, gain):
    section = type(section)(
        **{name: getattr(section, name) for name in section.__struct_fields__ if name != "gain"}, gain=gain
    )
    module = nn.Linear(DENSE[1], DENSE[0])
    weight = drawn(section, module)
    assert weight.std().item() == pytest.approx(gain * std, rel=0.01)
    assert abs(weight.mean().item()) < gain * std / 50
    if isinstance(section, sections.PytorchInit):
        bound = 1 / math.sqrt(DENSE[1])
        assert bound * 0.95 < module.bias.abs().max().item() <= bound
    else:
        assert torch.equal(module.bias, torch.zeros(DENSE[0]))


@pytest.mark.parametrize(
    ("section", "bound"),
    [
        (sections.PytorchInit(), 1 / math.sqrt(500)),
        (sections.KerasInit(), math.sqrt(6 / 800)),
        (sections.XavierUniform(), math.sqrt(6 / 800)),
        (sections.HeUniform(), math.sqrt(6 / 500)),
        (sections.UniformInit(bound=0.2), 0.2),
        (sections.KerasInit(gain=3.0), 3 * math.sqrt(6 / 800)),
    ],
)
def test_uniform_kinds_reach_their_bound_and_no_further(section, bound):
    weight = drawn(section, nn.Linear(DENSE[1], DENSE[0]))
    largest = weight.abs().max().item()
    assert largest <= bound * (1 + 1e-6)
    assert largest > 0.999 * bound


def test_normal_kinds_have_normal_tails():
    weight = drawn(sections.NormalInit(std=1.0), nn.Linear(*DENSE))
    share = [(weight.abs() > z).double().mean().item() for z in (1, 2, 3)]
    assert share == pytest.approx([0.3173, 0.0455, 0.0027], rel=0.1)


def test_orthogonal_weights_are_orthogonal_and_gain_scales_them():
    weight = drawn(sections.Orthogonal(gain=2.0), nn.Linear(64, 40))
    torch.testing.assert_close(weight @ weight.T, 4 * torch.eye(40), atol=1e-5, rtol=0)


def test_constant_times_gain():
    weight = drawn(sections.ConstantInit(value=0.1, gain=3.0), nn.Linear(5, 4))
    torch.testing.assert_close(weight, torch.full((4, 5), 0.3))


@pytest.mark.parametrize(
    ("module", "fan_in", "fan_out"),
    [(nn.Conv2d(20, 60, 3), 180, 540), (nn.ConvTranspose2d(20, 60, 3), 540, 180)],
)
def test_convolutions_use_the_fans_of_keras(module, fan_in, fan_out):
    assert drawn(sections.KerasInit(), module).abs().max().item() == pytest.approx(
        math.sqrt(6 / (fan_in + fan_out)), rel=0.01
    )
    assert drawn(sections.HeNormal(), module).std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.03)
    drawn(sections.PytorchInit(), module)
    assert module.bias.abs().max().item() <= 1 / math.sqrt(fan_in)


@pytest.mark.parametrize("layers", [[nn.Linear], [nn.Conv2d, nn.ConvTranspose2d]])
def test_pytorch_kind_draws_the_very_numbers_of_pytorch(layers):
    def make():
        return nn.Sequential(*(layer(7, 5, *([] if layer is nn.Linear else [3])) for layer in layers))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        reference = make()
        model = make()
    initialize(model, sections.PytorchInit(), torch.Generator().manual_seed(11))
    for one, other in zip(reference.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_tied_decoder_draws_only_biases():
    source = nn.Linear(400, 100)
    pair = nn.ModuleList([source, TiedLinear(source)])
    initialize(pair, sections.PytorchInit(), torch.Generator().manual_seed(0))
    bias = pair[1].bias
    assert bias.shape == (400,)
    assert 0.09 < bias.abs().max().item() <= 1 / math.sqrt(100)


def test_batch_norm_starts_as_the_identity_under_every_kind():
    for kind in variants("init"):
        spec = changed(RunSpec(), {"init.kind": kind, "init.gain": 5.0, "model.batch_norm": True})
        norm = build(spec, 64, (), seed=0).encoder.norm1
        assert torch.equal(norm.weight, torch.ones(128))
        assert torch.equal(norm.bias, torch.zeros(128))
        assert torch.equal(norm.running_mean, torch.zeros(128))
        assert torch.equal(norm.running_var, torch.ones(128))
        assert norm.num_batches_tracked == 0


@pytest.mark.parametrize("kind", list(variants("init")))
def test_every_kind_is_reproducible_and_leaves_the_global_state(kind):
    before = torch.get_rng_state()
    spec = changed(RunSpec(), {"init.kind": kind})
    first, second = (build(spec, 64, (), seed=9).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.isfinite(value).all() for value in first.values())
    assert torch.equal(torch.get_rng_state(), before)
