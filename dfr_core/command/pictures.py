"""The three pictures that `dfr score` writes of each image, and that `dfr report` shows: map, overlay, segmentation.

They have the photograph's own size and shape, or those at which the model looks at it. A photograph of a hundred megapixels goes
through in bands of rows, so that what is computed on the way takes little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import adaptive_max_pool2d, interpolate

from ..files import replacing_all
from ..plotting import FOUND, border, lay_heat
from .image_files import write_picture
from .results import mark_of, target

#: In a map, grey levels above this one are scores above the threshold.
GREY_THRESHOLD = 32767
WHITE = 65535
#: An outline is one pixel wide for so many pixels of the longer side, so that it is seen on a large photograph too.
_LINE = 400
#: Pixels worked on at a time, so that a photograph of a hundred megapixels takes little memory on the way.
_BAND = 1 << 20
#: Rows that heat is laid on at a time: few enough to leave out what is not hot.
_ROWS = 128


def bands(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that together are a picture."""
    rows = max(1, _BAND // max(width, 1))
    return (slice(start, start + rows) for start in range(0, height, rows))


def at_size(scores: np.ndarray, height: int, width: int) -> np.ndarray:
    """A model's anomaly map [h, w] on the pixels of a photograph: float32 [height, width].

    The photograph was stretched to the model's size; this is the way back. Along a side that is longer than the model's it is
    bilinear between the centres of pixels, along a shorter one each pixel gets the highest score that lies on it. So every score lies
    where the model saw it, and none is above the map's largest.
    """
    if scores.shape == (height, width):
        return scores
    seen = torch.from_numpy(np.ascontiguousarray(scores))[None]
    pooled = adaptive_max_pool2d(seen, (min(height, scores.shape[0]), min(width, scores.shape[1])))
    whole = interpolate(pooled[None], (height, width), mode="bilinear", align_corners=False)[0, 0]
    return whole.clamp_(float(scores.min()), float(scores.max())).numpy()


def grey16(scores: np.ndarray, threshold: float) -> np.ndarray:
    """An anomaly map as 16-bit grey: 0 stays 0, the threshold is in the middle, twice the threshold and more is white.

    ``score = grey * 2 * threshold / 65535`` gives the scores back. The rounding is such that a grey level exceeds
    :data:`GREY_THRESHOLD` exactly where the score exceeds the threshold.
    """
    white, grey = 2 * max(threshold, 1e-30), np.empty(scores.shape, np.uint16)
    for band in bands(len(scores), scores[0].size):
        unit = np.clip(scores[band], 0, white, dtype=np.float32)
        unit /= white  # so the threshold is exactly one half, and the next number of 32 bit is above it
        unit *= WHITE
        unit -= 0.5
        grey[band] = np.ceil(unit, out=unit)
    return grey


def marked(picture: Image.Image, scores: np.ndarray, threshold: float, width: int | None = None) -> Image.Image:
    """The RGB picture [h, w] with heat where its scores exceed the threshold (full at three times that), and the border drawn.

    Args:
        width: of the border in pixels; None: :func:`line_width`.
    """
    found, width, made = scores > threshold, width or line_width(scores.shape), picture.copy()
    rows, cols = (np.flatnonzero(found.any(axis)) for axis in (1, 0))
    if not len(rows):
        return made
    for top in range(rows[0], rows[-1] + 1, _ROWS):  # where no score exceeds the threshold an overlay is the image, so rectangles will do
        band = slice(top, min(top + _ROWS, rows[-1] + 1))
        here = np.flatnonzero(found[band].any(0))
        if len(here):
            hot = scores[band, here[0] : here[-1] + 1]
            lay_heat(made, hot, threshold, 3 * threshold, at=(int(here[0]), int(top)))
    top, left = (max(0, int(at[0]) - width) for at in (rows, cols))  # with the border, which lies outside
    around = border(found[top : rows[-1] + width + 1, left : cols[-1] + width + 1], width)
    made.paste(FOUND, (left, top), Image.fromarray(around))
    return made


def line_width(shape: tuple[int, ...]) -> int:
    """How wide an outline must be to be seen on a picture of [h, w, ...]."""
    return max(1, round(max(shape[:2]) / _LINE))


def write_pictures(
    folder: Path, name: str, source: Path, picture: Image.Image, scores: np.ndarray, threshold: float, compress: bool = False
) -> dict[str, str]:
    """Write ``NAME_map.tif`` (16-bit), ``NAME_overlay.jpg`` and ``NAME_segmentation.png`` (0 and 255): all three or none.

    They are put in place in this order, and an earlier segmentation is removed before: whatever happens in between, a set that has its
    segmentation is whole.

    Args:
        source: the file of the image; the pictures are marked as its results (:mod:`.results`).
        picture: the image, RGB [h, w].
        scores: float32 [h, w].
        compress: the map (:func:`.image_files.write_picture`).

    Returns:
        the paths, by ``map``, ``overlay`` and ``segmentation``.

    Raises:
        DFRError: the folder cannot be written to, or the disk is full.
    """
    pictures = {
        "map": Image.fromarray(grey16(scores, threshold)),
        "overlay": marked(picture, scores, threshold),
        "segmentation": Image.fromarray((scores > threshold).astype(np.uint8) * 255),
    }
    mark, paths = mark_of(source), {which: target(folder, name, which) for which in pictures}
    with replacing_all(list(paths.values())) as temporaries:
        for made, temporary in zip(pictures.values(), temporaries, strict=True):
            try:
                write_picture(temporary, made, mark, compress)
            except OSError as error:
                error.filename = error.filename or str(temporary)  # a full disk does not say which file it was filled with
                raise
    return {which: str(path) for which, path in paths.items()}
