"""Notebook 07: grow the scale set f{1:l} one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..backbones.architecture import architecture
from ..plotting import BLUE, RED, heat, outline, side_by_side
from .charts import Chart, Curve, caption
from .common import FunctionView, select

VGG19 = architecture("vgg19")


@dataclass(frozen=True)
class Result:
    """What one layer set achieved.

    Attributes:
        maps: anomaly maps of the test images, float32 [N, h, w].
        roc_auc, pro_auc: over all of them.
        c_o, c_d: channels of a regional feature and of the latent code.
    """

    maps: np.ndarray
    roc_auc: float
    pro_auc: float
    c_o: int
    c_d: int


def direction(before: float, after: float, tolerance: float = 0.01) -> str:
    """``rises``, ``falls`` or ``stays`` (a change of at most ``tolerance``)."""
    change = after - before
    return "stays" if abs(change) <= tolerance else "rises" if change > 0 else "falls"


def layer_shares(error: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Eq. 5 squared, split by layer: the parts of sum_c (f_c - f-hat_c)^2 that each layer's channels contribute.

    Args:
        error: f - f-hat, [..., c_o], the layers' channels one after the other.
        widths: channels of each layer, with sum c_o.

    Returns:
        [..., L]; the sum over the last axis is the squared anomaly score.
    """
    squared = np.square(error, dtype=np.float64)
    ends = np.cumsum(widths)
    return np.stack([squared[..., end - width : end].sum(-1) for end, width in zip(ends, widths, strict=True)], axis=-1)


def chart(results: Mapping[int, Result]) -> Chart:
    """Both metrics against the last layer of the set."""
    layers = sorted(results)
    low = min(min(r.roc_auc, r.pro_auc) for r in results.values())
    return Chart(
        "area under the curve",
        [
            Curve(layers, [results[k].roc_auc for k in layers], BLUE, "ROC-AUC"),
            Curve(layers, [results[k].pro_auc for k in layers], RED, "PRO-AUC"),
        ],
        legend="lower right",
        xlabel="last layer l of f{1:l}",
        xlim=(1, VGG19.n_layers),
        xticks=(1, *VGG19.poolings, VGG19.n_layers),
        ylim=(max(0.0, np.floor(low * 10 - 0.5) / 10), 1),
    )


def draw(axes: Chart, last: int, image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with the outlined truth, its anomaly map and the metrics: uint8.

    Args:
        axes: from :func:`chart`.
        last: the last layer of the set.
        image: uint8 [h, w, 3]; anomaly_map: float [h, w], drawn in its own range as in Fig. 1; mask: bool [h, w].
    """
    return side_by_side(
        caption(outline(image, mask, width=2), "image" + (", orange: the true defect" if mask.any() else ", normal")),
        caption(heat(anomaly_map), f"anomaly map of f{{1:{last}}}"),
        axes.draw(upright=last, note=f"l = {last}"),
        gap=8,
    )


def text(last: int, result: Result) -> str:
    """One line about a layer set."""
    first, largest = VGG19.layers[0].size, VGG19.layers[last - 1].size
    return (
        f"f{{1:{last}}}: {last} scales, fields of {first} to {largest} pixels, {result.c_o} channels, code of {result.c_d}; "
        f"ROC-AUC {result.roc_auc:.3f}, PRO-AUC {result.pro_auc:.3f}"
    )


def build(
    images: np.ndarray, masks: np.ndarray, results: Mapping[int, Result], names: Sequence[str], image: int = 0, last: int | None = None
) -> FunctionView:
    """The widget.

    Args:
        images: uint8 [N, h, w, 3], test images; masks: bool [N, h, w].
        results: last layer l -> what f{1:l} achieved.
        names: what to call the images in the list.
        image, last: shown at first.
    """
    axes = chart(results)

    def function(last: int, image: int) -> tuple[np.ndarray, str]:
        return draw(axes, last, images[image], results[last].maps[image], masks[image]), text(last, results[last])

    layers = sorted(results)
    return FunctionView(
        function,
        title="Grow the scale set",
        last=select("last layer", [(f"{k}: {VGG19.layers[k - 1].size} pixels", k) for k in layers], last or layers[0]),
        image=select("test image", [(f"{k}: {name}", k) for k, name in enumerate(names)], image),
    )
