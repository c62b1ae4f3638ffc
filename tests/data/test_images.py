"""Folders of images."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetui.data import DataError, Dataset, load
from aetui.spec.sections import File

Image = pytest.importorskip("PIL.Image")

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 3), dtype=np.uint8)


def loaded(path: Path, **changes: Any) -> Dataset:
    return load(File(**{"path": str(path), "scaling": "none", "validation": 0, **changes}))


def refusal(path: Path, **changes: Any) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        loaded(path, **changes)
    return caught.value.path, str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "faces"
    for label in ("cat", "dog"):
        (path / label).mkdir(parents=True)
    return path


def test_grey_images_in_subfolders(folder: Path) -> None:
    for index, pixels in enumerate(PIXELS[..., 0]):
        Image.fromarray(pixels).save(folder / ("dog" if index % 2 else "cat") / f"{index}.png")
    data = loaded(folder)
    assert data.image_shape == (1, 3, 5)
    assert data.classes == ("cat", "dog")
    np.testing.assert_array_equal(data.train_labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(data.train, PIXELS[[0, 2, 1, 3], ..., 0].reshape(4, -1))
    assert data.source == "faces 4 x 15"


def test_color_images_are_channels_first_and_have_no_labels_outside_subfolders(folder: Path) -> None:
    for index, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    data = loaded(folder)
    assert data.image_shape == (3, 3, 5)
    assert data.train_labels is None
    np.testing.assert_array_equal(data.train, np.moveaxis(PIXELS, 3, 1).reshape(4, -1))


def test_one_color_image_makes_all_of_them_rgb(folder: Path) -> None:
    Image.fromarray(PIXELS[0]).save(folder / "a.png")
    Image.fromarray(PIXELS[1, ..., 0]).save(folder / "b.png")
    data = loaded(folder)
    np.testing.assert_array_equal(data.train[1].reshape(3, 3, 5), np.stack([PIXELS[1, ..., 0]] * 3))


def test_sixteen_bit_grey_is_brought_to_255(folder: Path) -> None:
    deep = PIXELS[..., 0].astype(np.uint16) * 257
    for index, pixels in enumerate(deep):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    np.testing.assert_allclose(loaded(folder).train, PIXELS[..., 0].reshape(4, -1), atol=1e-3)


def test_hidden_and_other_files_are_passed_over(folder: Path) -> None:
    for name in ("a.png", "b.png", ".hidden.png"):
        Image.fromarray(PIXELS[0]).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    assert loaded(folder).rows == 2


def test_different_sizes_are_counted(folder: Path) -> None:
    for index, pixels in enumerate(PIXELS):
        Image.fromarray(pixels[:2] if index == 2 else pixels).save(folder / f"{index}.png")
    assert refusal(folder) == (
        "data.path",
        "faces: 1 of 4 images is not 5 x 3 pixels like the others; 2.png has 5 x 2",
    )


def test_refusals(folder: Path) -> None:
    assert refusal(folder)[1].startswith("faces: the folder holds no images (.png, .jpg")
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    assert refusal(folder)[1] == "faces/cat/broken.png: can't be read as an image: it is not an image"
    Image.fromarray(np.repeat(PIXELS[0], 50, axis=0)).save(folder / "cat" / "broken.png")
    content = (folder / "cat" / "broken.png").read_bytes()
    (folder / "cat" / "broken.png").write_bytes(content[: len(content) // 2])
    assert refusal(folder)[1].startswith("faces/cat/broken.png: can't be read as an image: ")
    assert refusal(folder, label="x")[0] == "data.label"
    assert refusal(folder, key="x")[0] == "data.key"


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert refusal(folder) == ("data.path", "faces: reading images needs Pillow; pip install aetui[images]")
