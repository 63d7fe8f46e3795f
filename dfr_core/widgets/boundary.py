"""Notebook 08: zero against reflection padding, and how the error runs from the border to the middle of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..metrics import border_profile
from ..plotting import BLUE, MUTED, RED, heat, outline, side_by_side
from .charts import Chart, Curve, caption
from .common import FunctionView, select, toggle

#: Width of a ring in pixels: two positions of the regional features.
STEP = 8
#: Colour and words for each padding of :class:`dfr_core.settings.Settings`.
LOOKS = {"zeros": (RED, "zero padding"), "reflect": (BLUE, "reflection padding")}


def profile(maps: np.ndarray, step: int = STEP) -> tuple[np.ndarray, np.ndarray]:
    """Mean anomaly score by distance from the border, in units of the mean over the inner quarter of the image.

    Args:
        maps: anomaly maps [N, h, w] or one [h, w], best of normal images.
        step: width of a ring in pixels.

    Returns:
        distance: the middles of the rings in pixels, float [R]; ratio: float [R], 1 where the border makes no difference.
    """
    maps = np.asarray(maps, dtype=np.float64).reshape(-1, *np.shape(maps)[-2:])
    ratio = border_profile(maps, step)
    return (np.arange(len(ratio)) + 0.5) * step, ratio


def chart(top: float, depth: int = 128) -> Chart:
    """Axes of the error profile, with the line at 1 where the border makes no difference."""
    return Chart(
        "mean score, 1 = middle of the image",
        [Curve([0, depth], [1, 1], MUTED)],
        xlabel="distance from the border [pixels]",
        xlim=(0, depth),
        ylim=(0, top),
    )


def draw(axes: Chart, padding: str, image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """The image with the outlined truth, its anomaly map and the profile: uint8.

    Args:
        axes: from :func:`chart`.
        padding: ``"zeros"`` or ``"reflect"``.
        image: uint8 [h, w, 3]; anomaly_map: float [h, w]; mask: bool [h, w].
        low, high: ends of the colour scale.
    """
    colour, words = LOOKS[padding]
    return side_by_side(
        caption(outline(image, mask, width=2), "image" + (", orange: the true defect" if mask.any() else ", normal")),
        caption(heat(anomaly_map, low, high), f"anomaly map, {words}"),
        axes.draw([Curve(*profile(anomaly_map), colour, words)]),
        gap=8,
    )


def text(padding: str, anomaly_map: np.ndarray) -> str:
    """One line about the profile."""
    _, ratio = profile(anomaly_map)
    return f"{LOOKS[padding][1]}: the outer {STEP} pixels score {ratio[0]:.2f} times the middle"


def build(images: np.ndarray, maps: Mapping[str, np.ndarray], masks: np.ndarray, names: Sequence[str], first: int = 0) -> FunctionView:
    """The widget.

    Args:
        images: uint8 [N, h, w, 3].
        maps: ``"zeros"`` and ``"reflect"`` -> anomaly maps [N, h, w].
        masks: bool [N, h, w].
        names: what to call the images in the list.
        first: the image shown at first.
    """
    low = min(float(m.min()) for m in maps.values())
    high = max(float(m.max()) for m in maps.values())
    top = max(2.0, 1.05 * max(float(profile(m)[1].max()) for stack in maps.values() for m in stack))
    axes = chart(top, min(images.shape[1:3]) // 2)

    def function(reflect: bool, image: int) -> tuple[np.ndarray, str]:
        padding = "reflect" if reflect else "zeros"
        shown = maps[padding][image]
        return draw(axes, padding, images[image], shown, masks[image], low, high), text(padding, shown)

    return FunctionView(
        function,
        title="Padding and the error profile across the border",
        reflect=toggle("reflection padding", False),
        image=select("test image", [(f"{k}: {name}", k) for k, name in enumerate(names)], first),
    )
