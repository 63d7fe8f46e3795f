"""What all pictures share, in figures, notebooks, widgets and `dfr score`: the palette, and small pictures as arrays.

Heat, overlays, outlines and PNG bytes are made here; :mod:`dfr_core.figures.drawing` puts them on the pages of the committed figures,
:mod:`dfr_core.command.pictures` into the files of `dfr score`.

The colour map is perceptually uniform and readable by colour-blind people; bright means anomalous.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

#: The colour map of everything that is a score.
HEAT = "inferno"
#: Okabe and Ito's palette, without yellow, which is too light for lines on white.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
#: Text, what stands back, and lines that only guide the eye.
INK, MUTED, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three numbers of 0 to 255, as pictures have them."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


#: Outlines: orange for ground truth, sky blue for what the method says.
TRUTH, FOUND = rgb(ORANGE), rgb(SKY)


@lru_cache(maxsize=8)
def colour_table(name: str = HEAT) -> np.ndarray:
    """The 256 colours of one of matplotlib's colour maps: uint8 [256, 3]."""
    from matplotlib import colormaps

    return (colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)


def _unit(scores: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Scores on a scale from ``low`` (default: the lowest) to ``high`` (the highest): float32, 0 to 1."""
    scores = np.asarray(scores, dtype=np.float32)
    low = float(scores.min()) if low is None else low
    high = float(scores.max()) if high is None else high
    unit = scores - low
    unit /= max(high - low, 1e-12)
    return unit.clip(0, 1, out=unit)


def heat(scores: np.ndarray, low: float | None = None, high: float | None = None, colours: str = HEAT) -> np.ndarray:
    """Scores [h, w] -> uint8 [h, w, 3]; ``low`` and ``high`` (default: the extremes) are the ends of the colour scale."""
    return colour_table(colours)[(_unit(scores, low, high) * 255).astype(np.uint8)]


def overlay(image: np.ndarray, scores: np.ndarray, low: float | None = None, high: float | None = None, alpha: float = 0.6) -> np.ndarray:
    """An anomaly map on its image uint8, both [h, w]: the higher the score, the more of the heat is seen."""
    picture = Image.fromarray(np.asarray(image))
    lay_heat(picture, scores, low, high, alpha)
    return np.array(picture)


def lay_heat(
    picture: Image.Image,
    scores: np.ndarray,
    low: float | None = None,
    high: float | None = None,
    alpha: float = 0.6,
    at: tuple[int, int] = (0, 0),
) -> None:
    """:func:`overlay` on an RGB picture itself, the map's corner at (x, y): Pillow blends bytes, four times as fast as floats."""
    level = Image.fromarray((_unit(scores, low, high) * 255).astype(np.uint8))
    weight = level.point([round(alpha * k) for k in range(256)])
    level.putpalette(colour_table().tobytes())
    picture.paste(level.convert("RGB"), at, weight)


def outline(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = TRUTH, width: int = 1) -> np.ndarray:
    """The image [h, w, 3] with the border of a mask [h, w] drawn on it."""
    out = np.array(image, dtype=np.uint8)
    out[border(mask, width)] = colour
    return out


def border(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """Where the outline of a mask [h, w] lies, just outside it: bool [h, w]."""
    mask = np.asarray(mask, dtype=bool)
    return ndimage.binary_dilation(mask, iterations=width) & ~mask


def to_image(image) -> np.ndarray:
    """A tensor or array uint8 [3, h, w] or [h, w, 3] -> array [h, w, 3]."""
    array = np.asarray(image)
    return array.transpose(1, 2, 0) if array.shape[0] == 3 and array.shape[-1] != 3 else array


def side_by_side(*images: np.ndarray, gap: int = 4) -> np.ndarray:
    """Images of one height beside each other on white."""
    height = max(image.shape[0] for image in images)
    padded = [np.pad(image, ((0, height - image.shape[0]), (0, gap), (0, 0)), constant_values=255) for image in images]
    whole = np.concatenate(padded, axis=1)
    return whole[:, : whole.shape[1] - gap]


def png(image: np.ndarray, scale: int = 1) -> bytes:
    """PNG bytes of uint8 [h, w, 3] (or bool / uint8 [h, w]), enlarged by a whole number."""
    array = np.asarray(image)
    array = array.astype(np.uint8) * 255 if array.dtype == bool else array
    picture = Image.fromarray(array)
    if scale != 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    return encoded(picture, "PNG", compress_level=1)  # a widget waits for this


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file of a picture; ``kind`` and ``options`` as Pillow has them."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
