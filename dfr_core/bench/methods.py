"""`dfr bench --only methods`: DFR beside the methods that its paper compares it with, in one run: fit, milliseconds an image, memory."""

from __future__ import annotations

import time

from ..methods import METHODS, method
from .cpu import Row, normal_images
from .tools import PeakMemory, alternate


def methods(quick: bool) -> list[Row]:
    """Each method in the size of an edition, fitted to 16 images; one image at a time, all methods in turn."""
    edition = "quick" if quick else "embedded"
    images = normal_images(8 if quick else 16)
    runs, rows, memory = {}, {}, {}
    for name in METHODS:
        started = time.perf_counter()
        detector = method(name)(method(name).of_edition(edition), device="cpu", progress=False).fit(images)
        seconds = time.perf_counter() - started
        runs[name] = lambda detector=detector: detector.anomaly_tensor(images[:1])
        rows[name] = [Row("methods", f"{edition} edition", f"{name}: fit to {len(images)} images", seconds, "s")]
        with PeakMemory() as peak:
            runs[name]()
        memory[name] = peak.mib
    seconds = alternate(runs, 1 if quick else 3)
    for name in METHODS:
        rows[name].append(Row("methods", f"{edition} edition", f"{name}: an image", 1000 * seconds[name], "ms"))
        rows[name].append(Row("methods", f"{edition} edition", f"{name}: peak memory, an image", memory[name], "MiB"))
    return [row for name in METHODS for row in rows[name]]
