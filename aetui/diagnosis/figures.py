"""Figures of the data before the first step: scale, spread, and what PCA explains."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aetui.diagnosis.observe import fit, probe_rows
from aetui.gauges.floors import principal_components
from aetui.models.moments import feature_variance

SAMPLE = 2048
"""Rows from which the data's figures and principal components are taken."""


NARROW = 1024
"""Rows that are enough where there are more features than that."""


@dataclass(frozen=True)
class Data:
    """The rows that are trained on, in the caller's units; figures over all values unless per feature."""

    rows: int
    features: int
    bad: int
    """Values that are NaN or infinite."""
    low: float
    high: float
    mean: float
    std: float
    offset: float
    """Norm of the feature means over the norm of their standard deviations."""
    uneven: float
    """Ratio of the 95th to the 5th percentile of the features' ranges, among those that vary: seldom lit pixels
    have small variances, but the range of the others."""
    constant: int
    """Features that do not vary."""
    integers: bool
    binary: bool
    distinct: int
    """Different rows among those looked at."""
    outliers: float
    """Norm of the largest row, from the mean, over that of the median row."""
    typical: float
    """Root mean square of the values of the median row, which no outlier moves."""


@dataclass(frozen=True)
class Linear:
    """What PCA explains, by width of the code."""

    width: int | None
    explained: float | None
    """With as many components as the code is wide."""
    features: float | None
    """The same, as the mean over features (each at least 0)."""
    standardized: float | None
    """The mean over features with PCA of the standardized data."""
    wider: dict[int, float] = field(default_factory=dict)
    """Explained variance with more components, by their number."""
    variances: tuple[float, ...] = ()
    """Share of the total variance along each of the leading components."""
    total: float = 0.0
    """Variance summed over the features."""
    told: float | None = None
    """What the best linear map of that rank from other inputs than the targets explains; None where they are the same
    or the rows are too few to say."""


def measure_data(x: Tensor) -> Data:
    """Figures of [rows, ...]."""
    flat = x.reshape(len(x), -1)
    finite = torch.isfinite(flat)
    bad = int((~finite).sum())
    if bad:
        flat = flat[finite.all(1)] if int(finite.all(1).sum()) > 1 else flat.nan_to_num(0.0, 0.0, 0.0)
    flat = flat[probe_rows(len(flat), SAMPLE).to(flat.device)].double()
    variance = feature_variance(flat)
    spread = (flat.amax(0) - flat.amin(0))[variance > 0].sort().values
    uneven = 1.0
    if len(spread) > 1:
        uneven = float(spread[int(0.95 * (len(spread) - 1))] / spread[int(0.05 * (len(spread) - 1))])
    total = float(variance.sum())
    offset = math.sqrt(float(flat.mean(0).square().sum()) / total) if total else math.inf
    integers = bool((flat == flat.round()).all())
    return Data(
        rows=len(x), features=flat.shape[1], bad=bad,
        low=float(flat.min()), high=float(flat.max()), mean=float(flat.mean()), std=float(flat.std(correction=0)),
        offset=offset, uneven=uneven, constant=int((variance == 0).sum()), integers=integers,
        binary=integers and float(flat.min()) >= 0 and float(flat.max()) <= 1,
        distinct=len(torch.unique(flat[:512], dim=0)), outliers=_outliers(x),
        typical=float(flat.square().mean(1).sqrt().median()),
    )  # fmt: skip


def _outliers(x: Tensor) -> float:
    flat = x.reshape(len(x), -1)
    flat = flat[torch.isfinite(flat).all(1)].float()
    if len(flat) < 4:
        return 1.0
    sizes = torch.linalg.vector_norm(flat - flat.median(0).values, dim=1)
    middle = float(sizes.median())
    return float(sizes.max()) / middle if middle else 1.0


