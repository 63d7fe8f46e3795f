"""One data set to learn from and to test with: which files it has, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from ..errors import DFRError, Setting
from ..settings import Size, checked_size, sides, size_in_words
from .decode import ORIENTATION
from .images import Seen, in_threads, load_images, read_set, told
from .masks import Mask, look_at_mask, mask_files, resize_mask
from .notes import Note, tell

GOOD = "good"  # MVTec AD's name for "no defect"
DEFECT = "defect"  # own photographs: a mask says where, nothing says what
UNKNOWN = "unknown"  # own photographs without masks: nobody said whether there is a defect


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes:
        path: the image.
        mask: its mask, or the folder of masks that make it together; None for a normal image, or where nobody drew one.
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
        passed: what lies among them and is not used, with the reason.
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[Sample, ...]
    passed: tuple[Note, ...] = ()

    @property
    def defects(self) -> tuple[str, ...]:
        """The kinds of defect in the test set, each once, without ``"good"``."""
        return tuple(dict.fromkeys(sample.defect for sample in self.test if sample.defect != GOOD))

    @property
    def labels(self) -> tuple[bool, ...]:
        """True for each test image that is not ``"good"``: M of them, in the order of ``test``."""
        return tuple(sample.defect != GOOD for sample in self.test)

    @property
    def files(self) -> tuple[Path, ...]:
        """All images and masks."""
        masks = (path for sample in self.test if sample.mask for path in mask_files(sample.mask))
        return (*self.train, *(sample.path for sample in self.test), *masks)

    @property
    def without_mask(self) -> tuple[Sample, ...]:
        """Test images that are not ``"good"`` and of which nobody said where the defect is."""
        return tuple(sample for sample in self.test if sample.mask is None and sample.defect != GOOD)

    @property
    def knows_images_only(self) -> bool:
        """Whether it is known which test images are good, but not where all the defects are."""
        kinds = {sample.defect for sample in self.test}
        return bool(self.without_mask) and UNKNOWN not in kinds and GOOD in kinds

    def load_train(self, size: Size) -> torch.Tensor:
        """Read the training images: uint8 [N, 3, height, width]; ``size`` is a side in pixels, or (height, width).

        Raises:
            DFRError: an image cannot be read, see :func:`dfr_core.data.read_image`.
        """
        return load_images(self.train, size)

    def load_test_images(self, size: Size, white: int | None = None) -> torch.Tensor:
        """Read the test images alone, whether they have masks or not: uint8 [M, 3, height, width].

        ``white`` is that of grey levels of more than 8 bit, as in :func:`dfr_core.data.load_images`.

        Raises:
            DFRError: there are none, or one cannot be read.
        """
        self._some_test()
        return load_images([sample.path for sample in self.test], size, white)

    def load_test(self, size: Size, white: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the test images and their masks: uint8 [M, 3, height, width] and bool [M, height, width].

        To read images without masks, use :meth:`load_test_images`, which says what ``white`` is.

        Raises:
            DFRError: there are no test images or a mask is missing, a mask has another size than its image, a
                normal image has a mask that marks a defect, or a file cannot be read.
        """
        size = checked_size(size)
        self._some_test()
        if missing := self.without_mask:
            others = f" (nor have {len(missing) - 1} others)" if len(missing) > 1 else ""
            mend = ("add a 'masks' folder (", Setting("masks", ...), ") or only score it")
            raise DFRError(missing[0].path, f"has no mask{others}, so its pixels cannot be evaluated", mend)
        images, seen = read_set([sample.path for sample in self.test], size, white)
        masks = torch.zeros((len(self.test), *sides(size)), dtype=torch.bool)
        notes = told(seen, white)
        marked = [index for index, sample in enumerate(self.test) if sample.mask is not None]
        for index, (mask, said) in zip(marked, in_threads(lambda index: _load_mask(self.test[index], seen[index], size), marked)):
            masks[index] = torch.from_numpy(mask)
            notes += said
        tell(notes)
        return images, masks

    def _some_test(self) -> None:
        if not self.test:
            raise DFRError(self.name, "has no test images to evaluate with", "add a 'test' folder of images and their masks")


def _load_mask(sample: Sample, seen: Seen, size: Size) -> tuple[np.ndarray, list[Note]]:
    """The mask of a sample as bool [height, width], and what there is to say about it."""
    mask = look_at_mask(sample.mask)
    why = list(mask.notes)
    marked = _as_its_image(mask, sample, seen, why)
    if sample.defect == GOOD and marked.any():
        raise DFRError(sample.mask, ("marks a defect in ", sample.path, ", which is among the good images"), "move it or remove the mask")
    small = resize_mask(marked, size)
    if sample.defect != GOOD and not marked.any():
        why.append("marks nothing, so its image counts as normal")
    elif marked.any() and not small.any():
        why.append(f"the defect vanishes at {size_in_words(size)} pixels, so its image counts as normal; use a larger image_size")
    return small, [Note(sample.mask, one) for one in why]


def _as_its_image(mask: Mask, sample: Sample, seen: Seen, why: list[str]) -> np.ndarray:
    """What is marked, as its image is seen; adds to ``why`` where the camera's rotation (EXIF) leaves a doubt.

    A mask is drawn on the picture as it is seen, unless its size says that it was drawn on the stored, unturned pixels.
    """
    width, height = seen.size
    if mask.marked.shape == (height, width):
        if mask.turned != seen.turned and (width == height or (mask.turned > 4) == (seen.turned > 4)):
            why.append("its image is turned by EXIF otherwise than the mask; taken as drawn on the picture as it is seen, so compare them")
        return mask.marked
    if mask.marked.shape == (width, height) and mask.turned == 1 and seen.turned > 4:
        why.append("drawn on the stored pixels of an image that EXIF turns, so it is turned like its image")
        picture = Image.fromarray(mask.marked.astype(np.uint8))
        picture.getexif()[ORIENTATION] = seen.turned
        return np.asarray(ImageOps.exif_transpose(picture)) > 0
    sizes = f"{mask.marked.shape[1]} x {mask.marked.shape[0]}, its image {sample.path} is {width} x {height}"
    raise DFRError(sample.mask, f"wrong mask size {sizes}", "draw the mask on the image itself")
