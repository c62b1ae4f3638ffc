"""Write aetui/data/digits.npz from scikit-learn's load_digits; needs scikit-learn."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent.parent / "aetui" / "data"


def main() -> None:
    """Read the digits, check that bytes hold them exactly, and write the file beside its attribution."""
    data, target = load_digits(return_X_y=True)
    images = data.reshape(-1, 8, 8).astype(np.uint8)
    if not np.array_equal(images.reshape(len(data), -1), data):
        raise SystemExit("the digits are not whole numbers from 0 to 255")
    attribution = (HERE / "digits.LICENSE.txt").read_text(encoding="utf-8")
    path = HERE / "digits.npz"
    np.savez_compressed(path, images=images, labels=target.astype(np.uint8), attribution=np.array(attribution))
    print(f"{path}: {images.shape}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
