"""Figures 2 and 3: the pipeline and the regional feature generator, drawn with the maps of one image (Section III)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from .. import plotting
from ..paper_numbers import TABLE_I
from ..plotting import BLUE, GREEN, MUTED, ORANGE, RED
from ..records import Record, Records
from .drawing import Drawing, title
from .maps import outlined
from .measured import nice, only, stamp

_SHOWN = (1, 4, 8, 12)
_COLOURS = {1: ORANGE, 4: GREEN, 8: BLUE, 12: RED}
_FEATURES = "cividis"  # features are no scores: a colour map of their own, readable by everybody
_STAGE, _STAGE_EDGE = "#f4f5f7", "#dfe2e6"
#: Fig. 2, in inches: the line that image and volumes are centred on, and the centres of the four layers' maps.
_MIDDLE = 2.32
_CENTRES = {1: 3.62, 4: 2.72, 8: 1.87, 12: 1.12}
#: Fig. 3, in inches: where the columns of maps begin.
_COLUMNS = {"phi": 4.35, "aligned": 6.2, "aggregated": 8.05}


def fig2(records: Records) -> Drawing:
    """The pipeline with the real intermediate maps of one image."""
    record = only(records, "pipeline")
    figure, axes = _canvas(13.4, 5.3)
    what = f"{nice(record.about['category'])}, {nice(record.about.get('defect', 'defective'))}"
    words = f"One image ({what}) on its way from pixels to a segmentation; every map is measured. "
    words += "Orange: ground truth; blue: segmentation."
    title(figure, "Fig. 2  The pipeline of DFR", words)
    for x, w, name in (
        (1.72, 2.02, "1  Hierarchical features"), (3.92, 3.24, "2  Regional features"),
        (7.34, 2.9, "3  Deep feature reconstruction"), (10.42, 2.88, "4  Scoring and segmentation"),
    ):  # fmt: skip
        axes.add_patch(FancyBboxPatch((x, 0.42), w, 4.1, boxstyle="round,pad=0,rounding_size=0.1", facecolor=_STAGE, edgecolor=_STAGE_EDGE))
        axes.text(x + 0.12, 4.37, name, fontsize=9, fontweight="bold", va="top")
    _extraction(axes, record)
    _regional_features(axes, record)
    _reconstruction(axes, record)
    _scoring(axes, record)
    header, rows = _numbers(record.arrays)
    return Drawing(figure, header, rows, stamp([record]))


def _extraction(axes: Axes, record: Record) -> None:
    """Fig. 2, the image and stage 1: four of the maps, smaller as they are."""
    a = record.arrays
    _picture(axes, outlined(a["image"], a["mask"]), 0.12, _MIDDLE - 0.65, 1.3)
    _caption(axes, 0.77, _MIDDLE - 0.73, r"image $\mathbf{x}$", _size(a["image"]))
    sides = {1: 0.72, 4: 0.62, 8: 0.5, 12: 0.4}
    for layer in _SHOWN:
        phi, side, y = a[f"phi_{layer}"], sides[layer], _CENTRES[layer]
        _stack(axes, phi, 2.06, y - side / 2, side)
        axes.text(2.98, y + 0.06, rf"$\phi_{{{layer}}}(\mathbf{{x}})$", fontsize=8.5, color=_COLOURS[layer], va="center")
        axes.text(2.98, y - 0.13, f"{phi.shape[1]} × {phi.shape[2]}", fontsize=6.5, color=MUTED, va="center")
        _arrow(axes, (1.45, _MIDDLE), (2.03, y))


def _regional_features(axes: Axes, record: Record) -> None:
    """Fig. 2, stage 2: the same maps aligned and aggregated, then one volume."""
    a = record.arrays
    for layer in _SHOWN:
        y = _CENTRES[layer]
        _heat(axes, a[f"aggregated_{layer}"], 4.42, y - 0.33, 0.66)
        axes.text(5.16, y, rf"$\bar\phi_{{{layer}}}$", fontsize=8.5, color=_COLOURS[layer], va="center")
        _arrow(axes, (3.6, y), (4.38, y))
        _arrow(axes, (5.45, y), (5.86, _MIDDLE + 0.18 * np.sign(y - _MIDDLE)))
    axes.text(4.04, 0.5, "align (Eq. 1), aggregate (Eq. 2), concatenate (Eq. 3)", fontsize=7, color=MUTED, va="bottom")
    axes.text(1.84, 0.5, "4 of the 12 maps, 3 channels of each", fontsize=7, color=MUTED, va="bottom")
    _stack(axes, a["f"], 5.92, _MIDDLE - 0.42, 0.84, tint=True)
    _caption(axes, 6.46, _MIDDLE - 0.5, r"$f_{\{1:12\}}(\mathbf{x})$", f"{_size(a['f'][0])} × {record.about['c_o']}")


def _reconstruction(axes: Axes, record: Record) -> None:
    """Fig. 2, stage 3: the autoencoder."""
    _arrow(axes, (7.0, _MIDDLE), (7.46, _MIDDLE))
    _autoencoder(axes, 7.5, _MIDDLE, record.about["c_o"], record.about["c_d"])
    _arrow(axes, (8.72, _MIDDLE), (9.04, _MIDDLE))
    _stack(axes, record.arrays["reconstruction"], 9.08, _MIDDLE - 0.42, 0.84, tint=True)
    _caption(axes, 9.62, _MIDDLE - 0.5, r"$\hat f(\mathbf{x})$", "reconstruction")


def _scoring(axes: Axes, record: Record) -> None:
    """Fig. 2, stage 4: the difference of the two volumes, the maps and the segmentation."""
    a = record.arrays
    _arrow(axes, (10.16, _MIDDLE), (10.62, _MIDDLE))
    axes.plot([6.46, 6.46, 10.8], [_MIDDLE + 0.74, 3.72, 3.72], color=MUTED, linewidth=1.0)
    _arrow(axes, (10.8, 3.72), (10.8, _MIDDLE + 0.14))
    axes.text(8.79, 3.78, "the features themselves", va="bottom", fontsize=7, color=MUTED, ha="center")
    axes.add_patch(Circle((10.8, _MIDDLE), 0.13, facecolor="white", edgecolor=MUTED))
    axes.text(10.8, _MIDDLE, r"$-$", ha="center", va="center", fontsize=10)
    axes.text(10.8, _MIDDLE - 0.2, "distance,\nEq. 5", ha="center", va="top", fontsize=7, color=MUTED)
    _arrow(axes, (10.95, _MIDDLE), (11.36, 3.4))
    for scores, y, symbol in ((a["regional_map"], 3.0, r"$A(\mathbf{x})$"), (a["anomaly_map"], 1.78, r"$\hat A(\mathbf{x})$")):
        _heat(axes, scores, 11.4, y, 0.92, plotting.HEAT)
        axes.text(12.38, y + 0.55, symbol, fontsize=8.5, va="center")
        axes.text(12.38, y + 0.36, _size(scores), fontsize=6.5, color=MUTED, va="center")
    _picture(axes, outlined(_mark(a["image"], a["segmentation"]), a["mask"]), 11.4, 0.56, 0.92)
    axes.text(12.38, 1.11, r"$\hat A(\mathbf{x}) > T$", fontsize=8.5, va="center")
    axes.text(12.38, 0.92, "FPR 0.005", fontsize=6.5, color=MUTED, va="center")
    _arrow(axes, (11.86, 2.97), (11.86, 2.74))
    _arrow(axes, (11.86, 1.75), (11.86, 1.52))


def fig3(records: Records) -> Drawing:
    """The regional feature generator, and what one regional feature sees."""
    record = only(records, "pipeline")
    a = record.arrays
    squares = {layer: record.about["regional_fields"][layer - 1] for layer in _SHOWN}  # top, left, bottom, right
    figure, axes = _canvas(11.6, 6.2)
    words = "Squares on the image: what the regional feature at one position sees through layers 1, 4, 8 and 12. "
    words += "Regional: through all units its mean filter reaches."
    title(figure, "Fig. 3  The regional feature generator", words)
    _seen(axes, record, squares)
    heads = (
        ("phi", r"$\phi_l(\mathbf{x})$", "feature map"), ("aligned", r"$\hat\phi_l(\mathbf{x})$", "resized, Eq. 1"),
        ("aggregated", r"$\bar\phi_l(\mathbf{x})$", "mean filter, Eq. 2"),
    )  # fmt: skip
    for name, symbol, words in heads:
        axes.text(_COLUMNS[name] + 0.5, 5.5, symbol, ha="center", va="center", fontsize=10)
        axes.text(_COLUMNS[name] + 0.5, 5.3, words, ha="center", va="center", fontsize=7.5, color=MUTED)
    for k, layer in enumerate(_SHOWN):
        _generated(axes, a, k, layer, squares)
    _stack(axes, a["f"], 9.92, 2.05, 1.1, tint=True)
    words = f"concatenated, Eq. 3: {_size(a['f'][0])} × {record.about['c_o']}"
    _caption(axes, 10.6, 1.93, r"$f_{\{1:12\}}(\mathbf{x})$", words)
    header, rows = _numbers(a)
    rows = [[*r, *([None] * 4)] for r in rows] + [[f"field of layer {k}", None, None, None, None, None, *box] for k, box in squares.items()]
    return Drawing(figure, [*header, "top", "left", "bottom", "right"], rows, stamp([record]))


def _seen(axes: Axes, record: Record, squares: dict[int, list[int]]) -> None:
    """Fig. 3, the image with what one regional feature sees."""
    side, left, low = 3.1, 0.15, 1.45
    image = record.arrays["image"]
    _picture(axes, image, left, low, side)
    h, w = image.shape[:2]
    for layer in sorted(squares, reverse=True):
        top, first_column, bottom, last_column = squares[layer]
        # The frame is drawn whole where the field reaches beyond the image: the padding is seen, too.
        corner = left + first_column / w * side, low + (1 - bottom / h) * side
        box = corner, (last_column - first_column) / w * side, (bottom - top) / h * side
        axes.add_patch(Rectangle(*box, fill=False, edgecolor="white", linewidth=3, zorder=6))
        axes.add_patch(Rectangle(*box, fill=False, edgecolor=_COLOURS[layer], linewidth=2, zorder=6))
    (row, column), (h_o, w_o) = record.about["position"], record.arrays["regional_map"].shape
    _caption(axes, left + side / 2, low - 0.07, r"image $\mathbf{x}$", f"regional position ({row}, {column}) of {h_o} × {w_o}")


def _generated(axes: Axes, a: dict[str, np.ndarray], k: int, layer: int, squares: dict[int, list[int]]) -> None:
    """Fig. 3, one row: a layer's map as it is, resized and averaged."""
    panel, step = 1.0, 1.26
    y, colour = 4.16 - k * step, _COLOURS[layer]
    maps = {"phi": a[f"phi_{layer}"][0], "aligned": a[f"aligned_{layer}"], "aggregated": a[f"aggregated_{layer}"]}
    x, right = _COLUMNS["phi"] - 0.1, {"ha": "right", "va": "center"}
    axes.text(x, y + panel / 2 + 0.12, f"layer {layer}", fontsize=9, color=colour, fontweight="bold", **right)
    axes.text(x, y + panel / 2 - 0.1, f"field {TABLE_I[layer]} px", fontsize=7, color=MUTED, **right)
    axes.text(x, y + panel / 2 - 0.28, f"regional: {squares[layer][3] - squares[layer][1]} px", fontsize=7, color=MUTED, **right)
    for name, pixels in maps.items():
        _heat(axes, pixels, _COLUMNS[name], y, panel, edge=colour)
        axes.text(_COLUMNS[name] + panel / 2, y - 0.04, _size(pixels), ha="center", va="top", fontsize=6.5, color=MUTED)
    _arrow(axes, (_COLUMNS["phi"] + panel + 0.12, y + panel / 2), (_COLUMNS["aligned"] - 0.12, y + panel / 2))
    _arrow(axes, (_COLUMNS["aligned"] + panel + 0.12, y + panel / 2), (_COLUMNS["aggregated"] - 0.12, y + panel / 2))
    _arrow(axes, (_COLUMNS["aggregated"] + panel + 0.1, y + panel / 2), (9.86, 2.62 + (1.5 - k) * 0.2))


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Axes over the whole figure whose units are inches."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def _picture(axes: Axes, image: np.ndarray, x: float, y: float, side: float, edge: str = "white", z: float = 3.0) -> None:
    axes.imshow(image, extent=(x, x + side, y, y + side), aspect="auto", zorder=z)
    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=edge, linewidth=0.9, zorder=z))
    axes.set(xlim=(0, axes.figure.get_figwidth()), ylim=(0, axes.figure.get_figheight()))  # imshow would take them from the picture


