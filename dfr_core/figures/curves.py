"""Figures 5 to 8: metrics over layer sets that hold more and larger scales (Section IV-C1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np
from matplotlib.figure import Figure
from sklearn.isotonic import isotonic_regression

from ..lab.trial import OWN
from ..paper_numbers import BASELINES, CATEGORIES, GROWING, REFINING, TABLE_I
from ..plotting import BLUE, FAINT, GREEN, INK, MUTED, ORANGE, PURPLE, RED, SKY
from ..records import Record, Records
from .drawing import Drawing, title
from .measured import (
    GROUPS,
    METRICS,
    RIVAL,
    Missing,
    complete,
    cube,
    evidence,
    incomplete,
    nice,
    padding_in_words,
    scale_set,
    stamp,
    timings,
    training,
)

#: A colour, a marker and a dash for each of up to ten lines: told apart without colour, too.
_LINES = (
    (BLUE, "o", "-"), (RED, "s", "-"), (GREEN, "^", "-"), (ORANGE, "D", "-"), (PURPLE, "v", "-"), (SKY, "P", "-"),
    (BLUE, "X", "--"), (RED, "<", "--"), (GREEN, ">", "--"), (ORANGE, "*", "--"),
)  # fmt: skip
_MARKER = {"markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.5}
_SETTINGS = [(layers, OWN) for layers in GROWING]


def _curves(records: Records, number: int, metric: str, group: str) -> Drawing:
    wanted = GROUPS[group]
    data = cube(records, metric, _SETTINGS, wanted)
    figure = Figure(figsize=(7.6, 4.7))
    several = len(data.seeds) > 1
    words = f"{padding_in_words(records).capitalize()}, a line a category"
    words += "; bars reach from the lowest to the highest seed." if several else "."
    title(figure, f"Fig. {number}  {METRICS[metric]} on {group} with more and larger scales", words)
    axes = figure.add_axes((0.085, 0.185, 0.735, 0.665))
    x = np.arange(len(GROWING))
    means = data.values.mean(0)  # [categories, settings]
    for k, category in enumerate(data.categories):
        colour, marker, dash = _LINES[wanted.index(category) % len(_LINES)]
        axes.plot(x, means[k], dash, color=colour, marker=marker, linewidth=1.5, **_MARKER)
        if several:
            axes.vlines(x, data.values[:, k].min(0), data.values[:, k].max(0), color=colour, linewidth=0.8, alpha=0.7)
    average = data.values.mean((0, 1))
    axes.plot(x, average, color=INK, linewidth=2.6, zorder=5)
    axes.set_xticks(x, [f"{scale_set(layers)}\n{TABLE_I[int(layers.split(':')[1])]} px" for layers in GROWING])
    low, high = _limits(records, metric)
    axes.set(xlabel="layer set, and the largest receptive field in it", ylabel=METRICS[metric], axisbelow=True)
    axes.set(xlim=(-0.15, len(GROWING) - 0.85), ylim=(low, high))
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    names = [(means[k, -1], nice(c), *_LINES[wanted.index(c) % len(_LINES)][:2]) for k, c in enumerate(data.categories)]
    _label(axes, [*names, (average[-1], f"mean of {len(data.categories)}", INK, "")], x[-1], low, high)
    rows = [
        [c, layers, data.values[:, k, j].mean(), data.values[:, k, j].min(), data.values[:, k, j].max(), len(data.seeds)]
        for k, c in enumerate(data.categories)
        for j, layers in enumerate(GROWING)
    ]
    header = ["category", "layers", metric, "lowest seed", "highest seed", "seeds"]
    return Drawing(figure, header, rows, stamp(training(records, _SETTINGS, data.categories)), incomplete(data.categories, wanted))


#: Figures 5 to 8: the metrics on objects, then on textures.
fig5, fig6, fig7, fig8 = (
    partial(_curves, number=number, metric=metric, group=group)
    for number, (group, metric) in enumerate(product(("objects", "textures"), METRICS), start=5)
)


def _limits(records: Records, metric: str) -> tuple[float, float]:
    """One scale for the objects' and the textures' figure of a metric, so that they can be compared."""
    cubes = (complete(records, metric, _SETTINGS, GROUPS[group]) for group in ("objects", "textures"))
    lowest = min(float(found.values.min()) for found in cubes if found)
    return max(0.0, np.floor(lowest * 20) / 20), 1.005


def _label(axes, lines: Sequence[tuple[float, str, str, str]], x: float, low: float, high: float) -> None:
    """Names at the lines' right ends, moved apart where they would touch, with a thin leader each."""
    lines = sorted(lines)
    places = _apart([value for value, *_ in lines], (high - low) * 0.052, low, high)
    for (value, name, colour, marker), place in zip(lines, places, strict=True):
        axes.plot([x + 0.07, x + 0.26], [value, place], color=MUTED, linewidth=0.5, clip_on=False)
        if marker:
            axes.plot([x + 0.33], [place], marker=marker, color=colour, clip_on=False, **_MARKER)
        weight = "normal" if marker else "bold"
        axes.text(x + 0.42 if marker else x + 0.29, place, name, va="center", fontsize=8, fontweight=weight, clip_on=False)


