"""Which device, how much of its memory, and in which arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from .errors import DFRError, Setting

#: Share of the free memory that cached features may take.
MEMORY_SHARE = 0.4
_FREED = 31 << 20


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
    """Bytes of main memory that this program can still take: what the machine has left, or its container (cgroup), if that is less."""
    return min([_free_memory(), *_left_in_container()])


def _left_in_container(system: Path = Path("/")) -> Iterator[int]:
    """What is left below the limit of each control group that this process is in, in version 1 and 2 of Linux's control groups."""
    with suppress(OSError, ValueError):
        for line in (system / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _left_in_groups(system / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _left_in_groups(system / "sys/fs/cgroup/memory", path, *files)


def _left_in_groups(root: Path, path: str, limit: str, usage: str, cached: str) -> Iterator[int]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts) + 1):  # the groups above limit, too; in a container, those it does not see are not there
        group = root.joinpath(*parts[:depth])
        with suppress(OSError, ValueError):  # ValueError: "max", no limit
            most = int((group / limit).read_text())
            counts = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
            yield max(0, most - int((group / usage).read_text()) + int(counts.get(cached, 0)))  # files cached are given back


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for what is asked for next, instead of giving it back to the system after each image.

    Memory taken anew has to be mapped page by page, which costs a small network more time than its arithmetic saves by large blocks.
    GNU's library learns from the largest block ever freed, up to 32 MiB, that such blocks come and go, and then keeps up to twice as
    much. So one is freed here; it is never written to, so it costs nothing. Other libraries take no notice.
    """
    torch.empty(_FREED, dtype=torch.uint8)


def cores() -> int:
    """CPU cores that this process may use: fewer than the machine's after `taskset`, or in a container with a quota."""
    from joblib import cpu_count

    return cpu_count()


def _free_memory() -> int:
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
