"""Data ready for training."""

from dataclasses import dataclass, field

import numpy as np

from aetui.data.scaling import Scaler


@dataclass(frozen=True, eq=False)
class Dataset:
    """Scaled rows, split into a training and a validation part.

    `train` is float32 [rows, features] and C-contiguous, `validation` the same with the rows
    held out, or None. Labels are int64 indices into `classes`, or None. `image_shape` is
    (channels, height, width) of a row, or (). `feature_names` is () where the source has none.
    """

    name: str
    source: str
    train: np.ndarray
    validation: np.ndarray | None = None
    train_labels: np.ndarray | None = None
    validation_labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] = ()
    feature_names: tuple[str, ...] = ()
    scaler: Scaler = field(default_factory=Scaler)
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in both parts together."""
        return len(self.train) + (0 if self.validation is None else len(self.validation))

    @property
    def features(self) -> int:
        """Numbers in a row."""
        return self.train.shape[1]
