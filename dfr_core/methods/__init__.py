"""The methods: each learns from normal images and maps anomalies, and each is one file and one row here.

The table is names alone, so that listing the methods imports none of them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DFRError, Setting

if TYPE_CHECKING:
    from .base import Detector

#: Name, as in model files and records -> module and class.
METHODS: dict[str, str] = {
    "DFR": "dfr_core.methods.dfr:DFR",
    "AE-ssim": "dfr_core.methods.ae:AESSIM",
    "AE-l2": "dfr_core.methods.ae:AEL2",
    "AnoGAN": "dfr_core.methods.anogan:AnoGAN",
    "VAE-grad": "dfr_core.methods.vae_grad:VAEGrad",
    "CNN-FD": "dfr_core.methods.cnn_fd:CNNFD",
    "ST-p65": "dfr_core.methods.st:STp65",
    "ST-m": "dfr_core.methods.st:STm",
}


def method(name: str) -> type[Detector]:
    """The class of a method.

    Raises:
        DFRError: no method of that name.
    """
    if name not in METHODS:
        raise DFRError("method", f"{name!r} is not one of {', '.join(METHODS)}")
    module, _, title = METHODS[name].partition(":")
    return getattr(import_module(module), title)


def one_length(changes: dict[str, Any]) -> dict[str, Any]:
    """Settings that replace others. Epochs replace the steps that the slim editions count, which would override them.

    Raises:
        DFRError: both are given.
    """
    if changes.get("epochs") is not None and changes.get("steps") is not None:
        raise DFRError(Setting("steps"), ("given beside ", Setting("epochs"), ", and both say how long to train"), "give one of them")
    return changes | {"steps": None} if "epochs" in changes else changes


def load_detector(path: str | Path, **options: Any) -> Detector:
    """A detector of any method from a model file; ``options`` are those of :meth:`dfr_core.methods.base.Detector.load`.

    Raises:
        DFRError: a method that is not here, or as :meth:`dfr_core.methods.base.Detector.load`.
    """
    from ..files import load_tensors
    from .model_file import method_of

    try:
        kind = method(method_of(load_tensors(path)[1]))
    except DFRError as error:
        raise error if error.what == Path(path) else DFRError(path, error) from error
    return kind.load(path, **options)
