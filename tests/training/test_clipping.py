"""Clipping against PyTorch's functions and Keras's formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aetui.spec import sections as s
from aetui.training.clipping import clip_on_device, clip_on_host

SHAPES = [(3, 4), (4,), (2, 3), (1,)]


def gradients(seed: int, scale: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
    flat = (
        torch.randn(sum(torch.Size(shape).numel() for shape in SHAPES), generator=torch.Generator().manual_seed(seed))
        * scale
    )
    views, start = [], 0
    for shape in SHAPES:
        views.append(flat[start : start + torch.Size(shape).numel()].view(shape))
        start += views[-1].numel()
    return flat, views


def expected(section: s.Clip, views: list[torch.Tensor]) -> list[torch.Tensor]:
    copies = [view.clone() for view in views]
    if isinstance(section, s.GlobalNorm):
        parameters = [torch.nn.Parameter(torch.zeros_like(copy)) for copy in copies]
        for parameter, copy in zip(parameters, copies, strict=True):
            parameter.grad = copy
        torch.nn.utils.clip_grad_norm_(parameters, section.threshold)
        return [parameter.grad for parameter in parameters]
    if isinstance(section, s.ValueClip):
        return [copy.clamp(-section.threshold, section.threshold) for copy in copies]
    if isinstance(section, s.PerTensor):
        # Keras: g * c / max(|g|, c)
        return [copy * section.threshold / max(float(copy.norm()), section.threshold) for copy in copies]
    return copies


kinds = st.sampled_from([s.NoClip, s.PerTensor, s.GlobalNorm, s.ValueClip])


@given(kinds, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 1000), st.booleans())
def test_clipping_is_what_keras_and_pytorch_do(kind, threshold: float, scale: float, seed: int, on_host: bool):
    section = kind() if kind is s.NoClip else kind(threshold=threshold)
    flat, views = gradients(seed, scale)
    before = flat.clone()
    wanted = expected(section, views)
    norm = torch.linalg.vector_norm(flat)
    if on_host:
        flag = clip_on_host(section, [flat], views, float(norm))
    else:
        result = clip_on_device(section, [flat], views, norm)
        flag = bool(result) if result is not None else False
    for view, want in zip(views, wanted, strict=True):
        torch.testing.assert_close(view, want, rtol=1e-4, atol=1e-7)
    if not torch.allclose(before, flat, rtol=1e-5):
        assert flag
    if torch.equal(before, flat):
        assert not flag or torch.allclose(before, flat)


@pytest.mark.parametrize("kind", [s.PerTensor, s.GlobalNorm, s.ValueClip])
def test_small_gradients_are_left_bit_for_bit(kind):
    flat, views = gradients(0, 1e-3)
    before = flat.clone()
    assert clip_on_host(kind(threshold=1.0), [flat], views, float(torch.linalg.vector_norm(flat))) is False
    assert torch.equal(before, flat)


def test_per_tensor_leaves_the_tensors_below_the_threshold_alone():
    flat, views = gradients(0, 1.0)
    views[0].mul_(100)
    others = [view.clone() for view in views[1:]]
    clip_on_host(s.PerTensor(threshold=50.0), [flat], views, float(torch.linalg.vector_norm(flat)))
    assert float(views[0].norm()) == pytest.approx(50.0, rel=1e-5)
    assert all(torch.equal(view, other) for view, other in zip(views[1:], others, strict=True))
