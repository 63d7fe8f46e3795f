"""Opening image files of every format, images and masks alike.

The camera's rotation (EXIF) is applied. Of an animation or a file of many pages the first picture is taken, and that is told.
"""

from __future__ import annotations

import os
import struct
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DFRError

with suppress(ImportError):  # the extra "phone"
    from pillow_heif import register_heif_opener

    register_heif_opener()

PathLike = str | os.PathLike

#: What phones write, each read where its reader is installed; without it the file is an error, never passed over.
PHONE = {".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF", ".avifs": "AVIF"}
#: Names by which a file in a folder is taken for an image, in lower case.
EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".jpe", ".mpo", ".apng", ".dib"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c", ".tga", ".pcx", ".qoi", ".sgi", ".ras"),
    *PHONE,
)
#: The usual ones in words.
KINDS = "png, jpg, bmp, tif, webp, gif or heic"

# What Pillow raises on EXIF data that make no sense.
BROKEN_METADATA = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, struct.error)
ORIENTATION = 0x0112
_opening = threading.Lock()


@dataclass(frozen=True)
class Decoded:
    """The first picture in a file.

    Attributes:
        image: turned as the camera was held.
        format: Pillow's name of it, such as ``"JPEG"``.
        turned: the EXIF orientation that was undone, 1 to 8; 1 for none.
        notes: what there is to say about the file.
    """

    image: Image.Image
    format: str
    turned: int
    notes: tuple[str, ...]


def decode(path: PathLike) -> Decoded:
    """Read the first picture in a file, turned as the camera was held.

    Raises:
        DFRError: missing, a folder, unreadable, empty, not an image, cut short, or absurdly large.
    """
    path = Path(path)
    if not path.is_file():
        if path.is_dir():
            raise DFRError(path, "is a folder, not an image", "name one image file")
        if path.exists():
            raise DFRError(path, "is not a regular file", "name one image file")
        if path.is_symlink():
            raise DFRError(path, f"no such image: a link to {os.readlink(path)}, which is not there", "mend or remove the link")
        raise DFRError(path, "no such image", "check the path")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DFRError(path, "the file is empty", "copy or export it again")
            file.seek(0)
            image, notes = _load(file, path)
    except OSError as error:
        raise DFRError(path, f"cannot be read ({error.strerror or error})", "check the file's permissions") from error
    kind = image.format or ""
    try:
        turned = image.getexif().get(ORIENTATION, 1)
        return Decoded(ImageOps.exif_transpose(image), kind, turned if turned in range(1, 9) else 1, notes)
    except BROKEN_METADATA:  # the picture itself is whole: show it as it is stored
        return Decoded(image, kind, 1, notes)


def head(path: PathLike) -> Image.Image | None:
    """What a file's first bytes say of its picture: size, mode, texts; no pixel is read. None if they say nothing: reading it tells why."""
    if not Path(path).is_file():  # a pipe would wait for somebody to write
        return None
    try:
        with Image.open(path) as picture:
            return picture
    except Exception:  # whatever Pillow raises
        return None


def _load(file: BinaryIO, path: Path) -> tuple[Image.Image, tuple[str, ...]]:
    notes: list[str] = []
    try:
        with _opening, warnings.catch_warnings():  # Pillow warns at half its limit; photographs of 100 megapixels are usual
            warnings.simplefilter("ignore")
            image = Image.open(file)
        pictures = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a phone's JPEG hides a small one for depth or light
        if pictures > 1:
            notes.append(f"holds {pictures} pictures, of which the first is used; save the others as files of their own")
        deep = image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)
        image.load()
        if deep and 0 < (brightest := max(high for _, high in image.getextrema()[:3])) < 16:
            notes.append(f"has 16 bits a colour and uses the lowest 12 at most, so {brightest + 1} levels are left; save it with 8 bits")
    except UnidentifiedImageError:
        raise DFRError(path, *_unknown(path)) from None
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        problem = f"the image claims far too many pixels to be read safely: more than {limit:.0f} megapixels"
        raise DFRError(path, problem, "save it smaller, or cut it into pieces") from error
    except Exception as error:  # decoders of broken files raise OSError, SyntaxError, ValueError, struct.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DFRError(path, f"the image is damaged or cut short ({reason})", "copy or export it again") from error
    return image, tuple(notes)


def _unknown(path: Path) -> tuple[str, str]:
    """Problem and mend for a file that no reader knows."""
    kind = PHONE.get(path.suffix.lower())
    if kind and kind not in Image.OPEN:
        extra = "pip install pillow-heif" if kind == "HEIF" else "pip install --upgrade pillow"
        return f"is a {kind} photograph, and no reader for it is installed", f"run `{extra}`, or export it as JPEG"
    return "is not an image that can be read", f"convert it to one of {KINDS}"
