"""Small data sets for generated cases: real digits and drawn data whose structure is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aetui.data.builtin import read_digits

FLAT = ("digits", "factors", "factors-noise", "counts", "binary", "tabular")
IMAGES = ("digit-images", "images-255")
SEQUENCES = ("windows",)
BOUNDED = ("digits", "digit-images", "images-255", "binary", "counts")
"""Data that people scale to 0..1; all values are at least 0."""


@dataclass(frozen=True)
class DataPlan:
    """Which rows to draw, and in which form they are handed over."""

    name: str
    rows: int
    features: int
    rank: int
    seed: int
    form: str = "standardize"
    """`standardize` (per feature), `whiten-all` (one mean and deviation), `unit` (0..1), `raw`."""
    warp: str = ""
    """What is done to the values after that: `times`, `offset`, `tiny`, `units`, `column`, `outliers`."""
    amount: float = 0.0
    spoil: str = ""
    """What is put in: `nan-entries`, `nan-column`, `inf-entry`, `log-zero`, `divide-by-zero`."""
    shape: str = ""
    """`channel`: [n, d] becomes [n, 1, d]; `no-channel`: [n, 1, h, w] becomes [n, h, w]."""


def raw(plan: DataPlan) -> np.ndarray:
    """The values as measured, float32 [n, ...]: flat, images [n, 1, h, w] or sequences [n, time, channels]."""
    generator = np.random.default_rng(plan.seed)
    return _DRAWS[plan.name](plan, generator).astype(np.float32)


def values(plan: DataPlan) -> np.ndarray:
    """What the case hands over, float32."""
    generator = np.random.default_rng([plan.seed, 1])
    table = _spoil(_warp(formed(raw(plan), plan.form), plan, generator), plan, generator)
    if plan.shape == "channel":
        return table[:, None]
    return table[:, 0] if plan.shape == "no-channel" else table


def formed(table: np.ndarray, form: str) -> np.ndarray:
    """`table` scaled as people do it by hand; constant features become 0."""
    if form == "raw":
        return table
    if form == "unit":
        low, high = table.min(), table.max()
        return (table - low) / max(high - low, 1e-12)
    if form == "whiten-all":
        return (table - table.mean()) / max(table.std(), 1e-12)
    mean, deviation = table.mean(0), table.std(0)
    return (table - mean) / np.where(deviation > 1e-8, deviation, 1)


def _warp(table: np.ndarray, plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    amount = np.float32(plan.amount)
    match plan.warp:
        case "times" | "tiny":
            return table * amount
        case "tiny-offset":
            return table * amount + np.float32(0.5)
        case "offset":
            return table + amount
        case "offsets":
            return table + amount * generator.uniform(-1, 1, table.shape[1:]).astype(np.float32)
        case "units":
            return table * (10 ** generator.uniform(-plan.amount, plan.amount, table.shape[1:])).astype(np.float32)
        case "column":
            table = table.copy()
            table.reshape(len(table), -1)[:, : max(1, table[0].size // 20)] *= amount
            return table
        case "outliers":
            table = table.copy()
            table[generator.choice(len(table), max(1, len(table) // 200), replace=False)] *= amount
            return table
    return table


def _spoil(table: np.ndarray, plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    if not plan.spoil:
        return table
    table = table.copy()
    flat = table.reshape(len(table), -1)
    rows, columns = flat.shape
    match plan.spoil:
        case "nan-entries":
            hits = max(1, int(plan.amount * flat.size))
            flat[generator.integers(rows, size=hits), generator.integers(columns, size=hits)] = np.nan
        case "nan-rows":
            flat[generator.choice(rows, max(1, int(plan.amount * rows)), replace=False)] = np.nan
        case "nan-column":
            flat[:, generator.integers(columns)] = np.nan
        case "inf-entry":
            flat[generator.integers(rows), generator.integers(columns)] = np.inf
        case "log-zero":
            column = generator.integers(columns)
            flat[generator.choice(rows, max(1, int(plan.amount * rows)), replace=False), column] = -np.inf
        case "divide-by-zero":
            with np.errstate(divide="ignore", invalid="ignore"):
                flat[:, generator.integers(columns)] = np.float32(0) / np.float32(0)
    return table


def _digits(plan: DataPlan, _: np.random.Generator) -> np.ndarray:
    return read_digits().values[: plan.rows]


def _digit_images(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    return _digits(plan, generator).reshape(-1, 1, 8, 8)


def _factors(plan: DataPlan, generator: np.random.Generator, noise: float = 0.1) -> np.ndarray:
    """A few factors of falling strength, mixed into all features."""
    strength = np.linspace(1.0, 0.5, plan.rank)
    mixing = generator.standard_normal((plan.rank, plan.features)) * strength[:, None]
    signal = generator.standard_normal((plan.rows, plan.rank)) @ mixing / np.sqrt(plan.rank)
    return signal + noise * generator.standard_normal(signal.shape)


def _factors_noise(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    return _factors(plan, generator, 0.4)


def _counts(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    activity = generator.gamma(2.0, 1.0, (plan.rows, plan.rank))
    profile = generator.gamma(0.5, 2.0, (plan.rank, plan.features))
    return generator.poisson(activity @ profile)


def _binary(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    """Answers that are nearly determined by a few traits."""
    traits = generator.standard_normal((plan.rows, plan.rank))
    return (traits @ generator.standard_normal((plan.rank, plan.features)) > 0).astype(np.float32)


def _tabular(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    """Nonlinear functions of a few variables, as in measured tables."""
    hidden = generator.standard_normal((plan.rows, plan.rank))
    bent = np.tanh(hidden @ generator.standard_normal((plan.rank, plan.features)))
    straight = hidden @ generator.standard_normal((plan.rank, plan.features)) / np.sqrt(plan.rank)
    return straight + 0.5 * bent + 0.1 * generator.standard_normal(bent.shape)


def _windows(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    """Windows of sums of two waves and a trend, [n, time, 1]."""
    time = np.arange(plan.features) / plan.features
    phase, size = generator.uniform(0, 2 * np.pi, (plan.rows, 2)), generator.uniform(0.5, 1.5, (plan.rows, 2))
    waves = sum(size[:, i, None] * np.sin(2 * np.pi * (i + 1) * time + phase[:, i, None]) for i in range(2))
    trend = generator.standard_normal((plan.rows, 1)) * (time - 0.5)
    return (waves + trend + 0.05 * generator.standard_normal((plan.rows, plan.features)))[:, :, None]


def _images(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    """Blobs of random place, width and brightness, whole numbers from 0 to 255, [n, 1, side, side]."""
    side = round(np.sqrt(plan.features))
    y, x = np.mgrid[0:side, 0:side]
    pictures = np.zeros((plan.rows, side, side))
    for _ in range(2):
        cy, cx = generator.uniform(1, side - 2, (2, plan.rows, 1, 1))
        width = generator.uniform(1.2, 2.5, (plan.rows, 1, 1))
        light = generator.uniform(80, 255, (plan.rows, 1, 1))
        pictures = np.maximum(pictures, light * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2)))
    return np.floor(pictures)[:, None]


def _iid(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((plan.rows, plan.features))


def _mostly_constant(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    table = _factors(plan, generator)
    constant = generator.random(plan.features) < 0.7
    constant[:3] = False
    return np.where(constant, generator.uniform(-1, 1, plan.features), table)


def _identical(plan: DataPlan, generator: np.random.Generator) -> np.ndarray:
    return np.tile(generator.uniform(0.1, 0.9, plan.features), (plan.rows, 1))


_DRAWS = {
    "digits": _digits,
    "digit-images": _digit_images,
    "factors": _factors,
    "factors-noise": _factors_noise,
    "counts": _counts,
    "binary": _binary,
    "tabular": _tabular,
    "windows": _windows,
    "images-255": _images,
    "iid": _iid,
    "mostly-constant": _mostly_constant,
    "identical": _identical,
}
