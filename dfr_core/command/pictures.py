"""What `dfr score` reads and writes: images found in files and folders, three pictures of each.

All pictures have the size at which the model looks at an image (``settings.image_size``), not the photograph's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.decode import EXTENSIONS, KINDS
from ..errors import DFRError, Setting
from ..files import replacing
from ..plotting import FOUND, outline, overlay

#: In a map, grey levels above this one are scores above the threshold.
GREY_THRESHOLD = 32767
WHITE = 65535


def find_images(places: Iterable[str | Path], out: Path) -> list[Path]:
    """The images that files and folders (with the folders in them) name, each once, in order.

    Args:
        out: where results go; what lies there is not taken for an image again.

    Raises:
        DFRError: a place is missing, a folder has no images, or ``out`` is one of the folders.
    """
    found: dict[Path, Path] = {}
    out = out.resolve()
    for place in map(Path, places):
        if not place.is_dir():
            found.setdefault(place.resolve(), place)  # a missing file is reported where it is read
            continue
        if place.resolve() == out:
            raise DFRError(Setting("out"), f"{place} is the folder of the images", "name another one for the results")
        here = [path for path in sorted(place.rglob("*")) if _wanted(path.relative_to(place)) and path.is_file()]
        here = [path for path in here if out not in path.resolve().parents]
        if not here:
            raise DFRError(place, "no images here", f"name images, or a folder with {KINDS} files")
        for path in here:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _wanted(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for each image: its stem, with as many of its folders in front as it takes to tell them apart.

    ``cut/000.png`` and ``fold/000.png`` become ``cut_000`` and ``fold_000``. Upper and lower case count as the
    same, as they do on many disks; ``a.png`` and ``a.jpg`` of one folder become ``a_png`` and ``a_jpg``.
    """
    parts = [path.resolve().parts[1:] for path in paths]
    names: list[str | None] = [None] * len(paths)
    taken: set[str] = set()
    depth = 0
    while (open_ := [k for k, name in enumerate(names) if name is None]) and depth <= max(map(len, parts)):
        wish = {k: "_".join((*parts[k][:-1][len(parts[k]) - 1 - depth :], paths[k].stem)) for k in open_ if depth < len(parts[k])}
        counts: dict[str, int] = {}
        for name in wish.values():
            counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
        for k, name in wish.items():
            if counts[name.casefold()] == 1 and name.casefold() not in taken:
                names[k] = name
        taken |= {name.casefold() for name in wish.values()}
        depth += 1
    for k, name in enumerate(names):
        if name is None:
            wished = name = f"{paths[k].stem}_{paths[k].suffix[1:]}"
            number = 2
            while name.casefold() in taken:
                name, number = f"{wished}-{number}", number + 1
            taken.add(name.casefold())
            names[k] = name
    return names


def grey16(scores: np.ndarray, threshold: float) -> np.ndarray:
    """An anomaly map as 16-bit grey: 0 stays 0, the threshold is in the middle, twice the threshold and more is white.

    ``score = grey * 2 * threshold / 65535`` gives the scores back. The rounding is such that a grey level exceeds
    :data:`GREY_THRESHOLD` exactly where the score exceeds the threshold.
    """
    grey = np.asarray(scores, np.float64) / (2 * max(threshold, 1e-30)) * WHITE  # in this order the threshold is exactly one half
    return np.ceil(grey - 0.5).clip(0, WHITE).astype(np.uint16)


def marked(image: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """The image [h, w, 3] with heat where its scores exceed the threshold (full at three times that), and the border drawn."""
    return outline(overlay(image, scores, threshold, 3 * threshold), scores > threshold, FOUND)


def write_pictures(folder: Path, name: str, image: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, str]:
    """Write ``NAME_map.png`` (16-bit), ``NAME_overlay.png`` and ``NAME_segmentation.png`` (0 and 255).

    Returns:
        the paths, by ``map``, ``overlay`` and ``segmentation``.

    Raises:
        DFRError: the folder cannot be written to, or the disk is full.
    """
    pictures = {
        "map": grey16(scores, threshold),
        "overlay": marked(image, scores, threshold),
        "segmentation": (scores > threshold).astype(np.uint8) * 255,
    }
    written = {}
    for kind, picture in pictures.items():
        path = folder / f"{name}_{kind}.png"
        with replacing(path) as temporary:
            Image.fromarray(picture).save(temporary, "PNG")
        written[kind] = str(path)
    return written
