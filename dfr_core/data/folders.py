"""Which files belong together: MVTec AD's layout, and a folder of one's own photographs (Section IV-A1).

* MVTec AD's layout, with :func:`load_category`::

    root/leather/train/good/000.png                    normal images to learn from
    root/leather/test/good/000.png                     normal images to test with
    root/leather/test/cut/000.png                      defective ones, a folder a kind of defect
    root/leather/ground_truth/cut/000_mask.png         where the defect is

* a folder of one's own photographs, with :func:`load_photographs`.

Every mistake in the data raises :class:`DFRError` that names the file and says what to do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import DFRError, Setting
from ..paper_numbers import CATEGORIES
from .decode import (
    EXTENSIONS,
    KINDS,
    PathLike,
    check_size,
    in_threads,
    load_images,
    read_mask,
    read_picture,
    resize_mask,
    resize_picture,
    to_tensor,
)

log = logging.getLogger("dfr")

GOOD = "good"  # MVTec AD's name for "no defect"
DEFECT = "defect"  # own photographs: a mask says where, nothing says what
UNKNOWN = "unknown"  # own photographs without masks: nobody said whether there is a defect


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes:
        path: the image.
        mask: its mask; None for a normal image, or where nobody drew one.
        defect: kind of defect: ``"good"`` for a normal image, ``"unknown"`` where nobody said.
    """

    path: Path
    mask: Path | None
    defect: str


@dataclass(frozen=True)
class Category:
    """The files of one data set to learn from and to test with; pictures are read by the ``load_`` methods.

    Attributes:
        name: the category's name.
        train: normal images to learn from.
        test: images to test with; may be empty.
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[Sample, ...]

    @property
    def defects(self) -> tuple[str, ...]:
        """The kinds of defect in the test set, each once, without ``"good"``."""
        return tuple(dict.fromkeys(sample.defect for sample in self.test if sample.defect != GOOD))

    @property
    def labels(self) -> tuple[bool, ...]:
        """True for each test image that is not ``"good"``: M of them, in the order of ``test``."""
        return tuple(sample.defect != GOOD for sample in self.test)

    def load_train(self, size: int) -> torch.Tensor:
        """Read the training images: uint8 [N, 3, size, size].

        Raises:
            DFRError: an image cannot be read, see :func:`dfr_core.data.read_image`.
        """
        return load_images(self.train, size)

    def load_test(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the test images and their masks: uint8 [M, 3, size, size] and bool [M, size, size].

        To read images without masks, use :func:`dfr_core.data.load_images`.

        Raises:
            DFRError: there are no test images or no masks, a mask has another size than its image, a
                normal image has a mask that marks a defect, or a file cannot be read.
        """
        size = check_size(size)
        if not self.test:
            raise DFRError(self.name, "has no test images to evaluate with", "add a 'test' folder of images and their masks")
        for sample in self.test:
            if sample.mask is None and sample.defect != GOOD:
                mend = ("add a 'masks' folder (", Setting("masks", ...), ") or only score it")
                raise DFRError(sample.path, "has no mask, so it cannot be evaluated", mend)
        images = torch.empty((len(self.test), 3, size, size), dtype=torch.uint8)
        masks = torch.zeros((len(self.test), size, size), dtype=torch.bool)
        for index, (image, mask) in enumerate(in_threads(lambda sample: _load_sample(sample, size), self.test)):
            images[index] = to_tensor(image)
            if mask is not None:
                masks[index] = torch.from_numpy(mask)
        return images, masks


