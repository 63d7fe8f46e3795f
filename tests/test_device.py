"""Which device, how much memory, which arithmetic."""

from __future__ import annotations

import pytest
import torch

from dfr_core import device
from dfr_core.device import arithmetic, memory_budget, pick_device
from dfr_core.errors import DFRError

CPU = torch.device("cpu")


def test_cpu_and_auto():
    assert pick_device("cpu") == CPU
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "tpu", "meta", "cuda:99"])
def test_devices_that_are_not_there(name):
    with pytest.raises(DFRError, match="^device: ") as caught:
        pick_device(name)
    assert "'cpu'" in str(caught.value) and "\n" not in str(caught.value)


def test_cuda_is_refused_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DFRError, match="'cuda' is not on this machine .0 CUDA devices found.; use device='cpu'"):
        pick_device("cuda")


def test_budget_is_a_share_of_what_is_free(monkeypatch):
    monkeypatch.setattr(device, "available_memory", lambda: 1000)
    assert memory_budget(CPU) == 400
    monkeypatch.undo()
    assert 0 < memory_budget(CPU) < 1 << 50


def test_memory_without_proc(monkeypatch):
    def missing(*args, **kwargs):
        raise OSError

    monkeypatch.setattr("builtins.open", missing)
    assert device.available_memory() == 4 << 30


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_reduced_precision_needs_cuda(precision):
    with pytest.raises(DFRError, match=f"precision: '{precision}' needs CUDA"), arithmetic(precision, CPU):
        pass


def test_fp32_on_cpu_changes_nothing():
    with arithmetic("fp32", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_arithmetic_on_cuda_is_as_asked_and_put_back(monkeypatch):
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    for precision in ("fp32", "tf32", "bf16"):
        with pytest.raises(KeyError), arithmetic(precision, torch.device("cuda")):
            assert [flag.allow_tf32 for flag in flags] == [precision != "fp32"] * 2
            raise KeyError
        assert [flag.allow_tf32 for flag in flags] == before
