"""Notebook 05: an acceptable false positive rate, the threshold it gives, and the segmentation that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..plotting import FOUND, INK, MUTED, PURPLE, TRUTH, heat, rgb, side_by_side
from ..scoring import allowed_pixels
from .charts import Chart, Curve, caption
from .common import FunctionView, select

HIT, MISS, FALSE_ALARM = FOUND, TRUTH, rgb(PURPLE)
#: Acceptable false positive rates to choose from; the paper shows 0 and 0.005 (Fig. 4).
RATES = (0.0, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Counts:
    """Pixels of one segmentation: anomalous ones found and missed, normal ones called anomalous and left alone."""

    hits: int
    misses: int
    false_alarms: int
    quiet: int


def falling(scores: np.ndarray) -> np.ndarray:
    """Normal scores of any shape, sorted from the highest down."""
    return np.sort(np.asarray(scores, dtype=np.float32), axis=None)[::-1]


def limit_for(normal: np.ndarray, fpr: float) -> float:
    """The threshold T (III-D): at most a share ``fpr`` of the ``normal`` scores, sorted by :func:`falling`, exceeds it."""
    return float(normal[allowed_pixels(len(normal), fpr)])


def count(found: np.ndarray, mask: np.ndarray) -> Counts:
    """Compare a segmentation with the ground truth, both bool of one shape."""
    both = [int((found & mask).sum()), int((~found & mask).sum()), int((found & ~mask).sum()), int((~found & ~mask).sum())]
    return Counts(*both)


def paint(image: np.ndarray, found: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image, dimmed, with hits in blue, misses in orange and false alarms in pink: uint8 [h, w, 3]."""
    out = (image.astype(np.float32) * 0.6 + 60).astype(np.uint8)
    for pixels, colour in ((found & mask, HIT), (~found & mask, MISS), (found & ~mask, FALSE_ALARM)):
        out[pixels] = colour
    return out


def histogram(normal: np.ndarray, anomalous: np.ndarray) -> Chart:
    """The chart that stays: how the scores of normal training pixels and of anomalous test pixels are spread.

    Each is a share of its own kind, so that the few anomalous pixels can be seen; the scale is a root one.
    """
    low, high = float(min(normal.min(), anomalous.min())), float(max(normal.max(), anomalous.max()))
    edges = np.linspace(low, high, 81)
    shares = [np.sqrt(np.histogram(scores, edges)[0] / scores.size) for scores in (normal, anomalous)]
    middles = (edges[:-1] + edges[1:]) / 2
    return Chart(
        "root of the share of pixels in a bin",
        [Curve(middles, shares[0], MUTED, "normal, training", area=True), Curve(middles, shares[1], INK, "defects, test")],
        size=(360, 276),
        xlabel="anomaly score",
        xlim=(low, high),
        ylim=(0, 1.05 * max(share.max() for share in shares)),
    )


def draw(chart: Chart, limit: float, image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """Histogram with the threshold, anomaly map, and segmentation: uint8.

    Args:
        limit: the threshold T.
        image: uint8 [h, w, 3]; anomaly_map: float [h, w]; mask: bool [h, w].
        low, high: ends of the anomaly map's colour scale.
    """
    found = anomaly_map > limit
    return side_by_side(
        chart.draw(upright=limit, note=f"T = {limit:.3g}"),
        caption(heat(anomaly_map, low, high), "anomaly map"),
        caption(paint(image, found, mask), "blue hit, orange missed, pink false alarm"),
        gap=6,
    )


def text(fpr: float, limit: float, counts: Counts) -> str:
    """One line about a segmentation."""
    anomalous, normal = counts.hits + counts.misses, counts.false_alarms + counts.quiet
    found = f"{counts.hits:,} of {anomalous:,} anomalous pixels found ({counts.hits / anomalous:.0%}); " if anomalous else "no defect; "
    alarms = f"{counts.false_alarms:,} false alarms ({counts.false_alarms / max(normal, 1):.2%} of the normal pixels)"
    return f"acceptable FPR {fpr:.2%}: T = {limit:.3g}; {found}{alarms}"


def build(
    normal_scores: np.ndarray, images: np.ndarray, maps: np.ndarray, masks: np.ndarray, names: list[str] | None = None, first: int = 0
) -> FunctionView:
    """The widget.

    Args:
        normal_scores: anomaly scores of the normal training pixels, any shape.
        images: uint8 [N, h, w, 3], test images; maps: float [N, h, w]; masks: bool [N, h, w].
        names: what to call the images in the list.
        first: the image shown at first.
    """
    normal = falling(normal_scores)
    chart = histogram(normal, maps[masks])
    low, high = float(normal[-1]), float(max(normal[0], maps.max()))

    def function(fpr: float, image: int) -> tuple[np.ndarray, str]:
        limit = limit_for(normal, fpr)
        picture = draw(chart, limit, images[image], maps[image], masks[image], low, high)
        return picture, text(fpr, limit, count(maps[image] > limit, masks[image]))

    labels = names or [str(k) for k in range(len(images))]
    return FunctionView(
        function,
        title="Threshold from the false positive rate",
        fpr=select("acceptable FPR", [(f"{rate:.2%}", rate) for rate in RATES], 0.005, unit="of normal pixels"),
        image=select("test image", [(f"{k}: {label}", k) for k, label in enumerate(labels)], first),
    )
