"""Masks: where the defect is, from whatever a person drew or a data set has (IV-A1).

**Everything but the background counts.** The background is 0: black in grey and colour, the transparent part of a picture with
transparency (but where black was painted on a transparent ground, the black counts), and in a palette (index) picture the index
0. If the colour of index 0 is not black while another index in use has black, a drawing program made the palette, and black
is the background. So masks of 0/255, 0/1, class numbers, colours, one bit, 16 bit and floats all work.

That holds for masks that are exact. Of others the faint pixels are background, and that is told: levels up to an eighth of the
brightest; in each connected piece what is at most half as bright as the brightest of the piece (so soft edges are cut in the
middle); pieces up to a sixth of the brightest of all, or a 64th of white; and everything, if no level is above a 32nd of white.
A mask is not exact

* in a lossy format (JPEG, WebP, HEIC, ...), if it has more than one level;
* if it has more than eight levels and most of them nowhere fill 2 x 2 pixels: soft edges, or once a JPEG;
* if its levels jump up and down from pixel to pixel: noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from ..errors import DFRError
from ..settings import Size, checked_size, sides
from .decode import PathLike, decode
from .images import deep_values, has_transparency, to_rgba
from .listing import list_images
from .notes import Note, tell

#: As many levels may be labels, whatever their pattern.
FEW = 8
#: Formats that are not exact, or need not be.
LOSSY = ("JPEG", "MPO", "HEIF", "AVIF", "WEBP", "JPEG2000")
#: Share of a mask that is marked by noise, or by a mask of the wrong way round, and hardly by a defect.
MUCH, NEARLY_ALL = 0.05, 0.75
ENOUGH = 64  # marked pixels to judge by
EIGHT_CONNECTED = np.ones((3, 3), int)


@dataclass(frozen=True)
class Mask:
    """A mask that has been read.

    Attributes:
        marked: bool [H, W], True where the defect is.
        levels: the levels, labels or indices in the file, rising, with the background's.
        turned: the EXIF orientation that was undone; 1 for none.
        notes: what there is to say about it.
    """

    marked: np.ndarray
    levels: tuple[float, ...]
    turned: int
    notes: tuple[str, ...]


def read_mask(path: PathLike) -> np.ndarray:
    """Read a mask at its own size: True where the defect is, see :mod:`.masks` for the rules.

    Args:
        path: a mask file of any image kind; lossless ones (PNG) are best. A folder of masks of one image (as in MVTec LOCO)
            stands for their union.

    Returns:
        bool array [H, W].

    Raises:
        DFRError: as :func:`read_image`; masks of one folder that differ in size.
    """
    mask = look_at_mask(path)
    tell(Note(Path(path), why) for why in mask.notes)
    return mask.marked


def look_at_mask(path: PathLike) -> Mask:
    """As :func:`read_mask`, with what was found in the file."""
    path = Path(path)
    if path.is_dir():
        return _union(path, mask_files(path))
    found = decode(path)
    values = _levels(found.image, path)
    levels = np.unique(values)
    notes = list(found.notes)
    marked = values != 0
    if inexact := _why_inexact(values, levels[levels != 0], found.format):
        marked = _without_faint(values)
        notes.append(f"{inexact}, so faint pixels are taken for background")
    if marked.mean() > NEARLY_ALL:
        notes.append(f"marks more than {NEARLY_ALL:.0%} of the image as defect; the background is to be black (0)")
    return Mask(marked, tuple(levels.tolist()), found.turned, tuple(notes))


def mask_files(mask: Path) -> tuple[Path, ...]:
    """The file, or the files of the folder, that a sample's mask is made of."""
    return list_images(mask, "masks", masks=True).images if mask.is_dir() else (mask,)


def _union(folder: Path, paths: tuple[Path, ...]) -> Mask:
    if not paths:
        raise DFRError(folder, "is a folder without masks in it", "draw one, or remove the folder")
    masks = [look_at_mask(path) for path in paths]
    for path, mask in zip(paths, masks):
        if mask.marked.shape != masks[0].marked.shape:
            raise DFRError(path, f"is not of the size of {paths[0].name}, a mask of the same image", "draw all on the image itself")
    marked = np.logical_or.reduce([mask.marked for mask in masks])
    levels = sorted({level for mask in masks for level in mask.levels})
    notes = tuple(f"{path.name}: {why}" for path, mask in zip(paths, masks) for why in mask.notes)
    turns = {mask.turned for mask in masks}
    return Mask(marked, tuple(levels), turns.pop() if len(turns) == 1 else 1, notes)


# ----------------------------------------------------------------------------------------------- levels of a picture


