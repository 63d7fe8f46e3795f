"""Notebook 04: the latent dimension against explained variance, reconstruction error and anomaly map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..plotting import GREEN, RED, heat, outline, side_by_side
from .charts import Chart, Curve, caption
from .common import FunctionView, select


@dataclass(frozen=True)
class Trained:
    """What an autoencoder of one latent dimension does.

    Attributes:
        c_d: its latent dimension.
        share: of the features' variance that so many principal components explain, 0..1.
        normal, anomalous: mean reconstruction error (Eq. 5) at normal and at anomalous pixels of the test image.
        anomaly_map: [h, w] of the test image.
    """

    c_d: int
    share: float
    normal: float
    anomalous: float
    anomaly_map: np.ndarray


def summarise(c_d: int, spectrum: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray) -> Trained:
    """Numbers of one autoencoder.

    Args:
        spectrum: cumulated explained variance of 1, 2, ... components.
        anomaly_map: float [h, w]; mask: bool [h, w], both of one test image.
    """
    return Trained(c_d, float(spectrum[c_d - 1]), float(anomaly_map[~mask].mean()), float(anomaly_map[mask].mean()), anomaly_map)


def charts(trained: Sequence[Trained], spectrum: np.ndarray, wanted: float) -> tuple[Chart, Chart]:
    """The charts that stay: explained variance, and reconstruction error, against the latent dimension."""
    dims = [t.c_d for t in trained]
    top = max(len(spectrum), dims[-1])
    across = {"xlabel": "latent dimension c_d", "xscale": "log", "xlim": (1, top), "size": (300, 276)}
    explained = [Curve(range(1, len(spectrum) + 1), spectrum), Curve([1, top], [wanted, wanted], RED, f"{wanted:.0%} wanted")]
    errors = [
        Curve(dims, [getattr(t, name) for t in trained], colour, label, dots=True)
        for name, colour, label in (("anomalous", RED, "at the defect"), ("normal", GREEN, "elsewhere"))
    ]
    variance = Chart("explained variance (PCA)", explained, legend="lower right", ylim=(0, 1), **across)
    highest = 1.1 * max(max(t.normal, t.anomalous) for t in trained)
    return variance, Chart("reconstruction error (CAE)", errors, ylim=(0, highest), **across)


def draw(variance: Chart, error: Chart, one: Trained, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Both charts with the chosen latent dimension marked, the image and its anomaly map (own colour scale): uint8."""
    shown = outline(heat(one.anomaly_map), mask, width=2)
    return side_by_side(
        variance.draw(upright=one.c_d, dots=[(one.c_d, one.share)], note=f"c_d = {one.c_d}", note_at=0.6),
        error.draw(upright=one.c_d, dots=[(one.c_d, one.normal), (one.c_d, one.anomalous)]),
        caption(image, "test image"),
        caption(shown, "anomaly map; orange: the true defect"),
        gap=6,
    )


def text(one: Trained) -> str:
    """One line about the chosen latent dimension."""
    return (
        f"c_d = {one.c_d}: {one.share:.1%} of the variance explained; "
        f"error {one.anomalous:.3g} at the defect, {one.normal:.3g} elsewhere, ratio {one.anomalous / one.normal:.2f}"
    )


def build(trained: Sequence[Trained], spectrum: np.ndarray, image: np.ndarray, mask: np.ndarray, wanted: float = 0.9) -> FunctionView:
    """The widget.

    Args:
        trained: autoencoders of rising latent dimension.
        spectrum: cumulated explained variance of 1, 2, ... components.
        image: uint8 [h, w, 3]; mask: bool [h, w], the test image.
        wanted: the share of variance that the setting asks for.
    """
    variance, error = charts(trained, spectrum, wanted)
    by_dimension = {t.c_d: t for t in trained}

    def function(c_d: int) -> tuple[np.ndarray, str]:
        one = by_dimension[c_d]
        return draw(variance, error, one, image, mask), text(one)

    middle = trained[len(trained) // 2].c_d
    return FunctionView(function, title="Latent dimension", c_d=select("latent dimension", list(by_dimension), middle, unit="channels"))