def measure_linear(x: Tensor, width: int | None) -> Linear:
    """What PCA of [rows, ...] explains with a code of `width`."""
    flat = x.reshape(len(x), -1)
    rows = SAMPLE if min(SAMPLE, flat.shape[1]) <= NARROW else min(SAMPLE, max(NARROW, 4 * (width or 1)))
    flat = flat[probe_rows(len(flat), rows).to(flat.device)]
    flat = flat[torch.isfinite(flat).all(1)].double().cpu()
    if width is None or len(flat) < 4:
        return Linear(width, None, None, None)
    if width >= min(flat.shape):
        return Linear(width, 1.0, 1.0, 1.0)
    variance = feature_variance(flat)
    total = float(variance.sum())
    if not total:
        return Linear(width, None, None, None)
    centered = flat - flat.mean(0)
    varies = variance > 0
    along, directions = _components(centered)
    shares = (along / total).cumsum(0)
    scaled = _components(centered[:, varies] / variance[varies].sqrt())
    more = [count for count in (2 * width, 4 * width, 8 * width) if count < min(flat.shape)]
    return Linear(
        width,
        explained=float(shares[width - 1]),
        features=_per_feature(along, directions[varies], variance[varies], width),
        standardized=_per_feature(*scaled, torch.ones(int(varies.sum()), dtype=torch.float64), width),
        wider={count: float(shares[count - 1]) for count in more},
        variances=tuple((along[:width] / total).tolist()),
        total=total,
    )


ROWS_TOLD = 4
"""Rows for each input feature from which a linear map of the inputs is no mere fit to their noise."""


def told_linear(inputs: Tensor, targets: Tensor, width: int | None) -> float | None:
    """Explained variance of the targets by the best linear map of rank `width` from the inputs, both [rows, ...]
    (reduced-rank regression, Izenman 1975); None where there are too few rows or no variance."""
    x, y = inputs.reshape(len(inputs), -1), targets.reshape(len(targets), -1)
    if width is None or min(len(x), SAMPLE) < ROWS_TOLD * x.shape[1]:
        return None
    rows = probe_rows(len(x), SAMPLE).to(x.device)
    x, y = x[rows].double().cpu(), y[rows].double().cpu()
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        return None
    x, y = x - x.mean(0), y - y.mean(0)
    total = float(y.square().sum())
    if not total:
        return None
    left, sizes, _ = torch.linalg.svd(x, full_matrices=False)
    left = left[:, sizes > 1e-9 * sizes[0]]
    return float(torch.linalg.svdvals(left.T @ y)[:width].square().sum()) / total


def _components(centered: Tensor) -> tuple[Tensor, Tensor]:
    """Variances along the principal components, largest first, and their directions, [features, components]."""
    rows, features = centered.shape
    if features <= rows:
        values, vectors = torch.linalg.eigh(centered.T @ centered / rows)
        return values.flip(0).clamp(min=0), vectors.flip(1)
    values, vectors = torch.linalg.eigh(centered @ centered.T / rows)
    directions = torch.nn.functional.normalize(centered.T @ vectors.flip(1), dim=0)
    return values.flip(0).clamp(min=0), directions


def _per_feature(along: Tensor, directions: Tensor, variance: Tensor, width: int) -> float:
    """Mean over the features of what the leading components explain of each."""
    explained = (directions[:, :width].square() * along[:width]).sum(1) / variance
    return float(explained.clamp(0, 1).mean())


def held_out_linear(train: Tensor, held: Tensor, width: int | None) -> float | None:
    """Explained variance on `held`, [rows, ...], of PCA fitted to `train`."""
    if width is None:
        return None
    x, other = train.reshape(len(train), -1).double().cpu(), held.reshape(len(held), -1).double().cpu()
    mean = x.mean(0)
    components = principal_components((x - mean)[probe_rows(len(x), SAMPLE)], min(width, *x.shape))
    centered = other - mean
    return fit(mean + centered @ components @ components.T, other).explained