def _levels(image: Image.Image, path: Path) -> np.ndarray:
    """A number for each pixel, [H, W]; 0 is the background."""
    values = deep_values(image, path)
    if values is not None:
        return values
    try:
        if image.mode in ("P", "PA"):
            return _indices(image)
        if has_transparency(image):
            rgba = np.asarray(to_rgba(image))
            return _on_transparent(rgba[..., :3].max(axis=2), rgba[..., 3])
        if image.mode in ("1", "L"):
            return np.asarray(image).astype(np.uint8)
        return np.asarray(image.convert("RGB")).max(axis=2)  # by colour, so that dark red counts as much as dark green
    except Exception as error:
        raise DFRError(path, f"a mask of mode {image.mode} cannot be read ({error})", "save it as 8-bit grey PNG") from error


def _on_transparent(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Transparent pixels are background; black painted on a transparent ground is what was painted."""
    opaque = np.where(alpha > 127, values, 0)
    return opaque if opaque.any() or alpha.min() == alpha.max() else alpha


def _indices(image: Image.Image) -> np.ndarray:
    """The indices of a palette picture, changed where needed so that 0 is the background."""
    indices = np.asarray(image.getchannel("P") if image.mode == "PA" else image)
    alpha = np.asarray(to_rgba(image))[..., 3]
    if alpha.min() <= 127:  # what is transparent is background, so no colour need be
        return _on_transparent(indices, alpha)
    black = np.unique(indices[np.asarray(image.convert("RGB")).max(axis=2) == 0])
    if len(black) == 1 and black[0] != 0:
        return np.where(indices == black[0], 0, np.where(indices == 0, black[0], indices))  # the two change places
    return indices


# ---------------------------------------------------------------------------------------------------- edges and noise


def _flat_blocks(values: np.ndarray) -> np.ndarray:
    """True for pixels that are part of 2 x 2 pixels of one level above 0."""
    equal = (values != 0) & (ndimage.minimum_filter(values, 2, origin=-1) == ndimage.maximum_filter(values, 2, origin=-1))
    equal[-1:] = equal[:, -1:] = False  # no block begins there
    return ndimage.maximum_filter(equal, 2)


def _why_inexact(values: np.ndarray, levels: np.ndarray, kind: str) -> str:
    """Why a mask of these levels above 0 is not exact; empty if it is."""
    if len(levels) < 2:
        return ""
    if kind in LOSSY:
        return f"a {kind} mask is not exact (save masks as PNG)"
    if len(levels) > FEW and 2 * len(np.unique(values[_flat_blocks(values)])) < len(levels):
        return "has many levels, most of them scattered (soft edges, or once a JPEG)"
    return "a noisy mask" if _is_noisy(values) else ""


def _is_noisy(values: np.ndarray) -> bool:
    """Whether much is marked, and more than a twelfth of it by pixels that are peaks or dips both along the row and the column.

    Of even noise of three levels an eighth is, of finer noise more; of labels, lines and soft edges next to nothing.
    """
    marked = values != 0
    if np.count_nonzero(marked) <= max(ENOUGH, MUCH * values.size) or min(values.shape) < 3:
        return False
    inner = values.astype(float)

    def turns(along: np.ndarray) -> np.ndarray:
        """Where a row of numbers stops rising or falling, without its ends: [n, m] -> [n, m - 2]."""
        step = np.sign(np.diff(along, axis=1))
        return step[:, 1:] * step[:, :-1] < 0

    both = turns(inner)[1:-1] & turns(inner.T)[1:-1].T
    return np.count_nonzero(both & marked[1:-1, 1:-1]) > np.count_nonzero(marked) / 12


def _without_faint(values: np.ndarray) -> np.ndarray:
    top = values.max()
    white = 65535 if top > 255 else 1 if values.dtype.kind == "f" and top <= 1 else 255
    if top <= white / 32:
        return np.zeros(values.shape, bool)
    pieces, n = ndimage.label(values > top / 8, EIGHT_CONNECTED)
    if n == 0:
        return pieces > 0
    brightest = np.concatenate([[0.0], ndimage.maximum(values, pieces, np.arange(1, n + 1))])[pieces]
    return (pieces > 0) & (brightest > max(top / 6, white / 64)) & (values > brightest / 2)


def resize_mask(mask: np.ndarray, size: Size) -> np.ndarray:
    """A mask [H, W] at another size: bool [height, width]; nearest neighbour, of each new pixel the old one under its centre.

    The paper gives only the size (IV-A4). Computed in integers, so that no rounding decides ties.
    """
    new = sides(checked_size(size))
    rows, columns = (((2 * np.arange(n) + 1) * side) // (2 * n) for n, side in zip(new, mask.shape))
    return mask[np.ix_(rows, columns)]
