"""Which pictures a student learns from: crops of photographs at several scales, mirrored and lit differently.

Anomaly segmentation sees whole objects as well as smooth surfaces that fill the image, brightly and dimly lit, in colour and in
grey. Photographs of everyday things hold all of it, if one looks from far and from near. What a crop is depends on the seed and its
number alone, so a cache of them can be made in any order and goes on after an interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..data import EXTENSIONS
from ..errors import DFRError, Setting

#: Shortest side of a crop in the photograph's pixels: enlarged to the picture's side, it looks like a close-up of a surface.
NEAREST = 72
WHOLE = 0.25  # share of crops that show as much of the photograph as a square can
GREY = 0.15  # share of crops without colour
LIGHT = 0.45  # brightness and contrast change by factors of exp(-LIGHT) to exp(LIGHT)
_SPLIT, _TRAINING, _HELD_OUT = 1, 2, 3  # names of random streams


def photographs(folder: str | Path) -> list[Path]:
    """The photographs in a folder, sorted by name.

    Raises:
        DFRError: no such folder, or fewer than two photographs in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DFRError(Setting("images"), f"{folder} is not a folder", f"name one with photographs ({', '.join(EXTENSIONS)})")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())
    if len(found) < 2:
        raise DFRError(Setting("images"), f"{folder} holds {len(found)} photographs, and two are the least", "name a folder with more")
    return found


def split(paths: Sequence[Path], held_out: int, seed: int) -> tuple[list[Path], list[Path]]:
    """Photographs to learn from, and ``held_out`` others (at most a fifth of all) that only measure what was learnt."""
    order = np.random.default_rng([seed, _SPLIT]).permutation(len(paths))
    n = max(1, min(held_out, len(paths) // 5))
    return [paths[k] for k in sorted(order[n:])], [paths[k] for k in sorted(order[:n])]


def crop(paths: Sequence[Path], number: int, side: int, seed: int, held_out: bool = False) -> np.ndarray:
    """Crop ``number`` of the endless row of crops of some photographs: uint8 [side, side, 3].

    Each photograph has its turn before any has its second.

    Args:
        paths: of the photographs; also their order matters.
        side: of the picture in pixels.
        held_out: whether these are the photographs that measure (another random stream).

    Raises:
        DFRError: a photograph that cannot be read.
    """
    stream = _HELD_OUT if held_out else _TRAINING
    turn, place = divmod(number, len(paths))
    path = paths[np.random.default_rng([seed, stream, 0, turn]).permutation(len(paths))[place]]
    random = np.random.default_rng([seed, stream, 1, number])
    try:
        with Image.open(path) as image:
            picture = _cut(ImageOps.exif_transpose(image).convert("RGB"), side, random)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise DFRError(path, f"cannot be read as an image ({' '.join(str(error).split())})", "remove it from the folder") from error
    return _lit(picture, random)


def _cut(image: Image.Image, side: int, random: np.random.Generator) -> Image.Image:
    """A random square, resized to ``side`` and mirrored every other time."""
    short = min(image.size)
    nearest = min(NEAREST, short)
    whole, length = random.random() < WHOLE, nearest * (short / nearest) ** random.random()  # lengths: uniform in their logarithm
    length = float(short) if whole else length
    left, top = ((extent - length) * random.random() for extent in image.size)
    picture = image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + length, top + length))
    return ImageOps.mirror(picture) if random.random() < 0.5 else picture


def _lit(picture: Image.Image, random: np.random.Generator) -> np.ndarray:
    """Brightness and contrast changed; without colour now and then."""
    x = np.asarray(picture, dtype=np.float32)
    grey, brightness, contrast = random.random() < GREY, *np.exp(LIGHT * random.uniform(-1, 1, 2))
    if grey:
        x = np.repeat(np.asarray(picture.convert("L"), dtype=np.float32)[..., None], 3, axis=2)
    mean = x.mean()
    return (((x - mean) * contrast + mean) * brightness).round().clip(0, 255).astype(np.uint8)


def fingerprint(paths: Sequence[Path]) -> str:
    """SHA-256 (16 hex digits) of the photographs' names and bytes, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
