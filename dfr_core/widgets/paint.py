"""Notebook 10: paint a defect on a normal image and watch the anomaly map follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw

from ..plotting import FOUND, heat, outline, png, rgb
from .canvas import canvas
from .common import STYLE, View, select, slider

Points = Sequence[tuple[float, float]]
Score = Callable[[np.ndarray], np.ndarray]
#: The picture is painted at its own resolution and shown this much larger.
SCALE = 1.5
TITLE = "Paint a defect"


def stroke(image: np.ndarray, points: Points, colour: tuple[int, int, int], width: float) -> np.ndarray:
    """The image with a brush stroke: a line through ``points`` with round ends; one point is a dab.

    Args:
        image: uint8 [h, w, 3]; it is not changed.
        points: (column, row) in pixels, possibly outside the image.
        colour: red, green, blue, 0..255.
        width: diameter of the brush in pixels.

    Returns:
        uint8 [h, w, 3].
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    path = [(float(x), float(y)) for x, y in points]
    radius = width / 2
    if len(path) > 1:
        draw.line(path, fill=colour, width=max(1, round(width)))
    for x, y in path:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.array(picture)


def box_of(points: Points, width: float, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of an image (h, w) that a stroke can touch: top, bottom, left, right; None where it misses the image."""
    (h, w), reach = size, width / 2 + 2
    columns, rows = [x for x, _ in points], [y for _, y in points]
    top, bottom = max(0, int(min(rows) - reach)), min(h, int(max(rows) + reach) + 1)
    left, right = max(0, int(min(columns) - reach)), min(w, int(max(columns) + reach) + 1)
    return (top, bottom, left, right) if top < bottom and left < right else None


def draw(anomaly_map: np.ndarray, threshold: float, low: float, high: float) -> np.ndarray:
    """The anomaly map [h, w] as heat, with what exceeds the threshold outlined in blue: uint8 [h, w, 3]."""
    return outline(heat(anomaly_map, low, high), anomaly_map > threshold, FOUND, width=2)


def text(original: np.ndarray, painted: np.ndarray, anomaly_map: np.ndarray, threshold: float) -> str:
    """One line: the image's score against the threshold, and how much of the paint is found."""
    paint = (original != painted).any(-1)
    top = float(anomaly_map.max())
    said = "anomalous" if top > threshold else "normal"
    line = f"score of the image {top:.3g}, threshold {threshold:.3g}: {said}"
    if not paint.any():
        return f"{line}; nothing painted"
    return f"{line}; {int((paint & (anomaly_map > threshold)).sum()):,} of {int(paint.sum()):,} painted pixels found"


class Paint(View):
    """The widget; mouse and keyboard both end in :meth:`add`.

    Attributes:
        painted: the image as it is now, uint8 [h, w, 3].
        map: its anomaly map, float [h, w].
        canvas: what is painted on; image: the anomaly map as a picture; text: the line below.
        controls: ``image``, ``width``, ``colour``, ``column``, ``row``, and the buttons ``dab`` and ``clear``.
    """

    def __init__(self, images: Sequence[np.ndarray], score: Score, threshold: float, names: Sequence[str]) -> None:
        self._originals = [np.ascontiguousarray(image) for image in images]
        self._score, self._threshold = score, threshold
        height, width = self._originals[0].shape[:2]
        self._clean = [score(image) for image in self._originals]
        self._low = float(min(m.min() for m in self._clean))
        # Twice the threshold is bright: a faint defect and a loud one can be told apart, and scales do not jump.
        self._high = max(2 * threshold - self._low, threshold)
        shown = {"width": f"{round(width * SCALE)}px", "height": f"{round(height * SCALE)}px"}
        self.canvas = canvas(width=width, height=height, sync_image_data=False, layout=shown)
        self.image = ipywidgets.Image(format="png", layout=shown)
        self.text = ipywidgets.Label()
        self.controls = {
            "image": select("image", [(name, k) for k, name in enumerate(names)], 0),
            "width": slider("brush", 1, 40, 8, unit="pixels"),
            "colour": ipywidgets.ColorPicker(value="#2b1a10", description="colour", style=STYLE, layout={"width": "26em"}),
            "column": slider("column of a dab", 0, width - 1, width // 2, unit="pixels"),
            "row": slider("row of a dab", 0, height - 1, height // 2, unit="pixels"),
            "dab": ipywidgets.Button(description="Place a dab", tooltip="paint at the row and column above"),
            "clear": ipywidgets.Button(description="Clear", tooltip="the image as it was"),
        }
        self._path: list[tuple[float, float]] = []
        self.clear()
        self.canvas.on_mouse_down(self._down)
        self.canvas.on_mouse_move(self._move)
        self.canvas.on_mouse_up(self._up)
        self.canvas.on_mouse_out(self._up)
        self.canvas.on_client_ready(self._show_whole)  # a page that opens later gets the picture too
        self.controls["image"].observe(self.clear, names="value")
        self.controls["dab"].on_click(lambda _: self.add([(self.controls["column"].value, self.controls["row"].value)]))
        self.controls["clear"].on_click(self.clear)
        keys = ("image", "width", "colour", "column", "row")
        buttons = ipywidgets.HBox([self.controls["dab"], self.controls["clear"]])
        pictures = ipywidgets.HBox([self.canvas, self.image], layout={"flex_flow": "row wrap", "grid_gap": "8px"})
        super().__init__([*(self.controls[key] for key in keys), buttons, pictures, self.text], TITLE)

    def add(self, points: Points) -> None:
        """Paint a stroke with the present brush, score the image, show both."""
        self._brush(points)
        self._update(self._score(self.painted))

    def clear(self, _event: object = None) -> None:
        """Back to the image as it was."""
        chosen = self.controls["image"].value
        self.painted = self._originals[chosen]
        self._show_whole()
        self._update(self._clean[chosen])

    def _brush(self, points: Points) -> None:
        width = self.controls["width"].value
        self.painted = stroke(self.painted, points, rgb(self.controls["colour"].value), width)
        place = box_of(points, width, self.painted.shape[:2])
        if place:  # only what changed travels to the browser
            top, bottom, left, right = place
            self.canvas.put_image_data(self.painted[top:bottom, left:right], left, top)

    def _update(self, anomaly_map: np.ndarray) -> None:
        self.map = anomaly_map
        self.image.value = png(draw(anomaly_map, self._threshold, self._low, self._high))
        self.text.value = text(self._originals[self.controls["image"].value], self.painted, anomaly_map, self._threshold)

    def _show_whole(self) -> None:
        self.canvas.put_image_data(self.painted, 0, 0)

    def _down(self, x: float, y: float) -> None:
        self._path = [(x, y)]
        self._brush(self._path)

    def _move(self, x: float, y: float) -> None:
        if self._path:
            self._path.append((x, y))
            self._brush(self._path[-2:])

    def _up(self, x: float, y: float) -> None:
        if self._path:
            self._path = []
            self._update(self._score(self.painted))


def build(images: Sequence[np.ndarray], score: Score, threshold: float, names: Sequence[str] | None = None) -> Paint:
    """The widget.

    Args:
        images: normal images uint8 [h, w, 3], all of one size.
        score: image uint8 [h, w, 3] -> anomaly map float [h, w], such as ``lambda x: detector.anomaly_map(x)[0]``.
        threshold: scores above it are called anomalous.
        names: what to call the images in the list.
    """
    return Paint(images, score, threshold, names or [f"image {k}" for k in range(len(images))])
