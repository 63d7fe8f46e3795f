"""`dfr info`: what is on this machine, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from .. import __version__
from ..editions import CACHE_VARIABLE, DATA_VARIABLE, EDITION_VARIABLE, cache_folder, current_edition
from ..errors import DFRError
from ..settings import paper

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "safetensors", "matplotlib", "tqdm", "joblib")
GIB = 2**30

WORDS = "show versions, devices, weights and data, and what to do about what is missing"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr info`."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(args: argparse.Namespace) -> int:
    """Run `dfr info`."""
    report = collect()
    print(json.dumps(report, indent=2) if args.json else as_text(report))
    return 0


def collect() -> dict[str, Any]:
    """Versions, devices, memory, weights, data, edition and cache; under ``advice`` one line for each thing missing.

    Never fails for something that is missing or wrong: that is what it reports.
    """
    advice: list[str] = []
    report = {
        "versions": _versions(advice),
        "machine": _machine(),
        "cuda": _cuda(advice),
        "weights": _weights(advice),
        "data": _data(advice),
        "edition": _edition(advice),
        "cache": _cache(advice),
    }
    return report | {"advice": advice}


def as_text(report: dict[str, Any]) -> str:
    """The report for people: a heading and indented lines for each part, what to do at the end."""
    lines = []
    for heading, part in report.items():
        if heading == "advice":
            continue
        lines.append(heading)
        width = max(map(len, part))
        lines += [f"  {name:<{width}}  {_words(value)}" for name, value in part.items()]
    advice = report["advice"]
    lines.append("what to do" if advice else "nothing is missing")
    return "\n".join(lines + [f"  - {line}" for line in advice])


def _words(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _versions(advice: list[str]) -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and `dfr --help` reads this file, too

    found: dict[str, str | None] = {"dfr-lab": __version__, "python": platform.python_version(), "executable": sys.executable}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
            advice.append(f"{name} is not installed: run `make setup`, or install the package's dependencies")
    return found


def _machine() -> dict[str, Any]:
    import torch

    from ..device import available_memory, cores

    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    except (OSError, ValueError, AttributeError):  # Windows has no sysconf
        total = None
    return {
        "system": platform.platform(),
        "cores": cores(),
        "torch threads": torch.get_num_threads(),
        "memory GiB": total and round(total, 1),
        "available GiB": round(available_memory() / GIB, 1),
    }


def _cuda(advice: list[str]) -> dict[str, Any]:
    import torch

    built = torch.version.cuda
    devices = []
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(k)
            devices.append(f"cuda:{k} {properties.name}, {properties.total_memory / GIB:.1f} GiB")
    elif built is None:
        advice.append(
            "torch is the CPU-only build; on a machine with an NVIDIA card run `make setup TORCH=default` (all works on CPU, slower)"
        )
    elif shutil.which("nvidia-smi"):
        advice.append(
            "an NVIDIA card may be here, but torch cannot use it; look at `nvidia-smi` (driver too old, or another process holds it)"
        )
    else:
        advice.append("no NVIDIA card found: the quick and embedded editions run on CPU; the paper edition is slow there")
    return {"built for": built, "usable": bool(devices), "devices": devices}


def _weights(advice: list[str]) -> dict[str, Any]:
    from ..backbones.weights import imagenet_cache, weights_variable

    network = paper().architecture
    cached, variable = imagenet_cache(network), weights_variable(network)
    named = os.environ.get(variable)
    usable = bool(named) and Path(named).is_file() and os.access(named, os.R_OK)
    if named and not usable:
        advice.append(f"{variable} is {named}, which is not a readable file: correct it or unset it")
    elif not named and not cached.is_file():
        advice.append(
            f"no ImageNet weights: they are downloaded to {cached} when first needed; offline, copy {cached.name} there, "
            f"or set {variable} to a {network.title} state dict (the quick and embedded editions need none)"
        )
    return {
        "imagenet file": str(cached),
        "imagenet there": cached.is_file(),
        variable: named,
        f"{variable} readable": usable if named else None,
    }


def _data(advice: list[str]) -> dict[str, Any]:
    from ..data import CATEGORIES, available

    root = os.environ.get(DATA_VARIABLE)
    names: tuple[str, ...] = ()
    if not root:
        advice.append(
            f"no MVTec AD: run `dfr fetch-data DIR`, then set {DATA_VARIABLE}=DIR (only the paper edition needs it; "
            "`dfr make-data DIR` makes synthetic data)"
        )
    else:
        try:
            names = available(root)
            missing = [name for name in CATEGORIES if name not in names]
            if missing:
                advice.append(f"{DATA_VARIABLE}: {root} lacks {', '.join(missing)}; see `dfr fetch-data {root}`")
        except DFRError as error:
            advice.append(f"{DATA_VARIABLE}: {error}")
    return {DATA_VARIABLE: root, "categories": list(names)}


def _edition(advice: list[str]) -> dict[str, Any]:
    named = os.environ.get(EDITION_VARIABLE)
    try:
        edition = current_edition()
    except DFRError as error:
        advice.append(f"{error}; correct or unset it")
        return {EDITION_VARIABLE: named, "current": None, "banner": None}
    return {EDITION_VARIABLE: named, "current": edition.name, "banner": edition.banner()}


def _cache(advice: list[str]) -> dict[str, Any]:
    folder = cache_folder()
    there = folder.is_dir()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    if not writable:
        advice.append(f"the cache folder {folder} cannot be written: set {CACHE_VARIABLE} to a folder that can")
    free = shutil.disk_usage(nearest).free / GIB
    return {CACHE_VARIABLE: os.environ.get(CACHE_VARIABLE), "folder": str(folder), "there": there, "free GiB": round(free, 1)}
