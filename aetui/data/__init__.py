"""Data for training: sources, selection, checks and scaling. Importing it needs numpy only."""

from aetui.data.builtin import fresh_sample
from aetui.data.dataset import Dataset
from aetui.data.errors import DataError
from aetui.data.loading import load
from aetui.data.scaling import Scaler

__all__ = ["DataError", "Dataset", "Scaler", "fresh_sample", "load"]
