"""Folders of images, read with Pillow."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aetui.data.arrays import refuse
from aetui.data.errors import DAMAGED, DataError, count, first_sentence
from aetui.data.source import Source
from aetui.spec.sections import File

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

_GREY = ("1", "L", "LA", "I", "F")


def read_images(path: Path, section: File) -> Source:
    """Every image under a folder, in the order of their names, values 0 to 255.

    All grey: one channel; otherwise all are read as RGB. Where all images lie in subfolders,
    the subfolders' names are the labels.
    """
    try:
        from PIL import Image
    except ImportError:
        raise DataError("data.path", f"{path.name}: reading images needs Pillow; pip install aetui[images]") from None
    refuse(section, path.name, "key")
    refuse(section, path.name, "label", why="the names of subfolders are the labels; leave it empty")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and _visible(file, path))
    if not files:
        raise DataError("data.path", f"{path.name}: the folder holds no images ({', '.join(SUFFIXES)})")
    sizes: list[tuple[int, int]] = []
    grey = True
    for file in files:
        with _opened(Image, file, path) as image:
            sizes.append(image.size)
            grey = grey and image.mode.split(";")[0] in _GREY
    (width, height), _ = Counter(sizes).most_common(1)[0]
    odd = [index for index, size in enumerate(sizes) if size != (width, height)]
    if odd:
        example = f"{files[odd[0]].relative_to(path)} has {sizes[odd[0]][0]} x {sizes[odd[0]][1]}"
        raise DataError(
            "data.path",
            f"{path.name}: {len(odd):,} of {count(len(files), 'image')} {'is' if len(odd) == 1 else 'are'} not "
            f"{width} x {height} pixels like the others; {example}",
        )
    shape = (1 if grey else 3, height, width)
    values = np.empty((len(files), *shape), np.float32)
    for row, file in enumerate(files):
        with _opened(Image, file, path) as image:
            try:
                values[row] = _pixels(image, grey)
            except DAMAGED as error:
                raise _unreadable(file, path, error) from None
    parts = [file.relative_to(path).parts for file in files]
    labels = np.array([part[0] for part in parts]) if all(len(part) > 1 for part in parts) else None
    return Source(path.name, values.reshape(len(files), -1), labels=labels, image_shape=shape)


def _visible(file: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in file.relative_to(root).parts) and file.is_file()


def _opened(pillow: Any, file: Path, root: Path) -> "Image":
    try:
        return pillow.open(file)
    except (*DAMAGED, pillow.DecompressionBombError) as error:
        raise _unreadable(file, root, error) from None


def _unreadable(file: Path, root: Path, error: Exception) -> DataError:
    name = f"{root.name}/{file.relative_to(root).as_posix()}"
    reason = "it is not an image" if "cannot identify" in str(error) else first_sentence(error)
    return DataError("data.path", f"{name}: can't be read as an image: {reason}")


def _pixels(image: "Image", grey: bool) -> np.ndarray:
    """[channels, height, width] with values 0 to 255."""
    if image.mode == "I" or image.mode.startswith("I;"):
        plane = np.asarray(image, np.float32) / 257  # Pillow reads 16-bit grey into these modes
    elif image.mode == "F":
        plane = np.asarray(image, np.float32)
    else:
        pixels = np.asarray(image.convert("L" if grey else "RGB"), np.float32)
        return pixels[None] if grey else np.moveaxis(pixels, 2, 0)
    return plane[None] if grey else np.broadcast_to(plane, (3, *plane.shape))
