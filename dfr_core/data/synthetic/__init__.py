"""Synthetic data: fifteen procedural categories named and shaped after MVTec AD's.

They stand in for MVTec AD (Section IV-A1 of the paper) where it is not at hand: the same five textures and
ten objects, the same folder layout, pixel-exact masks. They are drawings, not photographs, and numbers
measured on them are no reproduction of the paper's; wherever they appear they are called synthetic.

A defective image is its normal twin, the image of the same index without a defect, with the defect painted
on it. The two are equal outside the mask, byte for byte.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DFRError, Setting
from ...files import write_text
from . import objects, textures
from .engine import camera, stream

GENERATOR_VERSION = 2
"""Raised whenever any image comes out differently; part of the stamp of every data set."""

TEXTURES = tuple(textures.TEXTURES)
OBJECTS = tuple(objects.OBJECTS)
CATEGORIES = TEXTURES + OBJECTS
"""The categories in the order of the paper's Table II."""

SPLITS = ("train", "test")
STAMP = ".synthetic.json"

_RECIPES = {**textures.TEXTURES, **objects.OBJECTS}
_PER_DEFECT = 100_000
"""Image numbers set apart for each defect type of a data set, so that no two images share a normal twin."""
_LEAST_PIXELS, _ATTEMPTS = 24, 20
"""A defect that came out smaller (beyond the border, between the wires of the grid) is drawn again."""
_STALE_SECONDS = 3600
"""A half-made folder untouched for this long was left by a process that was killed."""


def defect_types(category: str) -> tuple[str, ...]:
    """The names of a category's defect types, two to five.

    Raises:
        DFRError: there is no such category.
    """
    if category not in _RECIPES:
        raise DFRError("category", f"{category!r} is not a synthetic category", f"choose from {', '.join(CATEGORIES)}")
    return _RECIPES[category][1]


