import pytest

from aetui.spec import RunSpec, changed
from aetui.spec.bottleneck import no_bottleneck, what_holds_back


@pytest.mark.parametrize(
    ("width", "features", "said"), [(4, 5, False), (5, 5, True), (10, 5, True), (0, 5, False), (10, 0, False)]
)
def test_a_code_as_wide_as_the_data_is_said_to_be(width: int, features: int, said: bool) -> None:
    text = no_bottleneck(width, features)
    assert bool(text) == said
    if said:
        assert f"the code is {width} wide for 5 features: no bottleneck" in text
        assert "narrow it below 5" in text


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, ""),
        ({"model.noise": 0.01}, ""),
        ({"model.noise": 0.3}, "model.noise 0.3"),
        ({"model.kind": "vae"}, "model.kl_weight 1"),
        ({"model.kind": "vae", "model.kl_weight": 0.0}, ""),
        ({"model.dropout": 0.2}, "model.dropout 0.2"),
        ({"model.kind": "linear"}, ""),
    ],
)
def test_what_keeps_a_wide_code_from_copying_is_no_fault(changes: dict[str, object], word: str) -> None:
    held = what_holds_back(changed(RunSpec(), changes).model)
    assert held == word
    if word:
        text = no_bottleneck(10, 5, held)
        assert f"no fault with {word}" in text
        assert "narrow" not in text
