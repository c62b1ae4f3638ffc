"""Files of tensors: whole or absent, and damage is found."""

import pytest
import torch

from aetui.runs.tensorfile import DamagedFile, read, write


@pytest.mark.parametrize("fault", ["cut", "flip in the data", "flip in the header", "empty", "longer", "gone"])
def test_a_damaged_file_is_found_out(fault, tmp_path):
    file = tmp_path / "one.safetensors"
    write(file, {"a": torch.arange(100.0), "b": torch.ones(3, dtype=torch.bfloat16)}, "{}")
    data = bytearray(file.read_bytes())
    if fault == "cut":
        del data[-7:]
    elif fault == "flip in the data":
        data[-50] ^= 4
    elif fault == "flip in the header":
        data[data.index(b"[100]") + 1] ^= 8
    elif fault == "empty":
        data.clear()
    elif fault == "longer":
        data += b"x"
    file.write_bytes(data)
    if fault == "gone":
        file.unlink()
    with pytest.raises(DamagedFile):
        read(file)


def test_a_file_is_readable_by_its_owner_alone_and_whole_or_absent(tmp_path):
    file = tmp_path / "one.safetensors"
    write(file, {"a": torch.zeros(0), "b": torch.tensor(True)}, "text")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]
    tensors, text = read(file)
    assert text == "text" and tensors["a"].shape == (0,) and tensors["b"].item() is True
