"""Figures 1, 4 and 9 and the contact sheet: images, their ground truth, and anomaly maps."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .. import plotting, scoring
from ..lab.trial import OWN, Setting
from ..paper_numbers import BASELINES, CATEGORIES, GROWING, TEXTURES
from ..plotting import BLUE, FAINT, INK, MUTED, ORANGE, RED
from ..records import Record, Records
from .drawing import Drawing, Grid, show, title
from .measured import RIVAL, Missing, evidence, first, incomplete, nice, scale_set, stamp, synthetic

_Row = tuple[str, tuple[Record, list[Record]]]  # category, its images, its trainings

#: Rows of Fig. 1 as far as there are records (the paper does not name its own), and which defect.
_FIG1 = {"carpet": 0, "tile": 1, "wood": 0, "cable": 1, "hazelnut": 0, "metal_nut": 0}
_FPRS = ("0", "0.005")
_SUMMARY = ("lowest score", "highest score", "mean score of the defect", "mean score elsewhere")
_RED = plotting.rgb(RED)  # the ground truth as an area


def fig1(records: Records) -> Drawing:
    """Anomaly maps with growing scale sets."""
    settings = [(layers, OWN) for layers in GROWING]
    rows = _rows(records, (*_FIG1, *CATEGORIES), settings, "the layer sets 1:2 to 1:16")[: len(_FIG1)]
    grid = _grid(len(rows), 1 + len(GROWING), panel=1.18, left=0.95, top=0.82)
    words = "Each anomaly map (AM) is scaled to [0, 1]; bright is anomalous. Orange outlines the ground truth."
    title(grid.figure, "Fig. 1  Anomaly maps with more and larger scales", words)
    _heads(grid, ["input", *(f"AM {scale_set(layers)}" for layers in GROWING)])
    numbers = _rows_of_maps(grid, rows, _FIG1, "layers")
    return Drawing(grid.figure, ["category", "defect", "layers", *_SUMMARY], numbers, stamp(_used(rows)))


def fig4(records: Records) -> Drawing:
    """All categories: input, ground truth, anomaly map, segmentations."""
    rows = _rows(records, CATEGORIES, [("1:12", OWN)], "the layer set 1:12")
    blocks, high = (3, -(-len(rows) // 3)) if len(rows) > 3 else (1, len(rows))
    panel, gap, side = 0.76, 0.04, 0.9
    block = 5 * panel + 4 * gap + side + 0.1
    grid = _grid(high, 0, panel=panel, gap=gap, left=side + 0.06, top=0.94, right=blocks * block + 0.04 - side)
    words = "GT: ground truth. AM: anomaly map over the image, scaled to [0, 1]. "
    words += "SM: segmentation at the threshold for an FPR of 0 and of 0.005 on the training images.\n"
    words += "Shown: of one image of each kind of defect, the one of middle score. In brackets: in how many of the defective test images "
    words += "SM, 0 touches the defect."
    title(grid.figure, "Fig. 4  Segmentation of all categories with f{1:12}", words)
    numbers = []
    for n, (category, (pictures, (record,))) in enumerate(rows):
        place, row = divmod(n, high)
        dx = place * block
        if row == 0:
            _heads(grid, ("input", "GT", "AM", "SM, 0", "SM, 0.005"), dx)
        k = _typical_defect(pictures, record)
        image, mask = pictures.arrays["images"][k], pictures.arrays["masks"][k]
        scores = _upsampled(record.arrays["maps"][k], image.shape[:2])
        limits = [record.about["thresholds"][fpr] for fpr in _FPRS]
        found = [scores > limit for limit in limits]
        touched = [record.about["touched"][fpr][0] for fpr in _FPRS]
        defective = record.about["touched"]["0"][1]
        _side(grid, row, category, pictures.about["defects"][k], dx, f"({touched[0]} of {defective})")
        panels = [image, _paint(image, mask, _RED), plotting.overlay(image, scores, alpha=0.75), *found]
        for column, picture in enumerate(panels):
            axes = grid.axes(row, column, dx=dx)
            show(axes, picture)
            if column > 2:
                _frame(axes)
        shares = [float(f.mean()) for f in found]
        counts = [*touched, defective]
        numbers.append([category, pictures.about["defects"][k], *_summary(scores, mask), float(mask.mean()), *limits, *shares, *counts])
    header = ["category", "defect", *_SUMMARY, "share of the defect"]
    header += [f"threshold, FPR {fpr}" for fpr in _FPRS] + [f"share segmented, FPR {fpr}" for fpr in _FPRS]
    header += [*(f"defects touched, FPR {fpr}" for fpr in _FPRS), "defective images"]
    return Drawing(grid.figure, header, numbers, stamp(_used(rows)), incomplete([c for c, _ in rows]))


def rivals(records: Records) -> Drawing:
    """All categories by all methods: input, and the anomaly map of each method, in the manner of Fig. 4."""
    names = [name for name in BASELINES if name in evidence(records).methods]
    settings = [*((*RIVAL, name) for name in names), ("1:12", OWN)]
    rows = _rows(records, CATEGORIES if names else (), settings, "DFR (1:12) and of the baselines")
    grid = _grid(len(rows), 1 + len(settings), panel=0.82, gap=0.04, left=0.92, top=0.82)
    words = "Each anomaly map is scaled to [0, 1]; bright is anomalous. Orange outlines the ground truth. One seed for all."
    title(grid.figure, "Anomaly maps of DFR and of the methods it is compared with", words)
    _heads(grid, ["input", *names, "DFR f{1:12}"])
    numbers = _rows_of_maps(grid, rows, {}, "method")
    header = ["category", "defect", "method", *_SUMMARY]
    return Drawing(grid.figure, header, numbers, stamp(_used(rows)), incomplete([c for c, _ in rows]))


def _rows_of_maps(grid: Grid, rows: Sequence[_Row], nth: Mapping[str, int], named: str) -> list[list[Any]]:
    """A row a category: the image of its n-th defect, then each record's map. Their numbers, with what a record is ``named`` by."""
    numbers = []
    for row, (category, (pictures, trained)) in enumerate(rows):
        k = _nth_defect(pictures, nth.get(category, 0))
        image, mask = pictures.arrays["images"][k], pictures.arrays["masks"][k]
        _side(grid, row, category, pictures.about["defects"][k])
        show(grid.axes(row, 0), outlined(image, mask))
        for column, record in enumerate(trained, start=1):
            scores = _upsampled(record.arrays["maps"][k], image.shape[:2])
            show(grid.axes(row, column), plotting.outline(plotting.heat(scores), mask, width=1))
            numbers.append([category, pictures.about["defects"][k], record.about[named], *_summary(scores, mask)])
    return numbers


