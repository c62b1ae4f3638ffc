import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetui.models.base import TiedLinear, evaluating
from aetui.models.build import ModelError, architecture, build
from aetui.models.units import measure_units, weight_layers
from aetui.spec import RunSpec, changed
from aetui.spec.sections import Linear, Vae


def spec_of(**changes):
    return changed(RunSpec(), {f"model.{name}": value for name, value in changes.items()})


def batch(rows=6, features=64, seed=0):
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("changes", "image_shape", "expected"),
    [
        ({}, (), "64-128-[10]-128-64"),
        ({"hidden": (50, 20), "code": 3}, (), "64-50-20-[3]-20-50-64"),
        ({"hidden": ()}, (), "64-[10]-64"),
        ({"kind": "linear", "code": 5}, (), "64-[5]-64"),
        ({"kind": "vae", "hidden": (32,)}, (), "64-32-[10]-32-64"),
        ({"kind": "conv"}, (1, 8, 8), "1x8x8-16c-32c-[10]-32c-16c-1x8x8"),
        ({"kind": "conv", "hidden": (4,)}, (8, 8), "1x8x8-4c-[10]-4c-1x8x8"),
    ],
)
def test_architecture_and_shapes_agree(changes, image_shape, expected):
    spec = spec_of(**changes)
    assert architecture(spec, 64, image_shape) == expected
    model = build(spec, 64, image_shape, seed=0)
    made = model(batch())
    assert made.output.shape == (6, 64)
    assert made.code.shape == model.encode(batch()).shape == (6, spec.model.code)
    assert (made.kl is None) == (not isinstance(spec.model, Vae))


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    hidden=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    norm=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_conv_gives_back_the_size_it_took(channels, height, width, hidden, norm):
    features = channels * height * width
    spec = spec_of(kind="conv", hidden=tuple(hidden), code=3, batch_norm=norm)
    made = build(spec, features, (channels, height, width), seed=1)(batch(4, features))
    assert made.output.shape == (4, features)
    assert made.code.shape == (4, 3)


@pytest.mark.parametrize(
    ("image_shape", "path"), [((), "model.kind"), ((3, 8, 8), "data.image_shape"), ((64,), "model.kind")]
)
def test_conv_refuses_rows_that_are_no_images(image_shape, path):
    with pytest.raises(ModelError) as caught:
        build(spec_of(kind="conv"), 64, image_shape, seed=0)
    assert caught.value.path == path
    assert "data.image_shape" in str(caught.value)


def test_a_model_larger_than_the_machine_is_refused():
    with pytest.raises(ModelError, match=r"64-1000000-1000000-.* parameters"):
        build(spec_of(hidden=(1_000_000, 1_000_000)), 64, (), seed=0)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_tied_decoder_shares_the_encoders_storage(kind):
    model = build(spec_of(kind=kind, tied=True), 64, (), seed=0)
    layers = dict(weight_layers(model))
    encoder = [layer for name, layer in layers.items() if name.startswith("encoder")]
    decoder = [layer for name, layer in layers.items() if name.startswith("decoder")]
    assert len(encoder) == len(decoder) == (1 if kind == "linear" else 2)
    for layer, tied in zip(encoder, reversed(decoder), strict=True):
        assert isinstance(tied, TiedLinear)
        assert tied.weight.untyped_storage().data_ptr() == layer.weight.untyped_storage().data_ptr()
        assert tied.weight.shape == layer.weight.shape[::-1]
        assert tied.bias.shape == (layer.weight.shape[1],)
    free = build(spec_of(kind=kind), 64, (), seed=0)
    shared = sum(layer.weight.numel() for layer in encoder)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in free.parameters()) - shared
    assert set(model.state_dict()) == set(free.state_dict()) - {f"{n}.weight" for n in layers if n.startswith("dec")}


def test_tied_weights_get_the_gradients_of_both_uses_and_survive_a_copy():
    model = copy.deepcopy(build(spec_of(kind="linear", tied=True, code=3), 8, (), seed=0)).double()
    x = batch(5, 8).double()
    weight = model.encoder.code.weight
    model(x).output.square().sum().backward()
    reference = weight.detach().clone().requires_grad_()
    code = x @ reference.T + model.encoder.code.bias.detach()
    (code @ reference + model.decoder.output.bias.detach()).square().sum().backward()
    torch.testing.assert_close(weight.grad, reference.grad)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", torch.relu),
        ("leaky_relu", torch.nn.functional.leaky_relu),
        ("elu", torch.nn.functional.elu),
        ("gelu", torch.nn.functional.gelu),
        ("silu", torch.nn.functional.silu),
        ("tanh", torch.tanh),
        ("sigmoid", torch.sigmoid),
        ("linear", lambda x: x),
    ],
)
def test_activations_act_where_the_spec_says(name, function):
    spec = spec_of(hidden=(7,), code=3, activation=name, code_activation=name, output_activation=name)
    model = build(spec, 5, (), seed=0)
    x = batch(4, 5)
    expected = x
    for _, layer in weight_layers(model):
        expected = function(layer(expected))
    torch.testing.assert_close(model(x).output, expected)


def test_same_seed_same_weights_and_other_seed_others():
    first, second, third = (build(spec_of(batch_norm=True), 64, (), seed=seed) for seed in (3, 3, 4))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(first.encoder.dense1.weight, third.encoder.dense1.weight)