def _apart(values: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Rising values moved as little as possible (least squares) until neighbours are ``least`` apart, within low and high."""
    ranks = np.arange(len(values)) * least
    return (isotonic_regression(values - ranks, y_min=low, y_max=high - ranks[-1]) + ranks).tolist()



def cost(records: Records) -> Drawing:
    """Mean PRO-AUC against milliseconds an image, DFR's layer sets and the methods it is compared with."""
    records = evidence(records)
    points: list[tuple[str, float, float, list[Record]]] = []
    for layers in REFINING:
        speeds, used = timings(records, layers), training(records, [(layers, "reflect")])
        if speeds and used:
            quality = cube(records, "pro_auc", [(layers, "reflect")], CATEGORIES).values.mean()
            milliseconds = float(np.mean([1000 / r.about["fps"] for r in speeds]))
            points.append((f"DFR f{scale_set(layers)}", milliseconds, float(quality), [*speeds, *used]))
    for name in BASELINES:
        used = training(records, [(*RIVAL, name)])
        if name in records.speeds and used:
            quality = float(np.mean([r.about["metrics"]["pro_auc"] for r in used]))
            points.append((name, 1000 / records.speeds[name].about["fps"], quality, [records.speeds[name], *used]))
    if not any(name in records.speeds for name, *_ in points):
        raise Missing("speed and training records of the baselines")
    figure = Figure(figsize=(7.6, 4.4))
    title(figure, "What a map costs, and how good it is", "Mean PRO-AUC of all categories; one image at a time, alone on the machine.")
    axes = figure.add_axes((0.085, 0.155, 0.86, 0.69))
    placed: list[tuple[float, float]] = []  # a name goes a line lower for each that would be in its way
    for name, milliseconds, quality, _ in sorted(points, key=lambda point: -point[2]):
        ours = name.startswith("DFR")
        near = [other for other in placed if abs(np.log(other[0] / milliseconds)) < 0.5 and abs(other[1] - quality) < 0.02]
        placed.append((milliseconds, quality))
        axes.plot(milliseconds, quality, "o" if ours else "s", color=BLUE if ours else ORANGE, **_MARKER)
        at = {"xytext": (6, 3 - 12 * len(near)), "textcoords": "offset points"}
        leader = {"arrowstyle": "-", "color": FAINT, "shrinkA": 0} if len(near) > 1 else None
        axes.annotate(name, (milliseconds, quality), **at, arrowprops=leader, fontsize=8, color=INK)
    axes.set(xscale="log", xlabel="milliseconds an image", ylabel="PRO-AUC, mean")
    axes.grid(color=FAINT, linewidth=0.5)
    axes.margins(x=0.12, y=0.1)
    rows = [[name, milliseconds, quality] for name, milliseconds, quality, _ in points]
    used = [record for *_, some in points for record in some]
    return Drawing(figure, ["method", "milliseconds an image", "PRO-AUC, mean"], rows, stamp(used))
