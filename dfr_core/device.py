"""Which device, how much of its memory, and in which arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import DFRError, Setting

#: Share of the free memory that cached features may take.
MEMORY_SHARE = 0.4


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of a name; ``"auto"`` takes CUDA where there is one.

    Raises:
        DFRError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DFRError(Setting("device"), f"{name!r} is not a device", "write 'auto', 'cpu' or 'cuda'") from None
    if device.type not in ("cpu", "cuda"):
        raise DFRError(Setting("device"), f"{name!r} is not supported", "write 'auto', 'cpu' or 'cuda'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DFRError(
            Setting("device"),
            f"{name!r} is not on this machine ({torch.cuda.device_count()} CUDA devices found)",
            ("use ", Setting("device", "cpu")),
        )
    return device


def memory_budget(device: torch.device) -> int:
    """Bytes that cached features may take by default: a share of what is free on the device now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = available_memory()
    return int(MEMORY_SHARE * free)


def available_memory() -> int:
    """Bytes of main memory that a program can still take."""
    try:
        with open("/proc/meminfo") as lines:  # Linux: counts what the page cache would give back
            for line in lines:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError, AttributeError):
        return 4 << 30  # Windows has no sysconf; a student's laptop has at least this much


def full_precision(device: torch.device) -> torch.autocast:
    """Compute within the block without bf16.

    A good reconstruction errs by less than bf16 rounds a feature, and an autoencoder trained with its weights
    rounded fits the rounding. So only the frozen backbone computes in bf16, the autoencoder in TF32.
    """
    return torch.autocast(device.type, enabled=False)


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Compute within the block in ``"fp32"``, ``"tf32"`` or ``"bf16"``.

    fp32 means fp32: torch would run convolutions on CUDA in TF32 unless told not to.

    Raises:
        DFRError: a reduced precision without CUDA (on CPU it is slower, not faster).
    """
    if device.type != "cuda":
        if precision != "fp32":
            raise DFRError(Setting("precision"), f"{precision!r} needs CUDA", ("on this device use ", Setting("precision", "fp32")))
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def load_average() -> float | None:
    """The load average of the last minute, where the system knows it; above the number of cores, timings are too long."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
