"""What the engine says of errors of a device."""

import pytest
import torch

from aetui.engine import describe


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.2 GB, other allocations: 1.0 GB)"),
        MemoryError(),
    ],
)
def test_a_full_device_is_out_of_memory_whichever_way_it_is_said(error: BaseException):
    assert describe.failure(error).startswith("out of memory; ")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("MPS error: command buffer exited"),
    ],
)
def test_a_device_that_is_gone_says_how_to_go_on(error: BaseException):
    text = describe.failure(error)
    assert text.startswith("the device failed: ") and text.endswith("aetui resume goes on from what is stored")
    assert "\n" not in text and "asynchronously" not in text and "DSA" not in text


def test_other_errors_are_told_as_they_are():
    assert describe.failure(RuntimeError("shapes differ\nin two lines")) == "RuntimeError: shapes differ; in two lines"
    assert describe.failure(ValueError("CUDA error: of a module of one's own")).startswith("ValueError: ")
