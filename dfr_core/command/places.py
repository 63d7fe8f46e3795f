"""Which images `dfr score` is to look at: those that are named, and those in the folders that are named.

In a folder, what is no photograph is told apart and said: masks, results of an earlier `dfr score`, files of other kinds,
hidden ones. A file that is named itself is taken as it is, whatever its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..data.decode import EXTENSIONS, KINDS
from ..errors import DFRError, Setting
from .results import is_result

#: Folders of masks, as MVTec AD and one's own photographs have them (:mod:`dfr_core.data.folders`).
MASK_FOLDERS = ("ground_truth", "masks")
#: What systems leave behind and nobody means.
LEFT_BEHIND = ("thumbs.db", "desktop.ini")
#: As many names stand in one line.
_SHOWN = 20

RESULT = "results of an earlier `dfr score`"
MASK = "masks"
OTHER = f"not {KINDS}; if one is an image, name the file itself"
HIDDEN = "hidden"
TWICE = "links to what is here already"
TARGET = "in --out, where the results go"
#: Passed over without a word.
LITTER = "litter"


@dataclass
class Found:
    """The images to score, and what was passed over.

    Attributes:
        images: each once, in order.
        passed: (place, reason) -> what was passed over there, by its path within the place.
        closed: folders that cannot be looked into.
    """

    images: list[Path] = field(default_factory=list)
    passed: dict[tuple[Path, str], list[str]] = field(default_factory=dict)
    closed: list[DFRError] = field(default_factory=list)

    def notes(self, of: Path | None = None) -> list[str]:
        """A line for each place and reason (``of``: of one place only): how many files, the first of their names, why."""
        lines = []
        for (place, reason), names in self.passed.items():
            if of is None or place == of:
                shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
                lines.append(f"{place}: passed over {len(names)} ({reason}): {shown}")
        return lines


def find_images(places: Iterable[str | Path], out: Path) -> Found:
    """The images that files and folders (with the folders in them, also linked ones) name.

    Args:
        out: where results go; what lies there is not taken for an image again.

    Raises:
        DFRError: places that are missing (all of them are named) or are no files, a folder that has no images, or ``out`` is one
            of the folders.
    """
    wanted = [Path(place) for place in places]
    _check_places(wanted)
    found = Found()
    images: dict[Path, Path] = {}  # by where they really are
    for place in wanted:
        if not place.is_dir():
            images.setdefault(_real(place), place)
            continue
        if _real(place) == _real(out):
            raise DFRError(Setting("out"), f"{place} is the folder of the images", "name another one for the results")
        here = _search(place, _real(out), found)
        if not here:
            if found.closed:
                raise found.closed[-1]
            notes = "; ".join(line.removeprefix(f"{place}: ") for line in found.notes(place))
            raise DFRError(place, f"no images here{f' ({notes})' if notes else ''}", f"name images, or a folder with {KINDS} files")
        for real, path in here.items():
            images.setdefault(real, path)
    found.images = list(images.values())
    return found


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


def _search(place: Path, out: Path, found: Found) -> dict[Path, Path]:
    """The images in a folder and the folders in it, by where they really are; what is passed over goes into ``found``."""
    visited: set[Path] = set()  # a link may lead back to a folder above it
    images: dict[Path, Path] = {}

    def pass_over(path: Path, reason: str) -> None:
        if reason != LITTER:
            name = str(path.relative_to(place)) + ("/" if path.is_dir() else "")
            found.passed.setdefault((place, reason), []).append(name)

    def enter(folder: Path) -> None:
        if _real(folder) in visited:
            pass_over(folder, TWICE)
            return
        visited.add(_real(folder))
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            found.closed.append(DFRError(folder, f"cannot be read ({error.strerror or error})", "check the folder's permissions"))
            return
        names = {entry.name for entry in entries}
        for entry in entries:
            folder_here = entry.is_dir()
            if reason := _why_not_enter(entry, out) if folder_here else _why_not_take(entry, names):
                pass_over(entry, reason)
            elif folder_here:
                enter(entry)
            elif _real(entry) in images:
                pass_over(entry, TWICE)
            else:
                images[_real(entry)] = entry

    enter(place)
    return images


def _why_not_enter(folder: Path, out: Path) -> str:
    if folder.name == "__MACOSX":
        return LITTER
    if _real(folder) == out:
        return TARGET
    if folder.name.startswith("."):
        return HIDDEN
    return MASK if folder.name in MASK_FOLDERS else ""


def _why_not_take(path: Path, beside: set[str]) -> str:
    """Why a file in a folder is no photograph to score; empty if it is one."""
    name, image = path.name, path.suffix.lower() in EXTENSIONS
    if name.lower() in LEFT_BEHIND or name.startswith("._") or (name.startswith(".") and not image):
        return LITTER
    if name.startswith("."):
        return HIDDEN
    if not image:
        return OTHER
    if is_result(path, beside):
        return RESULT
    whole = path.stem.removesuffix("_mask")
    return MASK if whole != path.stem and any(f"{whole}{suffix}" in beside for suffix in EXTENSIONS) else ""