def make_image(
    category: str, index: int, *, seed: int = 0, split: str = "train", defect: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image; the same arguments give the same image on every machine.

    Args:
        category: one of :data:`CATEGORIES`.
        index: which image of the split, 0 or more; there is no end.
        seed: 0 or more.
        split: ``"train"`` or ``"test"``.
        defect: one of :func:`defect_types`, or None for a normal image.

    Returns:
        image: uint8 [256, 256, 3], RGB.
        mask: bool [256, 256], True where the defect changed the image; all False without one.

    Raises:
        DFRError: an argument is none of these.
    """
    types = defect_types(category)
    if defect is not None and defect not in types:
        raise DFRError("defect", f"{category} has no defect {defect!r}", f"choose from {', '.join(types)}")
    if split not in SPLITS:
        raise DFRError("split", f"{split!r} is not a split", "choose train or test")
    _require_count("index", index, 0)
    _require_count("seed", seed, 0)
    key = (seed, CATEGORIES.index(category), SPLITS.index(split), index)
    for attempt in range(_ATTEMPTS):
        normal = stream(*key, 0, 0)
        picture = _RECIPES[category][0](normal, stream(*key, 1 + types.index(defect) if defect else 0, attempt), defect)
        if defect is None or picture.mask.sum() >= _LEAST_PIXELS:
            break
    return camera(picture.rgb, normal), picture.mask


def make_dataset(
    root: str | os.PathLike, categories: Iterable[str] = CATEGORIES, *, n_train: int, n_good: int, n_defect: int, seed: int = 0
) -> None:
    """Write categories in MVTec AD's layout.

    ``root/<category>/train/good/000.png``, ``test/good/000.png``, ``test/<defect>/000.png`` and
    ``ground_truth/<defect>/000_mask.png`` (0 and 255). A category appears only when it is complete; one that
    is there already with the same numbers, seed and generator version is left as it is, one with others is
    replaced.

    Args:
        root: folder of the data set; made if missing.
        categories: which of :data:`CATEGORIES`.
        n_train: normal images for training, 1 or more.
        n_good: normal images for testing, 0 or more.
        n_defect: defective images of each defect type, 0 or more.
        seed: 0 or more.

    Raises:
        DFRError: an argument is none of these, the folder cannot be written to, or it holds a category that
            was not made here (it is never overwritten; nor is a README.txt of somebody else).
    """
    root, categories = Path(root), (categories,) if isinstance(categories, str) else tuple(categories)
    for category in categories:
        defect_types(category)
    for name, value, least in (("n_train", n_train, 1), ("n_good", n_good, 0), ("n_defect", n_defect, 0), ("seed", seed, 0)):
        _require_count(name, value, least)
    if max(n_good, n_defect) > _PER_DEFECT:
        raise DFRError((Setting("n_good"), ", ", Setting("n_defect")), f"at most {_PER_DEFECT} images of a kind can be made")
    numbers = {"n_train": n_train, "n_good": n_good, "n_defect": n_defect, "seed": seed}
    for category in categories:
        _refuse_foreign(root / category)
    note = root / "README.txt"
    try:
        mine = not note.is_file() or note.read_text(encoding="utf-8", errors="replace").startswith(_README_START)
        if mine:
            write_text(note, _readme(seed))
        for leftover in root.glob(".*.partial"):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        for category in categories:
            _write_category(root, category, {"synthetic": True, "category": category, "generator": GENERATOR_VERSION, **numbers})
    except OSError as error:
        reason = error.strerror or str(error)
        raise DFRError(root, f"cannot be written ({reason})", "choose a folder with write permission and free space") from error


def _require_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DFRError(Setting(name), f"{value!r} is not possible", f"give a whole number of {least} or more")


_README_START = "This is synthetic data"


def _readme(seed: int) -> str:
    return (
        f"{_README_START}: drawings made by a program, no photographs.\n"
        "Its categories, folders and masks are modelled on the MVTec AD data set, of which it contains nothing.\n"
        f"seed: {seed}\ngenerator version: {GENERATOR_VERSION}\n"
        f"Each category folder holds a file {STAMP} with the numbers it was made with.\n"
    )


def _files(category: str, n_train: int, n_good: int, n_defect: int) -> Iterator[tuple[str, str, int, str | None]]:
    """The images of a category: (path without .png, split, index, defect)."""
    for i in range(n_train):
        yield f"train/good/{i:03d}", "train", i, None
    for i in range(n_good):
        yield f"test/good/{i:03d}", "test", i, None
    for number, defect in enumerate(defect_types(category), start=1):
        for i in range(n_defect):
            yield f"test/{defect}/{i:03d}", "test", number * _PER_DEFECT + i, defect


def _is_complete(folder: Path, stamp: dict) -> bool:
    try:
        return json.loads((folder / STAMP).read_text(encoding="utf-8")) == stamp
    except (OSError, ValueError):
        return False


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not (folder / STAMP).is_file():
        raise DFRError(folder, "exists and is not synthetic data made here", "choose another folder")


def _write_category(root: Path, category: str, stamp: dict) -> None:
    """Make one category in a folder beside its place, then rename it into place."""
    final = root / category
    if _is_complete(final, stamp):
        return
    _refuse_foreign(final)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{category}-", suffix=".partial", ignore_cleanup_errors=True) as partial:
        made = Path(partial) / category
        seed, n_train, n_good, n_defect = (stamp[k] for k in ("seed", "n_train", "n_good", "n_defect"))
        for name, split, index, defect in _files(category, n_train, n_good, n_defect):
            image, mask = make_image(category, index, seed=seed, split=split, defect=defect)
            _save(image, made / f"{name}.png")
            if defect:
                _save(mask.astype(np.uint8) * 255, made / "ground_truth" / f"{name.removeprefix('test/')}_mask.png")
        write_text(made / STAMP, json.dumps(stamp, indent=1) + "\n")
        if final.exists():
            os.rename(final, Path(partial) / "replaced")
        try:
            os.rename(made, final)
        except OSError:
            if not _is_complete(final, stamp):  # else another process was faster with the same images
                raise


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)
