"""Which device, how much memory, which arithmetic."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

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


# ---- the container, not the machine ------------------------------------------------------------------


def grouped(system: Path, membership: str, **groups: tuple[str, int, int]) -> list[int]:
    """What is left in a container described by files: group -> (limit, used, of that cached)."""
    (system / "proc/self").mkdir(parents=True)
    (system / "proc/self/cgroup").write_text(membership)
    old = "memory:" in membership
    names = ("memory.max", "memory.current", "inactive_file")
    if old:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    for group, (limit, used, cached) in groups.items():
        folder = system / "sys/fs/cgroup" / ("memory" if old else "") / group.replace("_", "/").removeprefix("root")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"cache 3\n{names[2]} {cached}\n")
    return list(device._left_in_container(system))


def test_memory_of_a_container_of_version_2(tmp_path):
    assert grouped(tmp_path / "a", "0::/\n", root=("1000", 700, 200)) == [500]
    assert grouped(tmp_path / "b", "0::/\n", root=("max", 700, 200)) == []
    assert grouped(tmp_path / "c", "0::/pod/box\n", pod=("900", 700, 0), pod_box=("max", 1, 1)) == [200], "the group above limits, too"
    assert grouped(tmp_path / "d", "0::/pod\n", pod=("900", 1000, 0)) == [0]


def test_memory_of_a_container_of_version_1(tmp_path):
    lines = "9:name=systemd:/\n4:memory:/docker/8f\n1:cpu,cpuacct:/\n0::/\n"
    assert grouped(tmp_path / "a", lines, docker_8f=("1000", 900, 300), root=(str(2**63 - 4096), 0, 0)) == [2**63 - 4096, 400]
    assert grouped(tmp_path / "b", lines, root=("1000", 900, 300)) == [400], "docker shows its own group as the root"


def test_memory_where_there_are_no_control_groups(tmp_path):
    assert list(device._left_in_container(tmp_path)) == []
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("nonsense\n")
    assert list(device._left_in_container(tmp_path)) == []


def test_the_smaller_of_machine_and_container_counts(monkeypatch):
    monkeypatch.setattr(device, "_left_in_container", lambda: iter([5, 1 << 60]))
    assert device.available_memory() == 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_cores_are_those_this_process_may_use():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from dfr_core.device import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "1\n"
    assert 1 <= device.cores() <= os.cpu_count()


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


PAGES = """
import resource, torch
from dfr_core import DFR, edition
from dfr_core.methods.whole import Whole
torch.set_num_threads(1)
settings = edition("embedded").settings
detector = DFR(settings, device="cpu").adopt(Whole(settings.architecture.feature_dimension(settings.layers, settings.width), 46, settings))
images = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
for _ in range(3):
    detector.anomaly_tensor(images)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    detector.anomaly_tensor(images)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only GNU's C library keeps what is freed")
def test_scoring_another_image_takes_no_memory_from_the_system():
    """Without it, some 2000 pages of 4 KiB were taken anew for each image."""
    pages = subprocess.run([sys.executable, "-c", PAGES], check=True, capture_output=True, text=True).stdout
    assert int(pages) < 200
