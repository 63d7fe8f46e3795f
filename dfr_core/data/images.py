"""From image files to uint8 tensors (Section IV-A4).

What a person sees is what the network gets: transparency is laid on white, grey is triplicated (IV-A4), and every image
becomes RGB of 8 bit and of one size, a square or any other rectangle. Colour profiles are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image

from ..device import cores
from ..errors import DFRError
from ..settings import Size, checked_size, sides
from .decode import PathLike, decode, head
from .notes import Note, tell

T = TypeVar("T")

#: Images whose ratios of width to height differ by more than a factor e^0.1 are of different shape: 4:3 and 3:2 are, 4:3 and 1.37 are not.
SHAPE = 0.1
#: An image with fewer pixels than this a side is worth a word: enlarged to the network's size it is a blur, whatever it shows.
SMALL = 16

# ------------------------------------------------------------------------------------------ grey levels of any depth

#: The largest value of each depth that grey levels of more than 8 bit may have; cameras of 12 bit write 16-bit files.
DEPTHS = {8: 255, 12: 4095, 16: 65535}


def deep_values(image: Image.Image, path: PathLike) -> np.ndarray | None:
    """The numbers of a grey picture of more than 8 bit, as [H, W]; None for every other kind.

    Raises:
        DFRError: values that no grey level can have (negative, NaN, infinite).
    """
    if not image.mode.startswith(("I", "F")):
        return None
    values = np.asarray(image)
    values = values.astype(values.dtype.newbyteorder("="))
    if image.mode == "F" and not np.isfinite(values).all():
        raise DFRError(path, "holds values that are not numbers (NaN or infinite)", "save it as 8- or 16-bit PNG")
    if values.min() < 0:
        raise DFRError(path, "holds negative values, which are no grey levels", "save it as 8- or 16-bit PNG")
    return values


def _white(values: np.ndarray, path: PathLike) -> int:
    """The value that stands for white: 1 for floats up to 1, else that of the smallest of 8, 12 and 16 bit that holds all."""
    top = values.max()
    if values.dtype.kind == "f" and top <= 1:
        return 1
    white = next((white for white in DEPTHS.values() if top <= white), None)
    if white is None:
        raise DFRError(path, f"holds values up to {top:g}, above 16 bit", "save it as 8- or 16-bit PNG")
    return white


# ------------------------------------------------------------------------------------------------------- photographs


@dataclass(frozen=True)
class Photograph:
    """An image file as 8-bit RGB.

    Attributes:
        picture: RGB at its own size.
        white: the value in the file that became 255, for grey levels of more than 8 bit; else None.
        turned: the EXIF orientation that was undone; 1 for none.
        notes: what there is to say about the file.
    """

    picture: Image.Image
    white: int | None
    turned: int
    notes: tuple[str, ...]


def read_photograph(path: PathLike, white: int | None = None) -> Photograph:
    """Read an image of any kind as 8-bit RGB at its own size; the rules are those of :func:`read_image`.

    Args:
        white: of grey levels of more than 8 bit, the value that is to become 255 (as among the others of a set).
    """
    found = decode(path)
    image = found.image
    values = deep_values(image, path)
    try:
        if values is not None:
            white = max(white or 0, _white(values, path))
            picture = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8)).convert("RGB")
        else:
            white, picture = None, flat(image)
    except DFRError:
        raise
    except Exception as error:
        raise DFRError(path, f"an image of mode {image.mode} cannot be turned into RGB ({error})", "save it as PNG") from error
    small = (f"only {picture.width} x {picture.height} pixels",) if min(picture.size) < SMALL else ()
    return Photograph(picture, white, found.turned, found.notes + small)


def flat(image: Image.Image) -> Image.Image:
    """A picture of up to 8 bit a channel in RGB, transparency laid on white."""
    if not has_transparency(image):
        return image.convert("RGB")
    image = to_rgba(image)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def has_transparency(image: Image.Image) -> bool:
    """Whether some of it may be transparent."""
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info


def to_rgba(image: Image.Image) -> Image.Image:
    """A picture with its transparency as a fourth channel."""
    if image.mode == "La":  # Pillow has no direct way from grey with premultiplied alpha
        image = image.convert("LA")
    return image.convert("RGBA")


def read_picture(path: PathLike) -> Image.Image:
    """The image in 8-bit RGB at its own size; the rules are those of :func:`read_image`. Files of several pictures are told."""
    found = read_photograph(path)
    tell(Note(Path(path), why) for why in found.notes)
    return found.picture


def resize_picture(picture: Image.Image, size: Size) -> np.ndarray:
    """An RGB picture stretched to a size: uint8 [height, width, 3], bilinear with antialiasing."""
    return np.array(resized(picture, size))


def resized(picture: Image.Image, size: Size) -> Image.Image:
    """As :func:`resize_picture`, still a picture."""
    height, width = sides(size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 array [H, W, 3] to uint8 tensor [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def in_threads(function: Callable[[T], object], items: Iterable[T]) -> Iterable:
    """``map`` in threads (decoding frees Python's lock); the first error stops the rest."""
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        yield from pool.map(function, items)


def read_image(path: PathLike, size: Size) -> np.ndarray:
    """Read an image of any kind as 8-bit RGB of the given size.

    IV-A4 gives only the size (256); here the resize is bilinear with antialiasing, and an image of another
    shape is stretched, so that nothing of it is lost.

    Grey is triplicated (IV-A4). Grey levels of more than 8 bit become 8 bit with a white of 255, 4095 or 65535 (8, 12 or
    16 bit): the smallest that holds the largest value, in :func:`load_images` of all the images given together, so that a dark
    one stays dark among them. Floats up to 1 have their white at 1. Of 16 bits in each colour the high byte is taken, as
    Pillow reads such files.

    Args:
        path: png, jpg, bmp, tif, webp, or whatever else Pillow reads.
        size: side of the result in pixels, or (height, width).

    Returns:
        uint8 array [height, width, 3].

    Raises:
        DFRError: missing, a folder, unreadable, empty, not an image, cut short, absurdly large, or with values
            that no grey level can have.
    """
    return load_images([path], size)[0].permute(1, 2, 0).numpy()


def load_images(paths: Sequence[PathLike], size: Size, white: int | None = None) -> torch.Tensor:
    """Read images with the rules of :func:`read_image`: uint8 tensor [N, 3, height, width], in the given order.

    ``white`` is the white of grey levels of more than 8 bit that images of their kind have had (:func:`white_of`), so that a dark one
    alone stays dark; if one of these is brighter, its own white is taken.

    Told in one line each: files of several pictures, a depth that is not the file's own, upright and lying images together.
    """
    images, seen = read_set(paths, size, white)
    tell(told(seen, white))
    return images


class Seen(NamedTuple):
    """What is remembered of an image file that has been read: where, (width, height), see :class:`Photograph` for the rest."""

    path: Path
    size: tuple[int, int]
    white: int | None
    turned: int
    notes: tuple[str, ...]


def read_set(paths: Sequence[PathLike], size: Size, white: int | None = None) -> tuple[torch.Tensor, list[Seen]]:
    """As :func:`load_images`, with what was seen in each file, and nothing told."""
    size = checked_size(size)
    images = torch.empty((len(paths), 3, *sides(size)), dtype=torch.uint8)

    def read(index: int, white: int | None = white) -> Seen:
        photograph = read_photograph(paths[index], white)
        images[index] = to_tensor(resize_picture(photograph.picture, size))
        return Seen(Path(paths[index]), photograph.picture.size, photograph.white, photograph.turned, photograph.notes)

    seen = list(in_threads(read, range(len(paths))))
    white = max((one.white or 0 for one in seen), default=0)
    again = [index for index, one in enumerate(seen) if one.white not in (None, white)]
    list(in_threads(lambda index: read(index, white), again))
    return images, seen


def white_of(paths: Iterable[PathLike]) -> int | None:
    """White of the images of more than 8 bit among some, one for all of them; None if there are none. What cannot be read is left out."""
    found = []
    for path in paths:
        picture = head(path)
        if picture is not None and picture.mode.startswith(("I", "F")):
            with suppress(DFRError):
                found.append(read_photograph(path).white or 0)
    return max(found, default=None)


def told(seen: Sequence[Seen], known: int | None = None) -> list[Note]:
    """What there is to say about images of one set: of each file, the depth of its grey levels, and shapes that do not match.

    Args:
        known: the white that images of their kind have had.
    """
    notes = [Note(one.path, why) for one in seen for why in one.notes]
    white = max((one.white or 0 for one in seen), default=0)
    if known and white > known:
        why = f"brighter than all that the model knows: {white} is taken for white, not {known}; fit it to images like this one as well"
        notes += [Note(one.path, why) for one in seen if one.white]
    elif not known and white in (DEPTHS[8], DEPTHS[12]):
        why = f"grey levels of more than 8 bit, none above {white}, so {white} is taken for white; if that is wrong, add a bright image"
        notes += [Note(one.path, why) for one in seen if one.white]
    if seen:
        ratios = [math.log(width / height) for width, height in (one.size for one in seen)]
        usual = sorted(ratios)[(len(ratios) - 1) // 2]
        width, height = seen[ratios.index(usual)].size
        why = f"of another shape than most of the set ({width} x {height}); all are squeezed to one shape, so take or cut them alike"
        notes += [Note(one.path, why) for one, ratio in zip(seen, ratios) if abs(ratio - usual) > SHAPE]
    return notes
