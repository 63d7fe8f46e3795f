"""Small line charts as arrays, drawn by matplotlib anew for every move of a slider; and words above and beside pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from .. import plotting
from ..figures.drawing import style

PAPER = (255, 255, 255)
DPI = 100
#: Pixels around the axes: left, right, above, below.
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 24, 42


@dataclass(frozen=True)
class Curve:
    """A line through points, with a dot at each or the area beneath filled if asked for."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str = plotting.BLUE
    name: str = ""
    dots: bool = False
    area: bool = False


class Chart:
    """The part of a chart that stays; :meth:`draw` adds what moves.

    Args:
        title: one line above.
        curves: drawn in this order.
        size: (width, height) in pixels.
        legend: where the legend stands, as matplotlib says it.
        axes: properties of matplotlib's axes: ``xlabel``, ``xlim``, ``xticks``, ``xscale``, ...
    """

    def __init__(
        self, title: str, curves: Sequence[Curve] = (), size: tuple[int, int] = (330, 276), legend: str = "upper right", **axes: Any
    ) -> None:
        self.title, self.curves, self.size, self.legend, self.axes = title, curves, size, legend, axes

    def draw(
        self,
        curves: Sequence[Curve] = (),
        upright: float | None = None,
        dots: Sequence[tuple[float, float]] = (),
        note: str = "",
        note_at: float = 0.0,
    ) -> np.ndarray:
        """The chart with more curves, a line upright at a value of x, and ringed points: uint8 [height, width, 3].

        Args:
            note: written beside the upright line, at the share ``note_at`` of the height from the top.
        """
        (width, height), ring = self.size, {"markerfacecolor": "none", "markeredgecolor": plotting.INK, "markersize": 8}
        box = (LEFT / width, BOTTOM / height, (width - LEFT - RIGHT) / width, (height - TOP - BOTTOM) / height)
        with style():
            figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
            axes = figure.add_axes(box, axisbelow=True, **self.axes)
            axes.set_title(self.title, loc="left", fontsize=8)
            axes.grid(color=plotting.FAINT)
            for curve in (*self.curves, *curves):
                axes.plot(curve.x, curve.y, "o-" if curve.dots else "-", color=curve.colour, label=curve.name or None)
                if curve.area:
                    axes.fill_between(curve.x, curve.y, color=curve.colour, alpha=0.4)
            if upright is not None:
                axes.axvline(upright, color=plotting.INK)
                late = axes.transAxes.inverted().transform(axes.transData.transform((upright, 0)))[0] > 0.6
                words = {"xytext": (-4 if late else 4, -3), "textcoords": "offset points", "ha": "right" if late else "left", "va": "top"}
                axes.annotate(note, (upright, 1 - note_at), xycoords=axes.get_xaxis_transform(), **words)
            for x, y in dots:
                axes.plot(x, y, "o", **ring)
            if axes.get_legend_handles_labels()[1]:
                axes.legend(loc=self.legend)
            return pixels(figure)


def pixels(figure: Figure) -> np.ndarray:
    """A figure as it is drawn: uint8 [height, width, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


@lru_cache(maxsize=4)
def font(size: int = 12) -> ImageFont.ImageFont:
    """Pillow's own font, so that a picture does not depend on the machine's."""
    return ImageFont.load_default(size)


def caption(picture: np.ndarray, words: str, height: int = 20) -> np.ndarray:
    """A picture [h, w, 3] with a line of text on white above it."""
    band = Image.new("RGB", (picture.shape[1], height), PAPER)
    ImageDraw.Draw(band).text((1, height - 4), words, fill=plotting.INK, font=font(), anchor="ls")
    return np.concatenate([np.asarray(band), picture])


def enlarge(picture: np.ndarray, times: int) -> np.ndarray:
    """Every pixel of [h, w, ...] repeated ``times`` x ``times``."""
    return picture.repeat(times, 0).repeat(times, 1)


def colour_bar(height: int, table: np.ndarray, top: str, bottom: str) -> np.ndarray:
    """A legend of a colour table [256, 3] standing upright, its ends labelled: uint8 [height, 46, 3]."""
    picture = Image.new("RGB", (46, height), PAPER)
    rows = table[np.linspace(255, 0, height - 36).round().astype(int)]
    picture.paste(Image.fromarray(np.repeat(rows[:, None], 14, axis=1)), (6, 18))
    draw = ImageDraw.Draw(picture)
    draw.text((4, 14), top, fill=plotting.INK, font=font(11), anchor="ls")
    draw.text((4, height - 14), bottom, fill=plotting.INK, font=font(11), anchor="la")
    return np.asarray(picture)
