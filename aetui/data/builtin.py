"""Data that needs no file: the embedded digits and Gaussian noise."""

import io
from importlib.resources import files

import numpy as np

from aetui.data.dataset import Dataset
from aetui.data.errors import DataError
from aetui.data.scaling import blocks
from aetui.data.source import Source
from aetui.spec.sections import Data, Gaussian

_FRESH = 0x66726573
"""Sets the stream of fresh samples apart from that of the rows, whatever the seeds."""


def read_digits() -> Source:
    """The 1797 8x8 digits of the UCI repository, values 0 to 16, with their labels."""
    with np.load(io.BytesIO(files("aetui.data").joinpath("digits.npz").read_bytes()), allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    return Source("digits", images.reshape(len(images), -1), labels=labels, image_shape=(1, *images.shape[1:]))


def draw_gaussian(section: Gaussian) -> Source:
    """`default_rng(seed).standard_normal((rows, features))` as float32."""
    try:
        values = np.empty((section.rows, section.features), np.float32)
    except (MemoryError, ValueError):
        gigabytes = section.rows * section.features * 4 / 1e9
        raise DataError(
            "data.rows",
            f"gaussian: {section.rows:,} rows x {section.features:,} features need {gigabytes:,.0f} GB, more than this "
            "machine gives; take fewer",
        ) from None
    generator = np.random.default_rng(section.seed)
    for part in blocks(values):
        values[part] = generator.standard_normal(values[part].shape)
    return Source("gaussian", values)


def fresh_sample(section: Data, dataset: Dataset, seed: int) -> np.ndarray | None:
    """One more draw of the source, not among the rows and scaled as they are, or None for data that isn't drawn.

    Returns: float32 [features] of `dataset`; the same `seed` gives the same sample.
    """
    if not isinstance(section, Gaussian):
        return None
    generator = np.random.default_rng([_FRESH, section.seed, seed])
    return dataset.scaler.transform(generator.standard_normal(dataset.features).astype(np.float32))
