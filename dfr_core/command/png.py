"""PNG files of results: as large as the photograph, with words that say what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

#: Pixels worked on at a time, so that a photograph of a hundred megapixels takes little memory on the way.
_BAND = 1 << 20


def bands(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that together are a picture."""
    rows = max(1, _BAND // max(width, 1))
    return (slice(start, start + rows) for start in range(0, height, rows))


def write_png(path: Path, pixels: np.ndarray, words: Mapping[str, str], compress: bool = True) -> None:
    """Write a picture.

    Args:
        pixels: grey uint8 or uint16 [h, w], or RGB uint8 [h, w, 3].
        words: texts to keep in the file, Latin-1.
        compress: or write the pixels as they are: half as large again, in a fraction of the time.

    Raises:
        OSError: the file cannot be written.
    """
    info = PngInfo()
    for key, value in words.items():
        info.add_text(key, value)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=info, compress_level=int(compress))
