"""Which images `dfr score` is to look at: those that are named, and those in the folders that are named.

:mod:`dfr_core.data.listing` says what in a folder is an image and what is not. A file that is named itself is taken as it is,
whatever its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..data.listing import list_images, some_images
from ..data.notes import Note
from ..errors import DFRError, Setting

WHAT = "images to score"
TARGET = "where the results go, so it is not searched for images"


def find_images(places: Iterable[str | Path], out: Path) -> tuple[list[Path], list[Note]]:
    """The images that files and folders (with the folders in them, also linked ones) name, each once and in order.

    Args:
        out: where results go; what lies there is not taken for an image again.

    Returns:
        the images, and what was passed over.

    Raises:
        DFRError: places that are missing (all of them are named) or are no files, a folder that has no images or cannot be
            read, or ``out`` is one of the folders.
    """
    wanted = [Path(place) for place in places]
    _check_places(wanted)
    passed: list[Note] = []
    images: dict[Path, Path] = {}  # by where they really are
    for place in wanted:
        if not place.is_dir():
            images.setdefault(_real(place), place)
            continue
        check_out(place, out)
        here, notes = _search(place, out)
        passed += notes
        for real, path in here.items():
            images.setdefault(real, path)
    return list(images.values()), list(dict.fromkeys(passed))


def check_out(place: Path, out: Path) -> None:
    """Raises DFRError if ``out`` is the folder of the images itself."""
    if _real(place) == _real(out):
        raise DFRError(Setting("out"), f"{place} is the folder of the images", "name another one for the results")


def inside(path: Path, folder: Path) -> bool:
    """Whether a file or folder really lies in a folder, or is it."""
    return _real(folder) in (_real(path), *_real(path).parents)


def _check_places(places: Iterable[Path]) -> None:
    """Before any work: a mistake in the tenth name is told before the first image is scored."""
    missing = [place for place in places if not os.path.exists(place)]
    if missing:
        problem = "no such image" if len(missing) == 1 else f"{len(missing)} of the images are not there"
        raise DFRError(", ".join(map(str, missing)), problem, "check the path" if len(missing) == 1 else "check the paths")
    for place in places:
        if not place.is_dir() and not place.is_file():
            raise DFRError(place, "is not a regular file", "name image files or folders")


def _real(path: Path) -> Path:
    """Where a path leads; unlike Path.resolve it takes a link that leads to itself."""
    return Path(os.path.realpath(path))


def _search(place: Path, out: Path) -> tuple[dict[Path, Path], list[Note]]:
    """The images in a folder, by where they really are, and what is passed over there."""
    listing = list_images(place, WHAT)
    found = [path for path in listing.images if not inside(path, out)]
    if not found:
        some_images(place, listing, WHAT)
        raise DFRError(place, "no images here, but in --out", "name another folder for the results")
    passed = [note for note in listing.unused_masks() if not inside(note.path, out)]
    if len(found) < len(listing.images) or len(passed) < len(listing.unused_masks()):
        passed.append(Note(out, TARGET))
    images: dict[Path, Path] = {}
    for path in found:
        if (first := images.setdefault(_real(path), path)) != path:
            passed.append(Note(path, f"the same file as {first}, which is scored already"))
    return images, passed
