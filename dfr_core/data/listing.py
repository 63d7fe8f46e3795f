"""What lies in a folder: images, masks beside them, and all that is neither, each with the reason (nothing is left out silently).

A file is an image by its name (:data:`.decode.EXTENSIONS`, in any case); whether it can be read is found out when it is read. What
systems and tools leave behind in every folder, and files that describe it (README, LICENSE), are no data and are not mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL.TiffImagePlugin import IMAGEDESCRIPTION

from ..errors import DFRError
from .decode import BROKEN_METADATA, EXTENSIONS, KINDS, head
from .notes import Note, lines

#: Names of folders, in lower case, that data sets have for normal images and for masks.
NORMAL = ("good", "normal", "ok", "nominal", "defect-free", "defect_free")
TRUTH = ("ground_truth", "groundtruth", "ground-truth", "gt", "masks", "mask", "labels", "label")
#: What the name of a mask has after that of its image.
MASK_ENDING = re.compile(r"[-_. ](?:regular_)?(?:mask|gt|ground_?truth|labels?|anno(?:tation)?|seg)s?[-_]?[0-9]*$", re.IGNORECASE)
#: What `dfr score` writes (or once wrote, all as PNG), and the text by which its pictures say so themselves.
OUTPUT = re.compile(r"(.+)_(?:map\.(?:tif|png)|overlay\.(?:jpg|png)|segmentation\.png)$", re.IGNORECASE)
OUTPUT_MARK = "dfr-score-of"

WRITTEN = "by its name a picture that `dfr score` wrote; rename it if it is a photograph or a mask of yours"
HIDDEN = "hidden (its name begins with a dot)"
_LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "__pycache__", "$recycle.bin"}
_DOT_FOLDERS = re.compile(r"\.(?:git|ipynb_checkpoints|trash.*|spotlight.*|fseventsd|cache|thumbnails|venv)$")
_DESCRIBES = re.compile(r"(?:read.?me|licen[cs]e|copying|citation|changelog|authors)(?:\.(?:txt|md|rst|pdf|cff|html))?$")
_WHY = {
    "a raw camera file; develop it as PNG or JPEG": "dng cr2 cr3 nef arw orf rw2 raf pef srw raw",
    "a video; save its pictures as PNG": "mp4 mov avi mkv m4v webm wmv 3gp mpg mpeg",
    "an archive; unpack it": "zip tar gz tgz xz bz2 7z rar",
    "a drawing program's own file; export it as PNG": "psd xcf kra ai svg eps pdf afphoto",
    "an array file; load it in Python, or save it as PNG": "npy npz mat h5 hdf5 pt pth pkl",
    "an annotation or a text, which is not read; draw masks as PNG": "json xml csv tsv txt yaml yml xls xlsx",
}
_REASONS = {f".{ending}": why for why, endings in _WHY.items() for ending in endings.split()}


@dataclass(frozen=True)
class Listing:
    """What was found in a folder.

    Attributes:
        images: image files, in natural order (2 before 10).
        masks: masks that lie beside their images: ``000_mask.png`` beside ``000.png``.
        passed: files and folders that are neither, with the reason.
    """

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    passed: tuple[Note, ...]

    def unused_masks(self) -> tuple[Note, ...]:
        """All that is no image, where there is no use for masks either."""
        return (*self.passed, *(Note(path, "a mask by its name, so it is not taken for an image") for path in self.masks))


def is_left_behind(path: Path) -> bool:
    """Whether it is what a system left behind or a description of the folder: no data, and not worth a word."""
    name = path.name.lower()
    if not name.startswith("."):
        return name in _LEFT_BEHIND or bool(_DESCRIBES.match(name))
    if path.is_dir():
        return bool(_DOT_FOLDERS.match(name))
    return name.startswith("._") or path.suffix.lower() not in EXTENSIONS  # .DS_Store, .gitkeep, ...; a hidden image is worth a word


def why_not(path: Path) -> str:
    """Why a file is not taken for an image."""
    return _REASONS.get(path.suffix.lower(), "not an image by its name") if path.suffix else "has no ending such as .png in its name"


def is_output(path: Path, beside: Sequence[Path]) -> bool:
    """Whether it is a picture that `dfr score` wrote: by its name, and the image itself or another picture of it beside, or a mark."""
    match = OUTPUT.match(path.name)
    if not match:
        return False
    stem = match[1].casefold()
    others = [other for other in beside if other != path and other.suffix.lower() in EXTENSIONS]
    if any(other.stem.casefold() == stem or ((same := OUTPUT.match(other.name)) and same[1].casefold() == stem) for other in others):
        return True
    return mark_in(path) is not None


def mark_in(path: Path) -> str | None:
    """What follows :data:`OUTPUT_MARK` in a picture that `dfr score` wrote; None for any other file. No pixel is read."""
    picture, text = head(path), ""
    if picture and picture.format == "PNG":
        return picture.info.get(OUTPUT_MARK)
    if picture and picture.format == "JPEG":
        text = picture.info.get("comment", b"").decode("latin-1")
    elif picture and picture.format == "TIFF":
        with suppress(*BROKEN_METADATA):
            text = str(picture.tag_v2.get(IMAGEDESCRIPTION))
    key, _, mark = text.partition(" ")
    return mark if key == OUTPUT_MARK else None


def natural(path: Path) -> list:
    """Sort key by which image 2 comes before image 10."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in parts] + [(-1, path.name)]


