"""Which mask belongs to which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DFRError
from .listing import MASK_ENDING

Key = tuple[tuple[str, ...], str]


def pair(images: Sequence[Path], masks: Sequence[Path], image_root: Path, mask_roots: Sequence[Path]) -> dict[Path, Path]:
    """The mask of each image that has one: a file, or a folder of files that make it together.

    A mask is found by its place below its root and its name: that of the image, with or without ``_mask`` (or ``_gt``, ``_label``,
    ...) behind it, whatever the extensions: ``cut/000_mask.png`` for ``cut/000.jpg``. A folder ``cut/000/`` holds the masks of
    ``cut/000.jpg`` (as in MVTec LOCO). A mask less deep than its image, ``000.png`` for ``cut/000.jpg``, is taken if no other
    image has that name.

    Raises:
        DFRError: a mask without an image, two masks for an image, two images for a mask.
    """
    by_key: dict[Key, list[Path]] = {}
    for image in images:
        for name in {image.stem, image.name}:
            by_key.setdefault(_key(image, image_root, name), []).append(image)
    pairs: dict[Path, Path] = {}
    for mask in masks:
        root = next(root for root in mask_roots if root in mask.parents)
        found, whole = _image_of(mask, root, by_key), mask
        if not found and (mask.parent != root) and (found := by_key.get(_key(mask.parent, root, mask.parent.name), [])):
            whole = mask.parent
        if not found:
            raise DFRError(mask, "this mask has no test image", f"add the image '{MASK_ENDING.sub('', mask.stem)}' or remove the mask")
        if len(found) > 1:  # names that differ in case, or in the extension
            exact = {MASK_ENDING.sub("", mask.stem), mask.stem}
            found = [image for image in found if exact & {image.stem, image.name}] or found
        if len(found) > 1:
            raise DFRError(
                found[1], (f"has the same name as {found[0].name}, so it cannot be told which of them ", mask, " is for"), "rename one"
            )
        if pairs.setdefault(found[0], whole) != whole:
            mend = f"remove one, or put all that belong to it into a folder '{found[0].stem}'"
            raise DFRError(mask, ("is a second mask for ", found[0], f", beside {pairs[found[0]].name}"), mend)
    return pairs


def _key(path: Path, root: Path, name: str) -> Key:
    return tuple(part.casefold() for part in path.parent.relative_to(root).parts), name.casefold()


def _image_of(mask: Path, root: Path, by_key: dict[Key, list[Path]]) -> list[Path]:
    names = {MASK_ENDING.sub("", mask.stem), mask.stem}
    keys = [_key(mask, root, name) for name in sorted(names, key=len)]
    for key in keys:
        if key in by_key:
            return by_key[key]
    below, wanted = keys[0][0], {name for _, name in keys}
    deeper = {image for (place, name), found in by_key.items() if name in wanted and place[: len(below)] == below for image in found}
    return list(deeper) if len(deeper) == 1 else []
