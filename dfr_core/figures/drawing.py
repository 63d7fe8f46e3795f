"""What all figures share: style, the stamp, and writing PNG, SVG and CSV so that equal records give equal bytes.

The figures themselves are pure functions of records, ``draw(records) -> Drawing``, in ``curves``,
``maps`` and ``pipeline``; :mod:`.items` names them.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..files import replacing, write_text
from ..plotting import INK, MUTED, encoded
from .table import csv_text

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so every machine has it
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "dfr",  # else the names inside an SVG are random
    "svg.fonttype": "path",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_PNG_DPI, _FAIR_DPI, _LEAST_DPI, _SVG_DPI = 160, 130, 80, 110
_LIMIT = 600_000  # bytes of a file: the set is committed
_STAMP_SIZE = 6.5


@dataclass
class Drawing:
    """A figure with the numbers that are in it.

    Attributes:
        figure: as drawn, without the stamp.
        header, rows: the plotted numbers.
        stamp: whose numbers they are.
        note: what is not as in the paper or incomplete; may be empty.
    """

    figure: Figure
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    stamp: str
    note: str = ""


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def save(drawing: Drawing, folder: Path, name: str) -> list[Path]:
    """Write ``name.png``, ``name.svg`` and ``name.csv``; every file appears whole or not at all."""
    figure, height = drawing.figure, drawing.figure.get_figheight()
    line = drawing.stamp + (f" · {drawing.note}" if drawing.note else "")
    line = _wrapped(line, figure.get_figwidth(), _STAMP_SIZE)
    figure.text(0.5, 0.07 / height, line, ha="center", va="bottom", fontsize=_STAMP_SIZE, color=MUTED)
    paths = [folder / f"{name}.{suffix}" for suffix in ("png", "svg", "csv")]
    for path, content in ((paths[0], _png(figure)), (paths[1], _svg(figure))):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    write_text(paths[2], csv_text([*drawing.header, "stamp"], [[*row, drawing.stamp] for row in drawing.rows]))
    return paths


def _png(figure: Figure) -> bytes:
    """As sharp as the limit of the file's size allows: all colours, then 256 of the figure's own, then fewer dots."""
    for dpi in (_PNG_DPI, _FAIR_DPI):
        found = encoded(_pixels(figure, dpi), "PNG", optimize=True, dpi=(dpi, dpi))
        if len(found) <= _LIMIT:
            return found
    dpi = _PNG_DPI
    while True:
        # Maximum coverage keeps rare colours (a red stain on brown leather); median cut would drop them.
        few = _pixels(figure, dpi).quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
        found = encoded(few, "PNG", optimize=True, dpi=(dpi, dpi))
        if len(found) <= _LIMIT or dpi <= _LEAST_DPI:
            return found
        # A file grows with the dots, that is with the square of the resolution.
        dpi = max(_LEAST_DPI, min(dpi - 5, int(dpi * (_LIMIT / len(found)) ** 0.5)))


def _pixels(figure: Figure, dpi: int) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return Image.open(buffer).convert("RGB")


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=_SVG_DPI, metadata={"Date": None, "Creator": None})
    return re.sub(rb"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", _smaller, buffer.getvalue())


def _smaller(match: re.Match[bytes]) -> bytes:
    """A photograph inside an SVG as JPEG, where that is smaller."""
    original = base64.b64decode(match[1])
    picture = Image.open(io.BytesIO(original))
    if "A" in picture.getbands() and picture.getchannel("A").getextrema() != (255, 255):
        return match[0]  # see-through edges would become a black or white frame
    smaller = encoded(picture.convert("RGB"), "JPEG", quality=82)
    return b"data:image/jpeg;base64," + base64.b64encode(smaller) if len(smaller) < len(original) else match[0]


def title(figure: Figure, text: str, subtitle: str = "", left: float = 0.1) -> None:
    """The figure's name, and beneath it how to read it; ``left`` in inches."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - 0.1 / height, text, ha="left", va="top", fontsize=11, fontweight="bold")
    if subtitle:
        lines = _wrapped(subtitle, width - left, 8)
        figure.text(left / width, 1 - 0.33 / height, lines, ha="left", va="top", fontsize=8, color=MUTED, linespacing=1.3)


def _wrapped(text: str, width: float, size: float) -> str:
    """Text broken into lines that fit ``width`` inches; a letter of DejaVu Sans is 0.6 of its size wide, generously."""
    return "\n".join(textwrap.wrap(text, max(20, int(width * 72 / (0.58 * size)))))


@dataclass
class Grid:
    """A figure of square panels in rows and columns, placed by the inch.

    Attributes:
        figure: the figure.
        panel, gap: side of a panel, and space between panels.
        left, top: where the first panel begins, from the figure's left and top.
    """

    figure: Figure
    panel: float
    gap: float
    left: float
    top: float

    def axes(self, row: float, column: float, *, dx: float = 0.0, dy: float = 0.0) -> Axes:
        """The panel's axes, without ticks; ``dx`` to the right and ``dy`` down move it by inches."""
        x, y = self.corner(row, column)
        axes = self.place(x + dx, y + dy, self.panel, self.panel)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def corner(self, row: float, column: float) -> tuple[float, float]:
        """Top left of a panel, in inches from the figure's top left."""
        step = self.panel + self.gap
        return self.left + column * step, self.top + row * step

    def place(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes anywhere, in inches from the figure's top left."""
        w, h = self.figure.get_size_inches()
        return self.figure.add_axes((x / w, 1 - (y + height) / h, width / w, height / h))

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        """Text anywhere, in inches from the figure's top left."""
        w, h = self.figure.get_size_inches()
        self.figure.text(x / w, 1 - y / h, text, **options)


def show(axes: Axes, image: np.ndarray) -> None:
    """An image [h, w, 3] or [h, w] that fills its panel."""
    axes.imshow(image, aspect="auto", cmap="gray", vmin=0, vmax=1 if np.asarray(image).dtype == bool else 255)
