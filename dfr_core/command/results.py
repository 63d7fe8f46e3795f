"""The files that `dfr score` writes: their names, and whose results a file holds already.

Every picture says in itself of which image it is (a text in the file, made of the image's place on disk but not telling it),
so results of one image never replace those of another, and none is ever taken for a photograph.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path

from ..data.listing import mark_in

#: What is written of each image, in this order (the last one is there only if all are), and the ending of its file.
PICTURES = {"map": ".tif", "overlay": ".jpg", "segmentation": ".png"}
#: What a file name may have in bytes on today's disks, less the longest ending.
NAME_BYTES = 255 - len("_segmentation.png")


def target(folder: Path, name: str, picture: str) -> Path:
    """Where a picture goes."""
    return folder / f"{name}_{picture}{PICTURES[picture]}"


def mark_of(image: Path) -> str:
    """16 hexadecimal digits (of SHA-256) that stand for the place of an image on this machine."""
    return hashlib.sha256(os.fsencode(os.path.realpath(image))).hexdigest()[:16]


def occupied(out: Path) -> Callable[[str, Path], bool]:
    """A function (name, image) -> whether a picture of that name in ``out`` is of another image, or is no result at all."""
    there = {path.name.casefold(): path for path in out.iterdir()} if out.is_dir() else {}

    def by_another(name: str, image: Path) -> bool:
        held = [there.get(target(out, name, picture).name.casefold()) for picture in PICTURES]
        return any(mark_in(path) != mark_of(image) for path in held if path is not None)

    return by_another


def output_names(paths: Sequence[Path], taken: Callable[[str, Path], bool] = lambda name, path: False) -> list[str]:
    """A name for each image: its stem, with as many of its folders in front as it takes to tell them apart.

    ``cut/000.png`` and ``fold/000.png`` become ``cut_000`` and ``fold_000``. Upper and lower case count as the
    same, as they do on many disks; ``a.png`` and ``a.jpg`` of one folder become ``a_png`` and ``a_jpg``. A name too long for a
    file is cut, and eight hexadecimal digits stand for the rest.

    Args:
        taken: (name, image) -> whether other results have that name already, see :func:`occupied`.
    """
    folders = [Path(os.path.abspath(path)).parts[1:-1] for path in paths]
    names: list[str | None] = [None] * len(paths)
    used: set[str] = set()
    for depth in range(max(map(len, folders), default=0) + 1):
        wish = {
            k: fitting("_".join((*folders[k][len(folders[k]) - depth :], path.stem)))
            for k, path in enumerate(paths)
            if names[k] is None and depth <= len(folders[k])
        }
        counts = Counter(map(str.casefold, wish.values()))
        for k, name in wish.items():
            if counts[name.casefold()] == 1 and name.casefold() not in used and not taken(name, paths[k]):
                names[k] = name
        used |= {name.casefold() for name in wish.values()}
    for k, path in enumerate(paths):
        if names[k] is None:
            wished = fitting(f"{path.stem}_{path.suffix[1:]}")
            numbered = chain([wished], (fitting(f"{wished}-{number}") for number in count(2)))
            names[k] = next(name for name in numbered if name.casefold() not in used and not taken(name, path))
            used.add(names[k].casefold())
    return [name for name in names if name is not None]


def fitting(name: str) -> str:
    """A name that a file may have with any of the endings."""
    whole = os.fsencode(name)
    if len(whole) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(whole).hexdigest()[:8]
    return f"{whole[: NAME_BYTES - 9].decode(errors='ignore')}-{digest}"
