"""What every model file says of itself: its format, its method, and the versions it was made with."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from .. import __version__
from ..errors import DFRError
from ..files import load_tensors

FORMAT = "dfr-model"
FORMAT_VERSION = "3"  # 1 and 2: the projected extension had other layers


def read_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the words of a model file.

    Raises:
        DFRError: not a model file, or one of another format version.
    """
    tensors, about = load_tensors(path)
    if about.get("format") != FORMAT:
        raise DFRError(path, "not a DFR model", "give a file that `dfr fit --out` wrote")
    if (found := about.get("format_version")) != FORMAT_VERSION:
        raise DFRError(path, f"model of format version {found}, but this package reads version {FORMAT_VERSION}", "fit the model again")
    return tensors, about


def method_of(about: dict[str, str]) -> str:
    """Name of the method in a model file's words; files of the time when there was but one do not say it."""
    return about.get("method", "DFR")


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = {name: version(name) for name in ("torch", "torchvision", "numpy", "scipy")}
    return {"python": platform.python_version(), "dfr-lab": __version__} | packages
