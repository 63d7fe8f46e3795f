"""Notebook 12: one defect seen by all methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..plotting import BLUE, FOUND, heat, outline, rgb, side_by_side
from .charts import PAPER, caption
from .common import FunctionView, select

#: Pixels between two pictures, and of the frame around the chosen method.
GAP, FRAME = 8, 3


@dataclass(frozen=True)
class Case:
    """A test image and what each method makes of it.

    Attributes:
        name: what to call it.
        image: uint8 [h, w, 3]; mask: bool [h, w], its defect.
        maps: method -> anomaly map, float [h, w].
        limits: method -> threshold of its segmentation.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    maps: Mapping[str, np.ndarray]
    limits: Mapping[str, float]

    def called(self, method: str) -> np.ndarray:
        """The pixels above the method's threshold: bool [h, w]."""
        return self.maps[method] > self.limits[method]

    def shares(self, method: str) -> tuple[float, float]:
        """Of the defect's pixels and of all others, the shares that are called; nan where there are none."""
        called = self.called(method)
        return tuple(float(called[part].mean()) if part.any() else math.nan for part in (self.mask, ~self.mask))


def text(case: Case, method: str) -> str:
    """One line about one method."""
    found, wrong = case.shares(method)
    truth = "no defect to find" if math.isnan(found) else f"{found:.0%} of the defect found"
    return f"{method} on {case.name}: {truth}, {wrong:.1%} of the normal pixels called anomalous"


def strip(case: Case, chosen: str, width: int) -> np.ndarray:
    """The maps of all methods in small, each in its own range, the chosen one framed: uint8 [height, <= width, 3]."""
    h, w = case.mask.shape
    side = max(1, min(w, (width + GAP) // len(case.maps) - GAP - 2 * FRAME))
    rows, columns = (np.arange(max(1, length * side // w)) * w // side for length in (h, w))
    small = []
    for method, scores in case.maps.items():
        part = heat(scores)[np.ix_(rows, columns)]
        framed = np.full((part.shape[0] + 2 * FRAME, part.shape[1] + 2 * FRAME, 3), rgb(BLUE) if method == chosen else PAPER, np.uint8)
        framed[FRAME:-FRAME, FRAME:-FRAME] = part
        small.append(caption(framed, method))
    return side_by_side(*small, gap=GAP)


def draw(case: Case, method: str) -> np.ndarray:
    """Above: the image, its map and its segmentation by one method; below: the maps of all: uint8."""
    truth = outline(case.image, case.mask, width=2)
    above = side_by_side(
        caption(truth, "image" + (", orange: the true defect" if case.mask.any() else ", normal")),
        caption(heat(case.maps[method]), f"anomaly map of {method}"),
        caption(outline(case.image, case.called(method), FOUND, width=2), "blue: what it calls anomalous"),
        gap=GAP,
    )
    below = strip(case, method, above.shape[1])
    below = np.pad(below, ((GAP, 0), (0, above.shape[1] - below.shape[1]), (0, 0)), constant_values=255)
    return np.concatenate([above, below])


def build(cases: Sequence[Case], case: int = 0, method: str | None = None) -> FunctionView:
    """The widget.

    Args:
        cases: test images, mapped by the same methods.
        case, method: shown at first; None takes the first method.
    """

    def function(method: str, case: int) -> tuple[np.ndarray, str]:
        return draw(cases[case], method), text(cases[case], method)

    methods = list(cases[0].maps)
    return FunctionView(
        function,
        title="One defect, all methods",
        method=select("method", methods, method or methods[0]),
        case=select("test image", [(f"{k}: {one.name}", k) for k, one in enumerate(cases)], case),
    )
