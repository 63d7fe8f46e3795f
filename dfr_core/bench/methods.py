"""`dfr bench --only methods`: DFR beside the methods that its paper compares it with, in one run: fit, milliseconds an image, memory."""

from __future__ import annotations

import time

from ..methods import METHODS, method
from ..methods.measured import seconds_an_image
from .cpu import Row, normal_images
from .tools import PeakMemory


def methods(quick: bool) -> list[Row]:
    """Each method in the size of an edition, fitted to 16 images; one image at a time."""
    edition = "quick" if quick else "embedded"
    images = normal_images(8 if quick else 16)
    detectors, rows = {}, {}
    for name in METHODS:
        started = time.perf_counter()
        detectors[name] = method(name)(method(name).of_edition(edition), device="cpu", progress=False).fit(images)
        rows[name] = [Row("methods", f"{edition} edition", f"{name}: fit to {len(images)} images", time.perf_counter() - started, "s")]
    for name, detector in detectors.items():
        with PeakMemory() as peak:
            detector.anomaly_tensor(images[:1])
        seconds = seconds_an_image(detector, images[: 2 if quick else 6])
        rows[name].append(Row("methods", f"{edition} edition", f"{name}: an image", 1000 * seconds, "ms"))
        rows[name].append(Row("methods", f"{edition} edition", f"{name}: peak memory, an image", peak.mib, "MiB"))
    return [row for name in METHODS for row in rows[name]]
