"""Whether a code is narrower than the data, in words: said alike by engine, command line, diagnosis and form."""

from __future__ import annotations

from aetui.spec import sections as s

MILD = 0.05
"""Dropped share, or noise in standard deviations of the data, up to which a code as wide as the data can just copy."""


def no_bottleneck(width: int, features: int, held_back: str = "") -> str:
    """One sentence about a code as wide as the data or wider, '' about a narrower one.

    features: of the data, 0 where they are not known.
    held_back: what keeps such a model from copying its input, '' for nothing.
    """
    if not features or width < features:
        return ""
    lead = f"the code is {width:,} wide for {features:,} feature{'s' * (features != 1)}: no bottleneck by its width"
    if held_back:
        return f"{lead}, which is no fault with {held_back} to keep the model from copying its input"
    narrower = f"narrow it below {features:,}" if features > 1 else "take data of more features"
    return f"{lead}, so the model can copy its input; {narrower}, or add noise or a penalty on a code meant to be wide"


def what_holds_back(model: s.Model) -> str:
    """The settings that keep a model of any width from copying its input, '' if there are none."""
    found = []
    if model.noise >= MILD:
        found.append(f"model.noise {model.noise:g}")
    if getattr(model, "kl_weight", 0.0) > 0:
        found.append(f"model.kl_weight {model.kl_weight:g}")  # pyright: ignore[reportAttributeAccessIssue]
    if getattr(model, "dropout", 0.0) >= MILD:
        found.append(f"model.dropout {model.dropout:g}")  # pyright: ignore[reportAttributeAccessIssue]
    return " and ".join(found)