def _used(rows: Sequence[_Row]) -> list[Record]:
    return [record for _, (pictures, trained) in rows for record in (pictures, *trained)]


def fig9(records: Records) -> Drawing:
    """Zero and reflection padding: maps, and the score by distance from the border."""
    settings = [("1:12", "zeros"), ("1:12", "reflect")]
    rows = _rows(records, TEXTURES, settings, "1:12 with zero and with reflection padding, of a texture")
    panel, gap, plot = 1.1, 0.06, 2.5
    grid = _grid(len(rows), 4, panel=panel, gap=gap, left=0.9, top=0.88, right=0.1 + plot + 0.75, bottom=0.72)
    words = "Maps scaled to [0, 1]. Right: mean score of normal test images by distance from the border; 1 is their inner half."
    title(grid.figure, "Fig. 9  Boundary effects: zero and reflection padding", words)
    _heads(grid, ("input", "GT", "AM, zeros", "AM, reflection"))
    numbers = []
    profiles = [[np.asarray(r.arrays["border_profile"], float) for r in trained] for _, (_, trained) in rows]
    top = max((p.max() for pair in profiles for p in pair if p.size), default=1.0) * 1.05
    low = min((p.min() for pair in profiles for p in pair if p.size), default=1.0) * 0.97
    for row, (category, (pictures, trained)) in enumerate(rows):
        k = _nth_defect(pictures, 0)
        image, mask = pictures.arrays["images"][k], pictures.arrays["masks"][k]
        _side(grid, row, category, pictures.about["defects"][k])
        show(grid.axes(row, 0), image)
        show(grid.axes(row, 1), _paint(image, mask, _RED))
        x, y = grid.corner(row, 4)
        axes = grid.place(x + 0.45, y, plot, panel)
        axes.axhline(1, color=FAINT, linewidth=0.8)
        for column, (record, colour, dash) in enumerate(zip(trained, (RED, BLUE), ("-", "--")), start=2):
            show(grid.axes(row, column), plotting.heat(_upsampled(record.arrays["maps"][k], image.shape[:2])))
            profile = profiles[row][column - 2]
            pixels = (np.arange(profile.size) + 0.5) * image.shape[0] / record.arrays["maps"].shape[1]
            name = "zeros" if column == 2 else "reflection"
            axes.plot(pixels, profile, dash, color=colour, linewidth=1.7, label=name)
            numbers += [[category, name, p, v] for p, v in zip(pixels.tolist(), profile.tolist())]
        axes.set(xlim=(0, image.shape[0] / 2), ylim=(low, top))
        axes.tick_params(labelbottom=row == len(rows) - 1, labelsize=7)
        if row == 0:
            axes.legend(frameon=False, fontsize=8, loc="upper right", borderaxespad=0, handlelength=2.2)
            grid.text(x + 0.45, y - 0.07, "relative score", fontsize=8, color=MUTED, va="bottom")
        if row == len(rows) - 1:
            axes.set_xlabel("pixels from the border")
    note = incomplete([c for c, _ in rows], TEXTURES)
    return Drawing(grid.figure, ["category", "padding", "pixels from the border", "relative score"], numbers, stamp(_used(rows)), note)