def _load_sample(sample: Sample, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    picture = read_picture(sample.path)
    image = resize_picture(picture, size)
    if sample.mask is None:
        return image, None
    mask = read_mask(sample.mask)
    if mask.shape != (picture.height, picture.width):
        sizes = f"{mask.shape[1]} x {mask.shape[0]}, its image {sample.path} is {picture.width} x {picture.height}"
        raise DFRError(sample.mask, f"wrong mask size {sizes}", "draw the mask on the image itself")
    if sample.defect == GOOD and mask.any():
        raise DFRError(sample.mask, ("marks a defect in ", sample.path, ", which is among the good images"), "move it or remove the mask")
    small = resize_mask(mask, size)
    if mask.any() and not small.any():
        log.warning("%s: the defect vanishes at %d pixels, so its image counts as normal; use a larger image_size", sample.mask, size)
    return image, small


# ------------------------------------------------------------------------------------------ finding the files


def _natural(path: Path) -> list:
    """Sort key by which image 2 comes before image 10."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in parts] + [(-1, path.name)]


def _entries(folder: Path, what: str) -> list[Path]:
    """What is in a folder, sorted naturally, without hidden files and those that systems leave behind."""
    if not folder.exists():
        raise DFRError(folder, f"no such folder ({what})", "check the path")
    if not folder.is_dir():
        raise DFRError(folder, f"is not a folder ({what})", "name a folder")
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    except OSError as error:
        raise DFRError(folder, f"cannot be read ({error.strerror or error})", "check the folder's permissions") from error
    return sorted(entries, key=_natural)


def _folders(folder: Path, what: str) -> list[Path]:
    return [path for path in _entries(folder, what) if path.is_dir()]


def _images(folder: Path, what: str, required: bool = True) -> tuple[Path, ...]:
    """The image files directly in ``folder``."""
    entries = [path for path in _entries(folder, what) if not path.is_dir()]
    images = tuple(path for path in entries if path.suffix.lower() in EXTENSIONS)
    strange = [path.name for path in entries if path not in images and path.name.lower() not in ("thumbs.db", "desktop.ini")]
    if not images and (required or strange):
        found = f", only {', '.join(strange[:5])}{', ...' if len(strange) > 5 else ''}" if strange else ""
        raise DFRError(folder, f"no images here ({what}){found}", f"put {KINDS} files in it")
    return images


def _pair(images: Sequence[Path], masks: Sequence[Path]) -> dict[Path, Path]:
    """Match masks to images by name: ``stem_mask`` or ``stem``, whatever the extensions.

    Raises:
        DFRError: a mask without an image, two masks for an image, two images for a mask.
    """
    by_stem: dict[str, Path] = {}
    for image in images:
        if image.stem in by_stem and masks:
            raise DFRError(image, f"has the same name as {by_stem[image.stem].name}, so their masks cannot be told apart", "rename one")
        by_stem[image.stem] = image
    pairs: dict[Path, Path] = {}
    for mask in masks:
        image = by_stem.get(mask.stem.removesuffix("_mask")) or by_stem.get(mask.stem)
        if image is None:
            raise DFRError(mask, "this mask has no test image", f"add the image '{mask.stem.removesuffix('_mask')}' or remove the mask")
        if image in pairs:
            raise DFRError(mask, ("is a second mask for ", image, f", beside {pairs[image].name}"), "remove one")
        pairs[image] = mask
    return pairs


def available(root: PathLike) -> tuple[str, ...]:
    """The categories in a folder of MVTec AD's layout: MVTec AD's own in the paper's order, then the others."""
    names = [path.name for path in _folders(Path(root), "the data set") if (path / "train" / GOOD).is_dir()]
    return tuple(name for name in CATEGORIES if name in names) + tuple(name for name in names if name not in CATEGORIES)


def all_categories(root: PathLike) -> tuple[str, ...]:
    """Those of :func:`available`, at least one.

    Raises:
        DFRError: there is none.
    """
    names = available(root)
    if not names:
        raise DFRError(root, "holds no category with a folder train/good", "name a folder in MVTec AD's layout")
    return names


def _find_category(root: Path, name: str | None) -> Path:
    here = (root / "train" / GOOD).is_dir()
    if name is None and here:
        return root
    if name is not None and (name in ("", ".", "..") or Path(name).name != name or "\\" in name):
        raise DFRError(Setting("category"), f"{name!r} is not the name of a category", "give the name of one folder, such as leather")
    if name is not None and (root / name).is_dir():
        return root / name
    if here and name == root.resolve().name:
        return root
    names = ", ".join(all_categories(root))
    if name is None:
        raise DFRError(root, "holds several categories", f"name one as category: {names}")
    raise DFRError(Setting("category"), f"{name!r} is not in {root}", f"available: {names}")


def load_category(root: PathLike, name: str | None = None) -> Category:
    """Find the files of one category in MVTec AD's layout (IV-A1). No picture is read yet.

    Args:
        root: the folder of the categories, or the category's own folder.
        name: the category's name; None when ``root`` is the category's own folder.

    Returns:
        the category; its ``test`` is empty when there is no test folder.

    Raises:
        DFRError: root or category missing, no training images, a defective test image without a mask, a mask
            without an image, images of which nobody can say what they are.
    """
    root = Path(root)
    _entries(root, "the data set")
    folder = _find_category(root, name)
    train = _images(folder / "train" / GOOD, "normal images to train with")
    samples: list[Sample] = []
    seen: set[str] = set()
    truth = folder / "ground_truth"
    if (folder / "test").exists():
        for entry in _entries(folder / "test", "test images"):
            if not entry.is_dir():
                if entry.suffix.lower() in EXTENSIONS:
                    raise DFRError(entry, "lies directly in 'test'", "put it into a folder named for its defect, or test/good")
                continue
            seen.add(entry.name)
            samples.extend(_load_defect(entry, truth / entry.name))
    if truth.exists():
        for entry in _folders(truth, "masks"):
            if entry.name not in seen and (masks := _images(entry, "masks", required=False)):
                raise DFRError(masks[0], "this mask has no test image", ("add ", folder / "test" / entry.name, " or remove the mask"))
    return Category(name=folder.resolve().name, train=train, test=tuple(samples))


def _load_defect(folder: Path, truth: Path) -> list[Sample]:
    """The samples of one kind of defect, paired with their masks."""
    images = _images(folder, "test images", required=False)
    masks = _images(truth, "masks", required=False) if truth.exists() else ()
    pairs = _pair(images, masks)
    for image in images:
        if folder.name != GOOD and image not in pairs:
            raise DFRError(image, "this defective test image has no mask", ("add ", truth / f"{image.stem}_mask.png"))
    return [Sample(path=image, mask=pairs.get(image), defect=folder.name) for image in images]


def load_photographs(folder: PathLike, test: PathLike | None = None, masks: PathLike | None = None) -> Category:
    """Find one's own photographs: normal images to learn from and, if there are any, images to test with.

    Args:
        folder: normal images lie directly in it, or in its folder ``normal``.
        test: images to test with; ``folder/test`` when None and it exists.
        masks: their masks, named ``stem`` or ``stem_mask``; ``folder/masks`` when None and it exists.

    Returns:
        the category, named for its folder. With masks, a test image that has one is a ``"defect"`` and one without
        is ``"good"``. Without any masks nobody said which images are good: all are ``"unknown"``; they can be scored,
        and :meth:`Category.load_test` says why they cannot be evaluated.

    Raises:
        DFRError: a folder is missing or has no images, masks without test images, a mask without its image.
    """
    folder = Path(folder)
    names = {path.name for path in _folders(folder, "photographs")}
    if "normal" in names:
        train = _images(folder / "normal", "normal images")
    else:
        direct = any(path.suffix.lower() in EXTENSIONS for path in _entries(folder, "photographs"))
        if not direct and (folder / "train" / GOOD).is_dir():
            raise DFRError(folder, "is in MVTec AD's layout (train/good)", "load it as a category, not as photographs")
        train = _images(folder, "normal images")
    test_folder = Path(test) if test is not None else folder / "test" if "test" in names else None
    mask_folder = Path(masks) if masks is not None else folder / "masks" if "masks" in names else None
    if test_folder is None:
        if mask_folder is not None:
            raise DFRError(mask_folder, "masks without test images", ("add the folder ", folder / "test", " or name one as test"))
        return Category(name=folder.resolve().name, train=train, test=())
    images = _images(test_folder, "test images")
    if mask_folder is None:
        samples = tuple(Sample(path=image, mask=None, defect=UNKNOWN) for image in images)
    else:
        pairs = _pair(images, _images(mask_folder, "masks"))
        samples = tuple(Sample(path=image, mask=pairs.get(image), defect=DEFECT if image in pairs else GOOD) for image in images)
    return Category(name=folder.resolve().name, train=train, test=samples)
