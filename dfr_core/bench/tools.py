"""What the parts of `dfr bench` share: alternating timing, peak memory, the machine, FLOPs and bytes."""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ..device import cores


def alternate(variants: Mapping[str, Callable[[], Any]], repeats: int, *, warm: bool = True) -> dict[str, float]:
    """Median seconds of each variant, run in turn (A B C A B C ...), so that all meet the same machine."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-1 if warm else 0, repeats):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            if turn >= 0:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def machine() -> dict[str, Any]:
    """The processor, its load and what computes on it."""
    about = {
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if torch.cuda.is_available():
        about["gpu"] = torch.cuda.get_device_name()
    return about


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class PeakMemory:
    """MiB that a block takes above what the process held before it (Linux: the kernel's own high-water mark)."""

    def __enter__(self) -> PeakMemory:
        import ctypes
        import gc

        gc.collect()
        if sys.platform == "linux":
            with suppress(AttributeError):  # a C library without it
                ctypes.CDLL(None).malloc_trim(0)  # else memory that was freed but kept would hide what is taken anew
            with open("/proc/self/clear_refs", "w") as reset:
                reset.write("5")  # sets the high-water mark to what is held now
        self.before = _status("VmHWM")
        return self

    def __exit__(self, *_: object) -> None:
        self.mib = _status("VmHWM") - self.before


def _status(name: str) -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def peak_flops(device: torch.device, n: int = 2048, dtype: torch.dtype = torch.float32) -> float:
    """FLOPs a second of one large matrix product: the best that can be hoped for."""
    a: Tensor = torch.rand(n, n, device=device, dtype=dtype)
    return 2 * n**3 / _best(lambda: a @ a, device)


def bandwidth(device: torch.device, mib: int = 256) -> float:
    """Bytes a second of a plain copy, read and write counted."""
    a = torch.zeros(mib * 2**18, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() * 4 / _best(lambda: b.copy_(a), device)


def _best(run: Callable[[], Any], device: torch.device, repeats: int = 5) -> float:
    best = float("inf")
    for _ in range(repeats + 1):
        synchronise(device)
        started = time.perf_counter()
        run()
        synchronise(device)
        best = min(best, time.perf_counter() - started)
    return best


def synchronise(device: torch.device) -> None:
    """Wait for the GPU, if there is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
