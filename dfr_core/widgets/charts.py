"""Small line charts as arrays, drawn in milliseconds: what a slider redraws on every key press.

matplotlib needs ten times as long for the same picture, too long for a widget; the notebooks' figures use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import plotting

INK, GRID, PAPER = (40, 40, 40), (225, 225, 225), (255, 255, 255)
#: The palette as RGB.
BLUE, VERMILION, GREEN, PURPLE = map(plotting.rgb, (plotting.BLUE, plotting.RED, plotting.GREEN, plotting.PURPLE))
GREY = (170, 170, 170)
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 24, 38


@lru_cache(maxsize=4)
def font(size: int = 12) -> ImageFont.ImageFont:
    """Pillow's own font, so that a picture does not depend on the machine's."""
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        label: with the unit.
        low, high: its ends.
        ticks: values to mark; empty: five even steps, or the powers of ten of a logarithmic axis.
        log: logarithmic.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...] = ()
    log: bool = False

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Values -> 0..1 along the axis, clipped to its ends."""
        values = np.asarray(values, dtype=float)
        if self.log:
            part = np.log(np.maximum(values, 1e-300) / self.low) / math.log(self.high / self.low)
        else:
            part = (values - self.low) / (self.high - self.low)
        return part.clip(0, 1)

    def marks(self) -> tuple[float, ...]:
        if self.ticks:
            return self.ticks
        if self.log:
            return tuple(10.0**k for k in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1))
        return tuple(np.linspace(self.low, self.high, 5))


@dataclass(frozen=True)
class Curve:
    """A line through points, or dots only, or the filled area beneath."""

    x: Sequence[float]
    y: Sequence[float]
    colour: tuple[int, int, int] = BLUE
    name: str = ""
    kind: str = "line"  # "line", "dots" or "area"


class Chart:
    """The part of a chart that stays (axes, curves), drawn once; :meth:`draw` adds what moves.

    Args:
        x, y: the axes.
        curves: drawn in this order.
        title: one line above.
        size: (width, height) in pixels.
        legend: where the legend stands on the right: ``"top"`` or ``"bottom"``.
    """

    def __init__(
        self, x: Axis, y: Axis, curves: Sequence[Curve] = (), title: str = "", size: tuple[int, int] = (300, 256), legend: str = "top"
    ) -> None:
        self.x, self.y, self.size, self.legend = x, y, size, legend
        self.box = (LEFT, TOP, size[0] - RIGHT, size[1] - BOTTOM)
        self._base = Image.new("RGB", size, PAPER)
        draw = ImageDraw.Draw(self._base)
        self._axes(draw, title)
        self._curves = tuple(curves)
        self._plot(draw, self._curves)

    def points(self, x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
        """Values -> pixels."""
        left, top, right, bottom = self.box
        return list(zip((left + self.x.unit(x) * (right - left)).tolist(), (bottom - self.y.unit(y) * (bottom - top)).tolist()))

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
        picture = self._base.copy()
        draw = ImageDraw.Draw(picture)
        self._plot(draw, curves)
        _, top, right, bottom = self.box
        if upright is not None:
            ((x, _),) = self.points([upright], [self.y.low])
            draw.line([(x, top), (x, bottom)], fill=INK, width=2)
            if note:
                end = x + 5 + draw.textlength(note, font=font()) > right
                y = top + 2 + note_at * (bottom - top)
                draw.text((x - 5 if end else x + 5, y), note, fill=INK, font=font(), anchor="ra" if end else "la")
        for x, y in self.points(*zip(*dots)) if dots else ():
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=INK, width=2)
        self._names(draw, (*self._curves, *curves))
        return np.asarray(picture)

    def _axes(self, draw: ImageDraw.ImageDraw, title: str) -> None:
        left, top, right, bottom = self.box
        for value in self.x.marks():
            ((x, _),) = self.points([value], [self.y.low])
            draw.line([(x, top), (x, bottom)], fill=GRID)
            draw.text((x, bottom + 4), _number(value), fill=INK, font=font(11), anchor="ma")
        for value in self.y.marks():
            ((_, y),) = self.points([self.x.low], [value])
            draw.line([(left, y), (right, y)], fill=GRID)
            draw.text((left - 4, y), _number(value), fill=INK, font=font(11), anchor="rm")
        draw.rectangle(self.box, outline=INK)
        draw.text(((left + right) / 2, self.size[1] - 3), self.x.label, fill=INK, font=font(), anchor="md")
        draw.text((left, 4), title or self.y.label, fill=INK, font=font(), anchor="la")

    def _plot(self, draw: ImageDraw.ImageDraw, curves: Sequence[Curve]) -> None:
        for curve in curves:
            points = self.points(curve.x, curve.y)
            if curve.kind == "dots":
                for x, y in points:
                    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=curve.colour)
            elif curve.kind == "area":
                bottom = self.box[3]
                light = tuple((255 + c) // 2 for c in curve.colour)
                draw.polygon([(points[0][0], bottom), *points, (points[-1][0], bottom)], fill=light)
                draw.line(points, fill=curve.colour, width=2)
            else:
                draw.line(points, fill=curve.colour, width=2, joint="curve")

    def _names(self, draw: ImageDraw.ImageDraw, curves: Sequence[Curve]) -> None:
        named = [curve for curve in curves if curve.name]
        if not named:
            return
        _, top, right, bottom = self.box
        width = max(draw.textlength(curve.name, font=font(11)) for curve in named) + 26
        height = 15 * len(named) + 4
        x = right - width - 6
        y = top + 20 if self.legend == "top" else bottom - height - 8
        draw.rectangle((x, y, x + width, y + height), fill=PAPER, outline=GRID)
        for k, curve in enumerate(named):
            middle = y + 10 + 15 * k
            draw.line([(x + 4, middle), (x + 18, middle)], fill=curve.colour, width=3)
            draw.text((x + 22, middle), curve.name, fill=INK, font=font(11), anchor="lm")


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0e}"


def caption(picture: np.ndarray, words: str, height: int = 20) -> np.ndarray:
    """A picture [h, w, 3] with a line of text on white above it."""
    band = Image.new("RGB", (picture.shape[1], height), PAPER)
    ImageDraw.Draw(band).text((1, height - 4), words, fill=INK, font=font(), anchor="ls")
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
    draw.text((4, 14), top, fill=INK, font=font(11), anchor="ls")
    draw.text((4, height - 14), bottom, fill=INK, font=font(11), anchor="la")
    return np.asarray(picture)