def entries(folder: Path, what: str) -> list[Path]:
    """What is in a folder, in natural order, without what is left behind by systems.

    Raises:
        DFRError: no such folder, a file, or not readable.
    """
    if not folder.exists():
        raise DFRError(folder, f"no such folder ({what})", "check the path")
    if not folder.is_dir():
        raise DFRError(folder, f"is not a folder ({what})", "name a folder")
    try:
        return sorted((path for path in folder.iterdir() if not is_left_behind(path)), key=natural)
    except OSError as error:
        raise DFRError(folder, f"cannot be read ({error.strerror or error})", "check the folder's permissions") from error


def list_images(folder: Path, what: str, *, deep: bool = True, inner: str = "", masks: bool = False) -> Listing:
    """The images in a folder; links are followed.

    Args:
        what: the folder's purpose, for messages.
        deep: with those of the folders in it; else these are passed over, for the reason ``inner``.
        masks: it is a folder of masks, so names and folders of masks are nothing special.
    """
    images: list[Path] = []
    passed: list[Note] = []
    read: dict[Path, Path] = {}

    def go(here: Path) -> None:
        if (first := read.setdefault(here.resolve(), here)) != here:
            passed.append(Note(here, f"a link to {first}, whose images are read already"))
            return
        found = entries(here, what)
        if not found and here != folder:
            passed.append(Note(here, "an empty folder"))
        for path in found:
            if path.name.startswith("."):
                passed.append(Note(path, HIDDEN))
            elif path.is_dir():
                if not masks and path.name.lower() in TRUTH:
                    passed.append(Note(path, "a folder of masks by its name, so it is not searched for images"))
                elif deep:
                    go(path)
                else:
                    passed.append(Note(path, inner))
            elif path.exists() and not path.is_file():
                passed.append(Note(path, "not a regular file"))
            elif is_output(path, found):
                passed.append(Note(path, WRITTEN))
            elif path.suffix.lower() in EXTENSIONS:
                images.append(path)
            else:
                passed.append(Note(path, why_not(path)))

    go(folder)
    if masks:
        return Listing(tuple(images), (), tuple(passed))
    names = {(path.parent, path.stem.casefold()) for path in images}

    def is_mask(path: Path) -> bool:
        image = MASK_ENDING.sub("", path.stem)
        return image != path.stem and (path.parent, image.casefold()) in names

    beside = tuple(filter(is_mask, images))
    return Listing(tuple(path for path in images if not is_mask(path)), beside, tuple(passed))


def some_images(folder: Path, listing: Listing, what: str) -> Listing:
    """The listing itself, if it has images.

    Raises:
        DFRError: there are none; says what there is instead.
    """
    if listing.images:
        return listing
    said = lines(listing.unused_masks())
    only = f", only {'; '.join(line.removeprefix(str(folder)).lstrip('/: ') for line in said[:3])}" if said else ""
    raise DFRError(folder, f"no images here ({what}){only}", f"put {KINDS} files in it")


def named(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The folders in a folder that have one of these names, in any case, the names' order first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and path.name.lower() in names]
    return sorted(found, key=lambda path: (names.index(path.name.lower()), path.name))


def only_named(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The one of :func:`named` that there is, if any.

    Raises:
        DFRError: there are several.
    """
    found = named(folder, names)
    if len(found) > 1:
        raise DFRError(found[1], f"is there beside {found[0].name}, and both names mean the same", "put their files into one folder")
    return found[0] if found else None
