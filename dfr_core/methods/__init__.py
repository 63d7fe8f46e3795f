"""The methods: each learns from normal images and maps anomalies, and each is one file and one row here.

The table is names alone, so that listing the methods imports none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import DFRError

if TYPE_CHECKING:
    from .base import Detector

#: Name, as in model files and records -> module and class.
METHODS: dict[str, str] = {
    "DFR": "dfr_core.methods.dfr:DFR",
}


def method(name: str) -> type[Detector]:
    """The class of a method.

    Raises:
        DFRError: no method of that name.
    """
    if name not in METHODS:
        raise DFRError(f"method: {name!r} is not one of {', '.join(METHODS)}")
    module, _, title = METHODS[name].partition(":")
    return getattr(import_module(module), title)
