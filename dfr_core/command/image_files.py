"""The files of results: as large as the photograph, each of the kind that is quick to write, with words that say whose they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import PREDICTOR

from ..data.listing import OUTPUT_MARK
from ..plotting import encoded

#: Pixels of the longer side of a JPEG file, at most.
LONGEST = 65_500
#: The last bytes of a whole one.
_END = b"\xff\xd9"


def write_picture(path: Path, picture: Image.Image, mark: str, compress: bool = False) -> None:
    """Write a picture as TIFF, JPEG or PNG, by the ending of its name.

    A PNG file of a large photograph takes more time than its anomaly map: PNG tries five filters on each row, and Pillow leaves no choice.
    TIFF keeps numbers of 16 bit as they are; JPEG keeps a photograph as a viewer sees it; PNG, a mask's usual kind, is quick on masks.

    Args:
        path: its ending is one of :data:`.results.PICTURES`.
        picture: grey of 8 or 16 bit, or RGB; what the kind holds.
        mark: kept in the file; :func:`~dfr_core.data.listing.mark_in` reads it.
        compress: a TIFF file; the others always are.

    Raises:
        OSError: the file cannot be written.
    """
    said = f"{OUTPUT_MARK} {mark}"
    if path.suffix == ".jpg":
        return _write_jpeg(path, picture, said)
    if path.suffix == ".tif":
        packed = {"compression": "tiff_adobe_deflate", "tiffinfo": {PREDICTOR: 2}} if compress else {}  # 2: differences of neighbours
        content = encoded(picture, "TIFF", description=said, **packed)
    else:
        info = PngInfo()
        info.add_text(OUTPUT_MARK, mark)
        content = encoded(picture, "PNG", pnginfo=info, compress_level=1)
    path.write_bytes(content)


def _write_jpeg(path: Path, picture: Image.Image, said: str) -> None:
    """Pillow sets Python's lock free while it encodes JPEG into a file, not into memory; but it overlooks what a full disk did not take."""
    with path.open("w+b") as file:
        picture.save(file, "JPEG", comment=said, quality=95, subsampling=0)  # else thin coloured lines fade
        file.seek(-len(_END), os.SEEK_END)
        if file.read() != _END:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
