"""DFR: Deep Feature Reconstruction for unsupervised anomaly segmentation (arXiv 2012.07122).

Names are imported when first used, so that ``import dfr_core`` costs next to nothing.
"""

from importlib import import_module

__version__ = "0.2.0"

_HOMES = {
    "DFR": "methods.dfr",
    "Detector": "methods.base",
    "method": "methods",
    "load_detector": "methods",
    "DFRError": "errors",
    "Settings": "settings",
    "paper": "settings",
    "released": "settings",
    "edition": "editions",
    "current_edition": "editions",
    "load_category": "data",
    "load_photographs": "data",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
