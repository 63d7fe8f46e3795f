"""From image files to arrays, whatever their format (Section IV-A4).

What a person sees is what the network gets: the camera's rotation (EXIF) is applied, transparency is laid on
white, grey is triplicated (IV-A4), and every image becomes ``size x size`` RGB of 8 bit. Colour profiles are
ignored. Of an animation or a file of many pages the first picture is taken.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ..device import cores
from ..errors import DFRError, Setting

PathLike = str | os.PathLike
T = TypeVar("T")

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
#: The same in words.
KINDS = ", ".join(extension[1:] for extension in EXTENSIONS)

# What Pillow raises on EXIF data that make no sense.
BROKEN_METADATA = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, struct.error)

# An integer mask whose largest value is below this holds labels (0/1, or a number for each kind of defect), not greys.
LABEL_LIMIT = 16


def _decode(path: PathLike) -> Image.Image:
    """Read the first picture in a file, turned as the camera was held."""
    path = Path(path)
    if not path.is_file():
        if path.is_dir():
            raise DFRError(path, "is a folder, not an image", "name one image file")
        if path.exists():
            raise DFRError(path, "is not a regular file", "name one image file")
        raise DFRError(path, "no such image", "check the path")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DFRError(path, "the file is empty", "copy or export it again")
            file.seek(0)
            try:
                image = Image.open(file)
                image.load()
            except UnidentifiedImageError:
                raise DFRError(path, "is not an image that can be read", f"convert it to one of {KINDS}") from None
            except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                raise DFRError(path, "the image claims far too many pixels to be read safely", "save it smaller") from error
            except Exception as error:  # decoders of broken files raise OSError, SyntaxError, ValueError, struct.error, ...
                reason = " ".join(str(error).split()) or type(error).__name__
                raise DFRError(path, f"the image is damaged or cut short ({reason})", "copy or export it again") from error
    except OSError as error:
        raise DFRError(path, f"cannot be read ({error.strerror or error})", "check the file's permissions") from error
    try:
        return ImageOps.exif_transpose(image)
    except BROKEN_METADATA:  # the picture itself is whole: show it as it is stored
        return image


def _flat_values(image: Image.Image, path: PathLike) -> np.ndarray | None:
    """The numbers of a grey picture of more than 8 bit, as [H, W]; None for every other kind.

    Raises:
        DFRError: values that no grey level can have (negative, NaN, infinite).
    """
    if not image.mode.startswith(("I", "F")):
        return None
    values = np.asarray(image)
    if image.mode == "F" and not np.isfinite(values).all():
        raise DFRError(path, "holds values that are not numbers (NaN or infinite)", "save it as 8- or 16-bit PNG")
    if values.min() < 0:
        raise DFRError(path, "holds negative values, which are no grey levels", "save it as 8- or 16-bit PNG")
    return values


def _grey_8bit(values: np.ndarray, path: PathLike) -> np.ndarray:
    """Scale grey levels [H, W] of any depth to uint8, see :func:`read_image` for the rules."""
    top = values.max()
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # either byte order
        scale = 1 / 257
    elif values.dtype.kind == "f" and top <= 1:
        scale = 255.0
    elif top <= 255:
        scale = 1.0
    elif top <= 65535:
        scale = 1 / 257
    else:
        raise DFRError(path, f"holds values up to {top:g}, above 16 bit", "save it as 8- or 16-bit PNG")
    return np.rint(values * scale).astype(np.uint8)


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # Pillow has no direct way from grey with premultiplied alpha
        image = image.convert("LA")
    return image.convert("RGBA")


def _to_rgb(image: Image.Image, path: PathLike) -> Image.Image:
    """Any of Pillow's modes to 8-bit RGB."""
    values = _flat_values(image, path)
    if values is not None:
        return Image.fromarray(_grey_8bit(values, path)).convert("RGB")
    if _has_transparency(image):
        image = _to_rgba(image)
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def check_size(size: int) -> int:
    """A side in pixels as an int.

    Raises:
        DFRError: not a whole number of at least 1.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise DFRError(Setting("image_size"), f"{size!r} is not a number of pixels", "give a whole number of at least 1, such as 256")
    return int(size)


def read_picture(path: PathLike) -> Image.Image:
    """The image in 8-bit RGB at its own size; the rules are those of :func:`read_image`."""
    image = _decode(path)
    try:
        return _to_rgb(image, path)
    except DFRError:
        raise
    except Exception as error:
        raise DFRError(path, f"an image of mode {image.mode} cannot be turned into RGB ({error})", "save it as PNG") from error


def resize_picture(picture: Image.Image, size: int) -> np.ndarray:
    """An RGB picture as uint8 [size, size, 3], bilinear with antialiasing, stretched to a square."""
    return np.array(picture.resize((size, size), Image.Resampling.BILINEAR))


def read_image(path: PathLike, size: int) -> np.ndarray:
    """Read an image of any kind as 8-bit RGB of the given size.

    IV-A4 gives only the size (256); here the resize is bilinear with antialiasing, and an image that is not
    square is stretched to a square, so that nothing of it is lost.

    Grey is triplicated (IV-A4). More than 8 bit become 8 bit by rules that depend on the file's kind rather than on
    its brightness, wherever the kind tells the range:

    * 16-bit: divided by 257, so 65535 becomes 255. (A 12-bit camera's file therefore comes out dark.)
    * 32-bit integer, a kind that does not tell: up to 255 taken as 8 bit, up to 65535 as 16 bit.
    * float: up to 1 taken as 0..1, up to 255 as 8 bit, up to 65535 as 16 bit.
    * 16 bits in each colour: the high byte is taken (as Pillow reads such files).

    Args:
        path: png, jpg, bmp, tif, webp, or whatever else Pillow reads.
        size: side of the result in pixels.

    Returns:
        uint8 array [size, size, 3].

    Raises:
        DFRError: missing, a folder, unreadable, empty, not an image, cut short, absurdly large, or with values
            that no grey level can have.
    """
    size = check_size(size)
    return resize_picture(read_picture(path), size)


def read_mask(path: PathLike) -> np.ndarray:
    """Read a mask at its own size: True where the defect is.

    A pixel belongs to the defect when it is brighter than half of the mask's brightest value. So masks of 0/255,
    16-bit and float masks, and the soft edges of a drawing program all work. Integer masks whose largest value is
    below 16 hold labels (0/1, or a number for each kind of defect): there every value but 0 counts. A mask that is 0
    everywhere is empty. Colours count by their brightest channel; transparent pixels are no defect, except
    in a mask painted in black on a transparent ground.

    Args:
        path: mask file of any image kind; lossless ones (PNG) are best.

    Returns:
        bool array [H, W].

    Raises:
        DFRError: as :func:`read_image`.
    """
    image = _decode(path)
    values = _flat_values(image, path)
    if values is None:
        try:
            if _has_transparency(image):
                rgba = np.asarray(_to_rgba(image))
                alpha = rgba[..., 3]
                values = np.where(alpha > 127, rgba[..., :3].max(axis=2), 0)
                if not values.any() and alpha.min() != alpha.max():
                    values = alpha  # painted in black on nothing: what was painted is the mask
            else:
                values = np.asarray(image.convert("RGB")).max(axis=2)  # by colour, so that dark red counts as much as dark green
        except Exception as error:
            raise DFRError(path, f"a mask of mode {image.mode} cannot be read ({error})", "save it as 8-bit grey PNG") from error
    top = values.max()
    if values.dtype.kind != "f" and top < LABEL_LIMIT:
        return values > 0
    return values > top / 2


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask [H, W] as [size, size]: nearest neighbour, of each new pixel the old one under its centre.

    The paper gives only the size (IV-A4). Computed in integers, so that no rounding decides ties.
    """
    size = check_size(size)
    rows, columns = (((2 * np.arange(size) + 1) * side) // (2 * size) for side in mask.shape)
    return mask[np.ix_(rows, columns)]


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 array [H, W, 3] to uint8 tensor [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def in_threads(function: Callable[[T], object], items: Iterable[T]) -> Iterable:
    """``map`` in threads (decoding frees Python's lock); the first error stops the rest."""
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        yield from pool.map(function, items)


def load_images(paths: Sequence[PathLike], size: int) -> torch.Tensor:
    """Read images with :func:`read_image`: uint8 tensor [N, 3, size, size], in the given order."""
    size = check_size(size)
    images = torch.empty((len(paths), 3, size, size), dtype=torch.uint8)
    for index, image in enumerate(in_threads(lambda path: to_tensor(read_image(path, size)), paths)):
        images[index] = image
    return images
