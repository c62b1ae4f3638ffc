"""Make aetui/presets/clinic/digits.npz, the variants of the embedded digits that known failures need.

    python scripts/make_clinic_data.py

Arrays: `gaps` has missing pixels, `measurements` has columns in different units, `one` repeats a row,
`margins` has the digits in the middle of empty images. All are views of the same real data, whose
source and license are in aetui/data/digits.LICENSE.txt.
"""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "aetui" / "presets" / "clinic" / "digits.npz"
ROWS = 600


def gaps(images: np.ndarray) -> np.ndarray:
    """Pixels of 600 digits, [600, 64], values 0 to 16; six of them are missing (NaN)."""
    rows = images[:ROWS].reshape(ROWS, -1).astype(np.float16)
    holes = np.random.default_rng(0).choice(rows.size, 6, replace=False)
    rows.reshape(-1)[holes] = np.nan
    return rows


def measurements(images: np.ndarray) -> np.ndarray:
    """Twelve measured properties of 600 digits, [600, 12], in units of their own."""
    grid = images[:ROWS].astype(np.float64)
    ink = grid.sum((1, 2))
    share = grid / ink[:, None, None]
    y, x = np.mgrid[0:8, 0:8]
    center_x, center_y = (share * x).sum((1, 2)), (share * y).sum((1, 2))
    offset_x, offset_y = x - center_x[:, None, None], y - center_y[:, None, None]
    spread_x = np.sqrt((share * offset_x**2).sum((1, 2)))
    spread_y = np.sqrt((share * offset_y**2).sum((1, 2)))
    tilt = (share * offset_x * offset_y).sum((1, 2)) / (spread_x * spread_y)
    columns = (
        ink, (grid**2).sum((1, 2)), (grid > 8).sum((1, 2)), center_x, center_y, spread_x, spread_y, tilt,
        share[:, :4].sum((1, 2)), share[:, :, :4].sum((1, 2)), share[:, 2:6, 2:6].sum((1, 2)),
        np.abs(np.diff(grid, axis=2)).sum((1, 2)) / ink,
    )  # fmt: skip
    return np.stack(columns, 1).astype(np.float32)


def one(images: np.ndarray) -> np.ndarray:
    """The first digit 200 times, [200, 64]."""
    return np.repeat(images[:1].reshape(1, -1), 200, axis=0)


def margins(images: np.ndarray) -> np.ndarray:
    """600 digits in the middle of empty images of 20 x 20 pixels, [600, 20, 20]."""
    return np.pad(images[:ROWS], ((0, 0), (6, 6), (6, 6)))


def main() -> None:
    with np.load(ROOT / "aetui" / "data" / "digits.npz") as archive:
        images = archive["images"]
    arrays = {make.__name__: make(images) for make in (gaps, measurements, one, margins)}
    np.savez_compressed(TARGET, **arrays)
    for name, array in arrays.items():
        print(f"{name:<13} {array.dtype} {array.shape}")
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
