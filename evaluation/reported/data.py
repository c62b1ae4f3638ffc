"""Small data sets that resemble what the reporters had. All are float32 tensors; the same seed gives the same rows."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from aetui.data.builtin import read_digits


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def digits(top: float = 1.0, rows: int = 1797) -> Tensor:
    """Handwritten digits, flat: [rows, 64], values 0 to `top`."""
    return _tensor(read_digits().values[:rows]) * (top / 16.0)


def images(size: int = 8, top: float = 1.0, rows: int = 1797) -> Tensor:
    """Handwritten digits as images: [rows, 1, size, size], values 0 to `top`."""
    small = digits(top, rows).view(-1, 1, 8, 8)
    if size == 8:
        return small
    return functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)


def standardized(data: Tensor) -> Tensor:
    """Every feature with mean 0 and standard deviation 1; constant ones stay 0."""
    deviation = data.std(0)
    return (data - data.mean(0)) / torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def minmax(data: Tensor) -> Tensor:
    """Every feature in 0 to 1."""
    low, high = data.amin(0), data.amax(0)
    return (data - low) / torch.where(high > low, high - low, torch.ones_like(high))


def sines(seed: int, rows: int = 1000, steps: int = 30) -> Tensor:
    """Windows of sine waves of random period, phase and amplitude: [rows, steps, 1], within -1 to 1."""
    draw = np.random.default_rng(seed)
    period = draw.uniform(12, 30, (rows, 1))
    phase = draw.uniform(0, 2 * np.pi, (rows, 1))
    amplitude = draw.uniform(0.5, 1.0, (rows, 1))
    return _tensor(amplitude * np.sin(2 * np.pi * np.arange(steps) / period + phase))[:, :, None]


def temperatures(seed: int, rows: int = 1000, steps: int = 24) -> Tensor:
    """Hourly temperatures of days, in degrees Celsius: [rows, steps, 1], about 5 to 35."""
    draw = np.random.default_rng(seed)
    hours = np.arange(steps)
    level = draw.normal(20, 5, (rows, 1))
    swing = draw.uniform(2, 7, (rows, 1))
    peak = draw.normal(15, 1.5, (rows, 1))
    values = level + swing * np.cos(2 * np.pi * (hours - peak) / 24) + draw.normal(0, 0.4, (rows, steps))
    return _tensor(values)[:, :, None]


def sensors(seed: int, rows: int = 2000) -> Tensor:
    """Readings of a machine in their own units: [rows, 12]; rpm in thousands, pressures around 1, and others."""
    draw = np.random.default_rng(seed)
    state = draw.normal(size=(rows, 3))
    clean = np.tanh(state @ draw.normal(size=(3, 12)))
    unit = np.array([900, 0.05, 4, 12, 0.3, 60, 1.5, 0.02, 25, 8, 0.7, 150.0])
    level = np.array([3000, 1.0, 20, 70, 5, 230, 10, 0.1, 400, 30, 2, 500.0])
    return _tensor(level + unit * (clean + 0.05 * draw.normal(size=clean.shape)))


def houses(seed: int, rows: int = 2000) -> Tensor:
    """Age, rooms, area, distance, tax, income and price of houses: [rows, 8] from 3 factors."""
    draw = np.random.default_rng(seed)
    factors = draw.normal(size=(rows, 3))
    mix = draw.normal(size=(3, 8)) + np.eye(3, 8)
    values = factors @ mix + 0.15 * draw.normal(size=(rows, 8))
    unit = np.array([12, 0.9, 35, 4, 90, 15000, 80000, 0.1])
    level = np.array([35, 5, 110, 9, 400, 52000, 310000, 0.5])
    return _tensor(level + unit * values / values.std(0))


def genes(seed: int, rows: int = 1000, features: int = 60) -> Tensor:
    """Counts of reads per gene: [rows, features], from 0 to some ten thousand, a few genes far above the rest."""
    draw = np.random.default_rng(seed)
    program = draw.gamma(2.0, 0.5, (rows, 4)) @ draw.gamma(0.6, 1.0, (4, features))
    return _tensor(draw.poisson(program * np.exp(draw.normal(3.5, 1.5, features))))


def spectra(seed: int, rows: int = 1200, channels: int = 64) -> Tensor:
    """Absorption spectra, mixtures of five bands on no baseline: [rows, channels], 0 to about 1."""
    draw = np.random.default_rng(seed)
    axis = np.arange(channels)
    bands = np.exp(-(((axis - np.array([[9], [20], [31], [44], [55]])) / np.array([[4], [3], [6], [4], [5]])) ** 2))
    return _tensor(draw.uniform(0, 1, (rows, 5)) @ bands + 0.01 * draw.normal(size=(rows, channels)))


def baskets(seed: int, rows: int = 1500, features: int = 48) -> Tensor:
    """What customers bought, 0 or 1: [rows, features], from 6 habits."""
    draw = np.random.default_rng(seed)
    habit = draw.integers(0, 2, (rows, 6)) @ (draw.random((6, features)) < 0.25)
    return _tensor(draw.random((rows, features)) < np.where(habit > 0, 0.93, 0.03))


def embeddings(seed: int, rows: int = 1500, features: int = 50) -> Tensor:
    """Like word vectors: [rows, features], mean 0, deviation about 0.4, a decaying spectrum."""
    draw = np.random.default_rng(seed)
    scale = 0.4 * np.sqrt(features) * np.exp(-np.arange(features) / 6)
    scale *= 0.4 * np.sqrt(features) / np.sqrt((scale**2).sum())
    axes = np.linalg.qr(draw.normal(size=(features, features)))[0]
    return _tensor((draw.normal(size=(rows, features)) * scale) @ axes)


def returns(seed: int, rows: int = 1500, features: int = 20) -> Tensor:
    """Daily returns of shares with three common factors: [rows, features], deviation about 0.01."""
    draw = np.random.default_rng(seed)
    common = draw.standard_t(5, (rows, 3)) @ draw.normal(0, 1, (3, features))
    return _tensor(0.005 * (common + 0.4 * draw.normal(size=(rows, features))))
