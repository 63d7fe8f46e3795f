"""The files of results: as large as the photograph, each of the kind that is quick to write, with words that say whose they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..data.listing import OUTPUT_MARK
from ..plotting import encoded

#: Pixels of the longer side of a JPEG file, at most.
LONGEST = 65_500


def write_picture(path: Path, pixels: np.ndarray, mark: str, compress: bool = False) -> None:
    """Write a picture as TIFF, JPEG or PNG, by the ending of its name.

    A PNG file of a large photograph takes more time than its anomaly map: PNG tries five filters on each row, and Pillow leaves no choice.
    TIFF keeps numbers of 16 bit as they are; JPEG keeps a photograph as a viewer sees it; PNG, a mask's usual kind, is quick on masks.

    Args:
        path: its ending is one of :data:`.results.PICTURES`.
        pixels: uint8 or uint16 [h, w], or RGB uint8 [h, w, 3].
        mark: kept in the file; :func:`~dfr_core.data.listing.mark_in` reads it.
        compress: a TIFF file; the others always are.

    Raises:
        OSError: the file cannot be written.
    """
    picture, said = Image.fromarray(pixels), f"{OUTPUT_MARK} {mark}"
    if path.suffix == ".tif":
        content = encoded(picture, "TIFF", description=said, compression="tiff_adobe_deflate" if compress else None)
    elif path.suffix == ".jpg":
        content = encoded(picture, "JPEG", comment=said, quality=95, subsampling=0)  # else thin coloured lines fade
    else:
        info = PngInfo()
        info.add_text(OUTPUT_MARK, mark)
        content = encoded(picture, "PNG", pnginfo=info, compress_level=1)
    path.write_bytes(content)  # not Pillow itself, which has no words of its own for a full disk
