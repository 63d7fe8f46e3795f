"""A folder of one's own photographs.

::

    mine/normal/a.jpg          normal images to learn from, with the folders in it; or they lie directly in ``mine``
    mine/test/b.jpg            images to test with; in test/good they are normal, in test/KIND they have that defect
    mine/masks/b.png           where the defect is

``normal`` may be called ``good``, ``ok``, ``nominal`` or ``defect-free``; ``masks`` may be ``ground_truth`` or ``gt``, in any case.
Directly in ``mine`` means without the folders in it: nobody said what these hold, so they are named and not read.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import DFRError
from .category import DEFECT, GOOD, UNKNOWN, Category, Sample
from .decode import EXTENSIONS, PathLike
from .folders import is_category
from .listing import MASK_ENDING, NORMAL, TRUTH, Listing, entries, list_images, named, only_named, some_images
from .notes import Note, tell
from .pairs import pair

INNER = "not read, since it does not say what it holds; name it in a call of its own, or put normal images into 'normal'"


def is_photographs(folder: PathLike) -> bool:
    """Whether normal photographs lie in the folder, or in its folder ``normal``."""
    folder = Path(folder)
    if named(folder, NORMAL):
        return True
    return any(path.suffix.lower() in EXTENSIONS and not path.is_dir() for path in entries(folder, "photographs"))


def load_photographs(folder: PathLike, test: PathLike | None = None, masks: PathLike | None = None) -> Category:
    """Find one's own photographs: normal images to learn from and, if there are any, images to test with. What is not used is told.

    Args:
        folder: normal images lie directly in it, or in its folder ``normal``.
        test: images to test with; ``folder/test`` when None and it exists.
        masks: their masks, named as in :mod:`.pairs`; ``folder/masks`` when None and it exists. They may also lie beside the images.

    Returns:
        the category, named for its folder. Images in folders of ``test`` are what these say. Of the others, with masks, one that
        has a mask is a ``"defect"`` and one without is ``"good"``. Without any masks nobody said which of them are good: all
        are ``"unknown"``; they can be scored, and :meth:`Category.load_test` says why they cannot be evaluated.

    Raises:
        DFRError: a folder is missing or has no images, masks without test images, a mask without its image, an
            annotation of a test image that is no picture.
    """
    category = find_photographs(Path(folder), None if test is None else Path(test), None if masks is None else Path(masks))
    tell(category.passed)
    return category


def find_photographs(folder: Path, test: Path | None = None, masks: Path | None = None) -> Category:
    """As :func:`load_photographs`, and nothing is told."""
    there = entries(folder, "photographs")
    test = test or only_named(folder, ("test",))
    masks = masks or only_named(folder, TRUTH)
    normal = only_named(folder, NORMAL)
    skipped = [path.resolve() for path in (test, masks) if path]
    if normal is None:
        if is_category(folder) and not any(path.suffix.lower() in EXTENSIONS for path in there):
            raise DFRError(folder, "is in MVTec AD's layout (train/good)", "load it as a category, not as photographs")
        train = list_images(folder, "normal images", deep=False, inner=INNER)
    else:
        inside = list_images(normal, "normal images")
        others = [Note(path, f"not read: normal images are in '{normal.name}'") for path in there if path != normal]
        train = Listing(inside.images, inside.masks, (*inside.passed, *others))
    some_images(normal or folder, train, "normal images")
    passed = [note for note in train.unused_masks() if note.path.resolve() not in skipped]
    if test is None:
        if masks is not None:
            raise DFRError(masks, "masks without test images", ("add the folder ", folder / "test", " or name one as test"))
        return Category(name=folder.resolve().name, train=train.images, test=(), passed=tuple(passed))
    samples, unused = _samples(test, masks)
    return Category(name=folder.resolve().name, train=train.images, test=samples, passed=(*passed, *unused))


def _samples(test: Path, masks: Path | None) -> tuple[tuple[Sample, ...], tuple[Note, ...]]:
    found = list_images(test, "test images")
    some_images(test, found, "test images")
    drawn = Listing((), (), ()) if masks is None else list_images(masks, "masks", masks=True)
    if masks is not None:
        some_images(masks, drawn, "masks")
        _check_unread(drawn, found.images)
    pairs = pair(found.images, [*found.masks, *drawn.images], test, [test, *([masks] if masks else [])])
    any_masks = bool(pairs)
    samples = []
    for path in found.images:
        place = path.relative_to(test).parts[:-1]
        if place:
            kind = GOOD if place[0].lower() in NORMAL else place[0]
        else:
            kind = UNKNOWN if not any_masks else DEFECT if path in pairs else GOOD
        samples.append(Sample(path, pairs.get(path), kind))
    return tuple(samples), (*found.passed, *drawn.passed)


def _check_unread(drawn: Listing, images: tuple[Path, ...]) -> None:
    """An image whose annotation cannot be read would count as good."""
    stems = {image.stem.casefold(): image for image in images}
    for path, why in drawn.passed:
        stem = MASK_ENDING.sub("", path.stem.removesuffix("_segmentation")).casefold()
        if image := stems.get(stem) or stems.get(path.stem.casefold()):
            problem = ("among the masks, but not read: ", why, "; so ", image, " would count as good")
            raise DFRError(path, problem, "draw it as PNG, or remove it")
