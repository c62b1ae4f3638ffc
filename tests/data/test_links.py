"""Links in the place of data."""

import pytest

from aetui.data import DataError, load
from aetui.spec.sections import File


def test_a_link_to_nothing_is_named_as_one_and_never_proposed(tmp_path):
    (tmp_path / "dang.npy").symlink_to(tmp_path / "gone.npy")
    with pytest.raises(DataError, match=r"dang\.npy: is a link to .*gone\.npy, which is not there$"):
        load(File(path=str(tmp_path / "dang.npy")))
    with pytest.raises(DataError, match=r"dan\.npy: there is no such file$"):
        load(File(path=str(tmp_path / "dan.npy")))