def _heat(
    axes: Axes, scores: np.ndarray, x: float, y: float, side: float, colours: str = _FEATURES, edge: str = "white", z: float = 3.0
) -> None:
    scores = np.asarray(scores, float)
    # The brightest half per cent would else leave everything else dark.
    high = float(scores.max()) if colours == plotting.HEAT else float(np.quantile(scores, 0.995))
    _picture(axes, plotting.heat(scores, None, high, colours), x, y, side, edge, z)


def _stack(axes: Axes, maps: np.ndarray, x: float, y: float, side: float, tint: bool = False) -> None:
    """A few channels one behind the other, the first in front; ``tint`` frames them with the layers' colours."""
    shift = 0.09 * max(side, 0.6)
    count = min(len(maps), 4)
    for k in reversed(range(count)):
        edge = _COLOURS[_SHOWN[k]] if tint and len(maps) == len(_SHOWN) else "white"
        _heat(axes, maps[k], x + k * shift, y + k * shift, side, edge=edge, z=4 - k * 0.1)


def _autoencoder(axes: Axes, x: float, y: float, c_o: int, c_d: int) -> None:
    for points, name in (
        ([(x, y - 0.6), (x, y + 0.6), (x + 0.46, y + 0.24), (x + 0.46, y - 0.24)], "encoder"),
        ([(x + 0.72, y - 0.24), (x + 0.72, y + 0.24), (x + 1.18, y + 0.6), (x + 1.18, y - 0.6)], "decoder"),
    ):
        axes.add_patch(Polygon(points, closed=True, facecolor="#cfe0ef", edgecolor=BLUE, linewidth=1.0))
        centre = sum(p[0] for p in points) / 4
        axes.text(centre, y, name, ha="center", va="center", fontsize=7.5, rotation=90)
    axes.add_patch(Rectangle((x + 0.53, y - 0.18), 0.12, 0.36, facecolor=BLUE, edgecolor="none"))
    words = f"CAE, 1 × 1 convolutions\n{c_o} to {c_d} channels and back"
    axes.text(x + 0.66, y - 0.72, words, ha="center", va="top", fontsize=7, color=MUTED)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0, color=MUTED, linewidth=1.0, zorder=5)
    axes.add_patch(arrow)


def _caption(axes: Axes, x: float, y: float, symbol: str, words: str) -> None:
    axes.text(x, y, symbol, ha="center", va="top", fontsize=9)
    axes.text(x, y - 0.24, words, ha="center", va="top", fontsize=7, color=MUTED)


def _mark(image: np.ndarray, found: np.ndarray) -> np.ndarray:
    out = np.asarray(image, float).copy()
    out[found] = 0.35 * out[found] + 0.65 * np.array(plotting.FOUND)
    return out.astype(np.uint8)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} × {array.shape[1]}"


def _numbers(arrays: dict[str, np.ndarray]) -> tuple[list[str], list[list[Any]]]:
    """What the maps in a figure hold: shape and range of each."""
    rows = []
    for name, array in sorted(arrays.items()):
        v = np.asarray(array, float)
        rows.append([name, " x ".join(map(str, array.shape)), *(float(n) for n in (v.min(), v.max(), v.mean(), v.std()))])
    return ["map", "shape", "lowest", "highest", "mean", "standard deviation"], rows
