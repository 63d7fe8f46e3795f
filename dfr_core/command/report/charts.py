"""The report's charts, each an SVG with words that say the same to whoever cannot see it.

Two things that differ in colour (Okabe and Ito's palette) differ in shape, dash or hatching, too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...figures.drawing import style
from ...metrics import pro_auc, pro_curve, roc_auc, roc_curve
from ...plotting import BLUE, FAINT, INK, ORANGE, PURPLE
from .findings import Finding, kinds

#: Inches; small, so that the letters stay readable when a phone shrinks the chart to its width.
_SIZE = (4.8, 3.7)
_POINTS = 400
PRO_LIMIT = 0.3  # IV-A5


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: its heading.
        svg: the picture.
        alt: what it shows, in words and numbers.
        words: how to read it.
    """

    name: str
    svg: bytes
    alt: str
    words: str


@contextmanager
def _axes(x: str, y: str, size: tuple[float, float] = _SIZE) -> Iterator[tuple[Axes, io.BytesIO]]:
    """Axes to draw on, and where the SVG is when the block ends."""
    with style():
        matplotlib.rcParams.update({"font.size": 11, "axes.labelsize": 11, "legend.fontsize": 10})
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot(xlabel=x, ylabel=y, axisbelow=True)
        axes.grid(color=FAINT, linewidth=0.6)
        buffer = io.BytesIO()
        yield axes, buffer
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})


def roc(maps: np.ndarray, masks: np.ndarray, found: Sequence[Finding], threshold: float) -> Chart:
    """ROC curves (IV-A5) over pixels and, where there are good and defective images, over images."""
    area = roc_auc(maps, masks)
    false, true = float((maps > threshold)[~masks].mean()), float((maps > threshold)[masks].mean())
    alt = f"ROC curve over pixels with an area of {area:.3f}; at the threshold {false:.2%} of the normal pixels "
    alt += f"and {true:.1%} of the anomalous ones are above it."
    with _axes("false positive rate", "true positive rate") as (axes, buffer):
        axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=0.8)
        axes.plot(*roc_curve(maps, masks, max_points=_POINTS), "-", color=BLUE, linewidth=2, label=f"pixels, area {area:.3f}")
        labels = np.array([finding.defective for finding in found])
        if labels.any() and not labels.all():
            scores = np.array([finding.score for finding in found])
            over_images = roc_auc(scores, labels)
            axes.plot(*roc_curve(scores, labels), "--", color=ORANGE, linewidth=2, label=f"images, area {over_images:.3f}")
            alt += f" Over images the area is {over_images:.3f}."
        axes.plot([false], [true], "o", color=INK, markersize=8, label="pixels at the threshold", linestyle="none")
        axes.legend(loc="lower right")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return Chart("ROC", buffer.getvalue(), alt, "Up and to the left is better; the dotted diagonal is guessing.")


def pro(maps: np.ndarray, masks: np.ndarray, threshold: float) -> Chart:
    """The per-region-overlap curve (IV-A5) up to the paper's limit."""
    area = pro_auc(maps, masks, PRO_LIMIT)
    false = float((maps > threshold)[~masks].mean())
    x, y = pro_curve(maps, masks, PRO_LIMIT, max_points=_POINTS)
    overlap = float(np.interp(false, x, y))
    beyond = false > PRO_LIMIT
    alt = f"Curve of the per-region overlap up to a false positive rate of {PRO_LIMIT}: its area, as a share of the whole, is {area:.3f}"
    alt += "." if beyond else f"; at the threshold {overlap:.1%} of a defect is found on average."
    with _axes("false positive rate", "mean share of a defect found") as (axes, buffer):
        axes.fill_between(x, y, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(x, y, "-", color=BLUE, linewidth=2, label=f"area {area:.3f}")
        if not beyond:
            axes.plot([false], [overlap], "o", color=INK, markersize=8, label="at the threshold", linestyle="none")
        axes.legend(loc="lower right")
        axes.set(xlim=(-0.006, PRO_LIMIT), ylim=(-0.02, 1.02))
    return Chart("PRO", buffer.getvalue(), alt, "Each defect counts the same, however large; up to a false positive rate of 0.3.")


def pixels(maps: np.ndarray, masks: np.ndarray | None, threshold: float, highest: float) -> Chart:
    """A histogram of the scores of pixels, with both thresholds."""
    unit = highest if highest > 0 else 1.0
    top = max(float(np.quantile(maps, 0.9999)) / unit, 1.2) * 1.05
    edges = np.linspace(0, top, 61)
    parts = [("all pixels", maps)] if masks is None else [("normal pixels", maps[~masks]), ("anomalous pixels", maps[masks])]
    with _axes("score / verdict's threshold", "share of the pixels") as (axes, buffer):
        for (name, values), colour, hatch, dash in zip(parts, (BLUE, ORANGE), ("", "////"), ("-", "--")):
            counts = np.histogram((values / unit).clip(0, top), edges)[0] / max(values.size, 1)
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.25)
            axes.stairs(counts, edges, color=colour, linewidth=1.6, linestyle=dash, hatch=hatch, label=name)
        for value, dash, name in ((threshold / unit, ":", "segmentation"), (1.0, "-.", "verdict")):
            axes.axvline(value, color=INK, linestyle=dash, linewidth=1.8, label=f"threshold, {name}")
        axes.set(yscale="log", xlim=(0, top))
        axes.figure.legend(loc="outside upper center", ncols=2, frameon=False)  # inside it would hide the bars
    shares = "; ".join(f"{(values > threshold).mean():.2%} of {name} above the segmentation threshold" for name, values in parts)
    alt = f"Histogram of the scores of pixels with a logarithmic height: {shares}."
    return Chart("Scores of pixels", buffer.getvalue(), alt, "Height is logarithmic; the last bar holds all that is higher.")


def images(found: Sequence[Finding]) -> Chart:
    """The largest score of every image, by kind of defect, in times the verdict's threshold."""
    rows = kinds(found)
    with _axes("largest score / verdict's threshold", "", (_SIZE[0], 1.6 + 0.42 * len(rows))) as (axes, buffer):
        for height, kind in enumerate(rows):
            here = [finding for finding in found if finding.sample.defect == kind.name]
            known, bad = here[0].known, here[0].defective
            colour, marker = (PURPLE, "s") if not known else (ORANGE, "D") if bad else (BLUE, "o")
            for right in (True, False):
                values = [f.ratio for f in here if (not known or f.anomalous == bad) == right]
                places = height + 0.22 * np.sin(2.4 * np.arange(len(values)))  # apart, and the same in every run
                axes.plot(values, places, marker, color=colour, markerfacecolor=colour if right else "white", markersize=7, alpha=0.85)
        axes.axvline(1, color=INK, linestyle="-.", linewidth=1.8)
        axes.set_yticks(range(len(rows)), [f"{kind.name} ({kind.images})" for kind in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        finite = [finding.ratio for finding in found if np.isfinite(finding.ratio)]
        axes.set_xlim(0, max(1.2, *finite) * 1.05 if finite else 1.2)
    alt = "The largest score of each image in a row for each kind: " + "; ".join(
        f"{kind.name}: {kind.anomalous} of {kind.images} above the verdict's threshold" for kind in rows
    )
    words = "Right of the line is called anomalous. Filled: the verdict is right (or nobody knows). Hollow: it is wrong."
    return Chart("Scores of images", buffer.getvalue(), f"{alt}.", words)