@pytest.mark.parametrize("kind", ["mlp", "conv", "vae", "linear"])
def test_global_random_state_is_untouched_and_own_generator_decides(kind):
    changes = {"kind": kind, "noise": 0.5} | ({} if kind == "linear" else {"dropout": 0.3, "batch_norm": True})
    before = torch.get_rng_state()
    models = [build(spec_of(**changes), 64, (1, 8, 8), seed=0) for _ in range(2)]
    outputs = []
    for model in models:
        model.set_generator(torch.Generator().manual_seed(5))
        outputs.append([model(batch()).output for _ in range(2)])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert torch.equal(outputs[0][1], outputs[1][1])
    assert not torch.equal(outputs[0][0], outputs[0][1])


@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
def test_no_noise_and_no_dropout_draw_no_random_number(kind):
    model = build(spec_of(kind=kind), 64, (1, 8, 8), seed=0)
    state = model.generator.get_state()
    assert torch.equal(model(batch()).output, model(batch()).output)
    assert torch.equal(model.generator.get_state(), state)


def test_eval_mode_is_deterministic_whatever_the_settings():
    model = build(spec_of(kind="vae", noise=1.0, dropout=0.5), 64, (), seed=0).eval()
    state = model.generator.get_state()
    made = model(batch())
    assert torch.equal(made.output, model(batch()).output)
    assert torch.equal(made.code, model.encode(batch()))
    assert torch.equal(model.generator.get_state(), state)


def test_live_settings_change_the_next_forward_only_and_keep_the_parameters():
    model = build(spec_of(), 64, (), seed=0)
    parameters, names = list(model.parameters()), list(model.state_dict())
    plain = model(batch()).output
    model.apply_live(spec_of(noise=0.5, dropout=0.25).model)
    assert (model.noise, model.dropout) == (0.5, 0.25)
    assert not torch.equal(model(batch()).output, plain)
    model.apply_live(spec_of().model)
    assert (model.noise, model.dropout) == (0.0, 0.0)
    assert torch.equal(model(batch()).output, plain)
    assert all(one is other for one, other in zip(parameters, model.parameters(), strict=True))
    assert names == list(model.state_dict())


def test_dropout_keeps_the_mean_and_drops_its_share():
    model = build(spec_of(dropout=0.3), 64, (), seed=0)
    dropped = model.encoder.dropout1(torch.ones(200, 500))
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)


def test_noise_has_the_standard_deviation_of_the_spec():
    model = build(spec_of(noise=0.7), 64, (), seed=0)
    x = batch(2000)
    assert (model.noisy(x) - x).std().item() == pytest.approx(0.7, rel=0.02)


def test_vae_kl_is_the_closed_form_and_samples_have_the_posteriors_moments():
    model = build(spec_of(kind="vae", hidden=(), code=4), 6, (), seed=0)
    x = batch(3, 6)
    mean, log_variance = model.mean(x), model.log_variance(x)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    made = model(x)
    torch.testing.assert_close(made.kl, divergence.sum(1).mean())
    torch.testing.assert_close(made.code, mean)
    with torch.no_grad():
        many = model.eval().train()(x[:1].expand(20000, 6)).output
    weight, bias = model.decoder.output.weight, model.decoder.output.bias
    torch.testing.assert_close(many.mean(0), (mean[:1] @ weight.T + bias)[0], atol=0.03, rtol=0)
    spread = weight @ torch.diag(log_variance[0].exp()) @ weight.T
    torch.testing.assert_close(many.T.cov(), spread, atol=0.05, rtol=0.1)


def test_evaluating_restores_every_modules_own_flag():
    model = build(spec_of(batch_norm=True), 64, (), seed=0)
    model.encoder.norm1.eval()
    flags = {name: module.training for name, module in model.named_modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        assert not model(batch()).output.requires_grad
    with pytest.raises(RuntimeError), evaluating(model):
        model(batch(features=3))
    assert flags == {name: module.training for name, module in model.named_modules()}
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_planted_dead_units_are_counted(activation):
    model = build(spec_of(activation=activation, hidden=(20,)), 64, (), seed=0)
    with torch.no_grad():
        model.encoder.dense1.bias[:7] = -300.0
    units = measure_units(model, batch(50))
    assert units[model.encoder.dense1].dead() == 7
    assert (units[model.encoder.dense1].spread > 0)[7:].all()
    assert units[model.encoder.code].dead() == units[model.decoder.output].dead() == 0
    assert not any(module._forward_hooks for module in model.modules())


def test_dead_channels_of_a_convolution_are_those_no_sample_moves():
    model = build(spec_of(kind="conv", hidden=(6, 5)), 49, (1, 7, 7), seed=0)
    with torch.no_grad():
        model.encoder.conv1.bias[1] = -1e3
        model.encoder.conv2.weight[3] = 0.0
    units = measure_units(model, batch(30, 49))
    assert len(units[model.encoder.conv1].spread) == 6
    assert units[model.encoder.conv1].dead() == 1
    assert units[model.encoder.conv2].dead() == 1
    assert units[model.encoder.code].dead() == 0


def test_a_linear_model_is_a_section_without_dropout():
    assert build(RunSpec(model=Linear(noise=0.1)), 64, (), seed=0).dropout == 0.0