def contact(records: Records) -> Drawing:
    """All categories, normal and defective."""
    found = [(c, record) for c in CATEGORIES if (record := first(records, kind="images", category=c))]
    if not found:
        raise Missing("images")
    widest = max(len(record.about["defects"]) for _, record in found)
    blocks = 2 if len(found) > 3 else 1
    high = -(-len(found) // blocks)
    panel, gap, side, line = 0.88, 0.07, 0.8, 0.2
    block = widest * (panel + gap) + side + 0.12
    size = (blocks * block + 0.05, 0.72 + high * (panel + line) + 0.28)
    grid = Grid(Figure(figsize=size), panel, gap, side, 0.72 + line)
    name = "synthetic data" if synthetic(r for _, r in found) else str(found[0][1].about["data"])
    words = "The first normal test image, and the first of every kind of defect. "
    words += "Orange bars above and left of an image tell where its defect is."
    title(grid.figure, f"The {len(found)} categories of the {name}", words)
    numbers = []
    for n, (category, record) in enumerate(found):
        place, row = divmod(n, high)
        dx, dy = place * block, row * (panel + line) - row * (panel + gap)
        x, y = grid.corner(row, 0)
        grid.text(x + dx - 0.1, y + dy + panel / 2, nice(category), ha="right", va="center", fontsize=9, fontweight="bold")
        for column, defect in enumerate(record.about["defects"]):
            mask = record.arrays["masks"][column]
            axes = grid.axes(row, column, dx=dx, dy=dy)
            show(axes, record.arrays["images"][column])
            x, y = grid.corner(row, column)
            label = "normal" if defect == "good" else nice(defect)
            colour = MUTED if defect == "good" else INK
            grid.text(x + dx + panel / 2, y + dy - 0.055, label, ha="center", va="bottom", fontsize=6.5, color=colour)
            _bars(axes, mask)
            numbers.append([category, defect, float(mask.mean())])
    note = incomplete([c for c, _ in found])
    return Drawing(grid.figure, ["category", "defect", "share of the defect"], numbers, stamp(r for _, r in found), note)


def _bars(axes, mask: np.ndarray) -> None:
    """Where the mask is, told on two edges of the image, so that the image itself stays untouched."""
    h, w = mask.shape
    boxes = [((start / w, 1.0), (stop - start) / w, 0.035) for start, stop in _runs(mask.any(0))]
    boxes += [((-0.035, 1 - stop / h), 0.035, (stop - start) / h) for start, stop in _runs(mask.any(1))]
    for box in boxes:
        axes.add_patch(Rectangle(*box, transform=axes.transAxes, clip_on=False, facecolor=ORANGE, linewidth=0))


def _runs(line: np.ndarray) -> list[tuple[int, int]]:
    """Where a line of booleans is True: (first, one past the last) of every run."""
    edges = np.flatnonzero(np.diff(np.r_[False, line, False].astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _rows(records: Records, categories: Sequence[str], settings: list[Setting], trained: str) -> list[_Row]:
    """The categories, each once, that have images and a training of every setting; Missing says of what, if there is none."""
    rows = [(c, found) for c in dict.fromkeys(categories) if (found := _pictures(records, c, settings))]
    if not rows:
        raise Missing(f"images, and training records of {trained}")
    return rows


def _pictures(records: Records, category: str, settings: list[Setting]) -> tuple[Record, list[Record]] | None:
    """A category's images and the training record of each setting (one seed for all), or None if any is missing."""
    pictures = first(records, kind="images", category=category)
    if pictures is None or not _defective(pictures):
        return None
    records = evidence(records)
    found = [records.training(category, *setting) for setting in settings]
    shared = set.intersection(*(set(f) for f in found))
    return (pictures, [f[min(shared)] for f in found]) if shared else None


def _nth_defect(pictures: Record, n: int) -> int:
    defective = _defective(pictures)
    return defective[n % len(defective)]


def _defective(pictures: Record) -> list[int]:
    return [k for k, defect in enumerate(pictures.about["defects"]) if defect != "good"]


def _typical_defect(pictures: Record, record: Record) -> int:
    """Neither the easiest nor the hardest: of the defects that there are pictures of, the one of middle image score."""
    defective = _defective(pictures)
    return sorted(defective, key=lambda k: float(record.arrays["maps"][k].max()))[(len(defective) - 1) // 2]


def _upsampled(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixel-wise anomaly map (III-D); a rival's is one already."""
    if scores.shape == tuple(size):
        return np.asarray(scores, np.float32)
    return scoring.upsample(torch.from_numpy(np.asarray(scores, np.float32))[None], size)[0].numpy()


def _summary(scores: np.ndarray, mask: np.ndarray) -> list[float | None]:
    inside = float(scores[mask].mean()) if mask.any() else None
    return [float(scores.min()), float(scores.max()), inside, float(scores[~mask].mean())]


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The ground truth's outline, orange in white, so that it is seen on dark, light and orange ground."""
    return plotting.outline(plotting.outline(image, mask, (255, 255, 255), width=4), mask, width=3)


def _paint(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The image with the mask in one colour, the rest paler, so that the mask is seen on any ground."""
    out = (0.55 * np.asarray(image, float) + 0.45 * 255).astype(np.uint8)
    out[np.asarray(mask, bool)] = colour
    return out


def _grid(
    rows: int, columns: int, *, panel: float, left: float, top: float, gap: float = 0.06, right: float = 0.1, bottom: float = 0.36
) -> Grid:
    """A grid on a figure of its size; ``left``, ``top``, ``right`` and ``bottom``: inches around it."""
    width = left + columns * (panel + gap) + right
    return Grid(Figure(figsize=(width, top + rows * (panel + gap) + bottom)), panel, gap, left, top)


def _heads(grid: Grid, texts: Sequence[str], dx: float = 0.0) -> None:
    """What is in each column."""
    for column, text in enumerate(texts):
        x, y = grid.corner(0, column)
        grid.text(x + dx + grid.panel / 2, y - 0.06, text, ha="center", va="bottom", fontsize=8.5)


def _side(grid: Grid, row: int, category: str, defect: str, dx: float = 0.0, *more: str) -> None:
    x, y = grid.corner(row, 0)
    grid.text(x + dx - 0.08, y + grid.panel / 2 - 0.02, nice(category), ha="right", va="bottom", fontsize=8.5, fontweight="bold")
    words = "\n".join([*textwrap.wrap(nice(defect), 13), *more])
    grid.text(x + dx - 0.08, y + grid.panel / 2 + 0.02, words, ha="right", va="top", fontsize=7, color=MUTED)


def _frame(axes) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.5)
