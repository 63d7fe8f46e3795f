"""Images, masks and data sets: from files to uint8 tensors (Sections IV-A1 and IV-A4, Table VII).

Two kinds of data set are read:

* MVTec AD's layout, with :func:`load_category`::

    root/leather/train/good/000.png                    normal images to learn from
    root/leather/test/good/000.png                     normal images to test with
    root/leather/test/cut/000.png                      defective ones, a folder a kind of defect
    root/leather/ground_truth/cut/000_mask.png         where the defect is

* a folder of one's own photographs, with :func:`load_photographs`.

What a person sees is what the network gets: the camera's rotation (EXIF) is applied, transparency is laid on
white, grey is triplicated (IV-A4), and every image becomes ``size x size`` RGB of 8 bit. Colour profiles are
ignored. Of an animation or a file of many pages the first picture is taken.

Every mistake in the data raises :class:`DFRError` that names the file and says what to do.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from ..errors import DFRError
from ..paper_numbers import CATEGORIES, OBJECTS, TEXTURES  # noqa: F401 (the data set's names, grouped as in Table II)

PathLike = str | os.PathLike
T = TypeVar("T")
log = logging.getLogger("dfr")

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

GOOD = "good"  # MVTec AD's name for "no defect"
DEFECT = "defect"  # own photographs: a mask says where, nothing says what
UNKNOWN = "unknown"  # own photographs without masks: nobody said whether there is a defect

# What Pillow raises on EXIF data that make no sense.
BROKEN_METADATA = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, struct.error)

# An integer mask whose largest value is below this holds labels (0/1, or a number for each kind of defect), not greys.
LABEL_LIMIT = 16


# ---------------------------------------------------------------------------------------------- one picture


def _decode(path: PathLike) -> Image.Image:
    """Read the first picture in a file, turned as the camera was held."""
    path = Path(path)
    if not path.is_file():
        if path.is_dir():
            raise DFRError(f"{path}: is a folder, not an image; name one image file")
        if path.exists():
            raise DFRError(f"{path}: is not a regular file; name one image file")
        raise DFRError(f"{path}: no such image; check the path")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DFRError(f"{path}: the file is empty; copy or export it again")
            file.seek(0)
            try:
                image = Image.open(file)
                image.load()
            except UnidentifiedImageError:
                kinds = ", ".join(extension[1:] for extension in EXTENSIONS)
                raise DFRError(f"{path}: is not an image that can be read; convert it to one of {kinds}") from None
            except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                raise DFRError(f"{path}: the image claims far too many pixels to be read safely; save it smaller") from error
            except Exception as error:  # decoders of broken files raise OSError, SyntaxError, ValueError, struct.error, ...
                reason = " ".join(str(error).split()) or type(error).__name__
                raise DFRError(f"{path}: the image is damaged or cut short ({reason}); copy or export it again") from error
    except OSError as error:
        raise DFRError(f"{path}: cannot be read ({error.strerror or error}); check the file's permissions") from error
    try:
        return ImageOps.exif_transpose(image)
    except BROKEN_METADATA:  # the picture itself is whole: show it as it is stored
        return image


def _flat_values(image: Image.Image, path: PathLike) -> np.ndarray | None:
    """The numbers of a grey picture of more than 8 bit, as [H, W]; None for every other kind.

    Raises:
        DFRError: values that no grey level can have (negative, NaN, infinite).
    """
    if not image.mode.startswith(("I", "F")):
        return None
    values = np.asarray(image)
    if image.mode == "F" and not np.isfinite(values).all():
        raise DFRError(f"{path}: holds values that are not numbers (NaN or infinite); save it as 8- or 16-bit PNG")
    if values.min() < 0:
        raise DFRError(f"{path}: holds negative values, which are no grey levels; save it as 8- or 16-bit PNG")
    return values


def _grey_8bit(values: np.ndarray, path: PathLike) -> np.ndarray:
    """Scale grey levels [H, W] of any depth to uint8, see :func:`read_image` for the rules."""
    top = values.max()
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # either byte order
        scale = 1 / 257
    elif values.dtype.kind == "f" and top <= 1:
        scale = 255.0
    elif top <= 255:
        scale = 1.0
    elif top <= 65535:
        scale = 1 / 257
    else:
        raise DFRError(f"{path}: holds values up to {top:g}, above 16 bit; save it as 8- or 16-bit PNG")
    return np.rint(values * scale).astype(np.uint8)


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # Pillow has no direct way from grey with premultiplied alpha
        image = image.convert("LA")
    return image.convert("RGBA")


def _to_rgb(image: Image.Image, path: PathLike) -> Image.Image:
    """Any of Pillow's modes to 8-bit RGB."""
    values = _flat_values(image, path)
    if values is not None:
        return Image.fromarray(_grey_8bit(values, path)).convert("RGB")
    if _has_transparency(image):
        image = _to_rgba(image)
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _check_size(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise DFRError(f"image_size: {size!r} is not a number of pixels; give a whole number of at least 1, such as 256")
    return int(size)


def _read_image(path: PathLike, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The image [size, size, 3] and the (width, height) it had."""
    image = _decode(path)
    try:
        rgb = _to_rgb(image, path)
    except DFRError:
        raise
    except Exception as error:
        raise DFRError(f"{path}: an image of mode {image.mode} cannot be turned into RGB ({error}); save it as PNG") from error
    return np.array(rgb.resize((size, size), Image.Resampling.BILINEAR)), rgb.size


def read_image(path: PathLike, size: int) -> np.ndarray:
    """Read an image of any kind as 8-bit RGB of the given size.

    IV-A4 gives only the size (256); here the resize is bilinear with antialiasing, and an image that is not
    square is stretched to a square, so that nothing of it is lost.

    Grey is triplicated (IV-A4). More than 8 bit become 8 bit by rules that depend on the file's kind rather than on
    its brightness, wherever the kind tells the range:

    * 16-bit: divided by 257, so 65535 becomes 255. (A 12-bit camera's file therefore comes out dark.)
    * 32-bit integer, a kind that does not tell: up to 255 taken as 8 bit, up to 65535 as 16 bit.
    * float: up to 1 taken as 0..1, up to 255 as 8 bit, up to 65535 as 16 bit.
    * 16 bits in each colour: the high byte is taken (as Pillow reads such files).

    Args:
        path: png, jpg, bmp, tif, webp, or whatever else Pillow reads.
        size: side of the result in pixels.

    Returns:
        uint8 array [size, size, 3].

    Raises:
        DFRError: missing, a folder, unreadable, empty, not an image, cut short, absurdly large, or with values
            that no grey level can have.
    """
    return _read_image(path, _check_size(size))[0]


def _read_mask(path: PathLike) -> np.ndarray:
    """The mask as bool [H, W] at its own size."""
    image = _decode(path)
    values = _flat_values(image, path)
    if values is None:
        try:
            if _has_transparency(image):
                rgba = np.asarray(_to_rgba(image))
                alpha = rgba[..., 3]
                values = np.where(alpha > 127, rgba[..., :3].max(axis=2), 0)
                if not values.any() and alpha.min() != alpha.max():
                    values = alpha  # painted in black on nothing: what was painted is the mask
            else:
                values = np.asarray(image.convert("RGB")).max(axis=2)  # by colour, so that dark red counts as much as dark green
        except Exception as error:
            raise DFRError(f"{path}: a mask of mode {image.mode} cannot be read ({error}); save it as 8-bit grey PNG") from error
    top = values.max()
    if values.dtype.kind != "f" and top < LABEL_LIMIT:
        return values > 0
    return values > top / 2


def read_mask(path: PathLike, size: int) -> np.ndarray:
    """Read a mask: True where the defect is.

    A pixel belongs to the defect when it is brighter than half of the mask's brightest value. So masks of 0/255,
    16-bit and float masks, and the soft edges of a drawing program all work. Integer masks whose largest value is
    below 16 hold labels (0/1, or a number for each kind of defect): there every value but 0 counts. A mask that is 0
    everywhere is empty. Colours count by their brightest channel; transparent pixels are no defect, except
    in a mask painted in black on a transparent ground.

    Args:
        path: mask file of any image kind; lossless ones (PNG) are best.
        size: side of the result in pixels; nearest neighbour (IV-A4 gives only the size).

    Returns:
        bool array [size, size].

    Raises:
        DFRError: as :func:`read_image`.
    """
    return _resize_mask(_read_mask(path), _check_size(size))


def _resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Nearest neighbour: of each new pixel, the old one under its centre (in integers, so no rounding decides ties)."""
    rows, columns = (((2 * np.arange(size) + 1) * side) // (2 * size) for side in mask.shape)
    return mask[np.ix_(rows, columns)]


# ------------------------------------------------------------------------------------------- many pictures


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 array [H, W, 3] to uint8 tensor [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _in_threads(function: Callable[[T], object], items: Iterable[T]) -> Iterable:
    """``map`` in threads (decoding frees Python's lock); the first error stops the rest."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, items)


def load_images(paths: Sequence[PathLike], size: int) -> torch.Tensor:
    """Read images with :func:`read_image`: uint8 tensor [N, 3, size, size], in the given order."""
    size = _check_size(size)
    images = torch.empty((len(paths), 3, size, size), dtype=torch.uint8)
    for index, image in enumerate(_in_threads(lambda path: to_tensor(read_image(path, size)), paths)):
        images[index] = image
    return images


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
            DFRError: an image cannot be read, see :func:`read_image`.
        """
        return load_images(self.train, size)

    def load_test(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the test images and their masks: uint8 [M, 3, size, size] and bool [M, size, size].

        To read images without masks, use :func:`load_images`.

        Raises:
            DFRError: there are no test images or no masks, a mask has another size than its image, a
                normal image has a mask that marks a defect, or a file cannot be read.
        """
        size = _check_size(size)
        if not self.test:
            raise DFRError(f"{self.name}: has no test images to evaluate with; add a 'test' folder of images and their masks")
        for sample in self.test:
            if sample.mask is None and sample.defect != GOOD:
                raise DFRError(f"{sample.path}: has no mask, so it cannot be evaluated; add a 'masks' folder (masks=) or only score it")
        images = torch.empty((len(self.test), 3, size, size), dtype=torch.uint8)
        masks = torch.zeros((len(self.test), size, size), dtype=torch.bool)
        for index, (image, mask) in enumerate(_in_threads(lambda sample: _load_sample(sample, size), self.test)):
            images[index] = to_tensor(image)
            if mask is not None:
                masks[index] = torch.from_numpy(mask)
        return images, masks


def _load_sample(sample: Sample, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    image, (width, height) = _read_image(sample.path, size)
    if sample.mask is None:
        return image, None
    mask = _read_mask(sample.mask)
    if mask.shape != (height, width):
        sizes = f"{mask.shape[1]} x {mask.shape[0]}, its image {sample.path} is {width} x {height}"
        raise DFRError(f"{sample.mask}: wrong mask size {sizes}; draw the mask on the image itself")
    if sample.defect == GOOD and mask.any():
        raise DFRError(f"{sample.mask}: marks a defect in {sample.path}, which is among the good images; move it or remove the mask")
    small = _resize_mask(mask, size)
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
        raise DFRError(f"{folder}: no such folder ({what}); check the path")
    if not folder.is_dir():
        raise DFRError(f"{folder}: is not a folder ({what}); name a folder")
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    except OSError as error:
        raise DFRError(f"{folder}: cannot be read ({error.strerror or error}); check the folder's permissions") from error
    return sorted(entries, key=_natural)


def _folders(folder: Path, what: str) -> list[Path]:
    return [path for path in _entries(folder, what) if path.is_dir()]


def _images(folder: Path, what: str, required: bool = True) -> tuple[Path, ...]:
    """The image files directly in ``folder``."""
    entries = [path for path in _entries(folder, what) if not path.is_dir()]
    images = tuple(path for path in entries if path.suffix.lower() in EXTENSIONS)
    strange = [path.name for path in entries if path not in images and path.name.lower() not in ("thumbs.db", "desktop.ini")]
    if not images and (required or strange):
        kinds = ", ".join(extension[1:] for extension in EXTENSIONS)
        found = f", only {', '.join(strange[:5])}{', ...' if len(strange) > 5 else ''}" if strange else ""
        raise DFRError(f"{folder}: no images here ({what}){found}; put {kinds} files in it")
    return images


def _pair(images: Sequence[Path], masks: Sequence[Path]) -> dict[Path, Path]:
    """Match masks to images by name: ``stem_mask`` or ``stem``, whatever the extensions.

    Raises:
        DFRError: a mask without an image, two masks for an image, two images for a mask.
    """
    by_stem: dict[str, Path] = {}
    for image in images:
        if image.stem in by_stem and masks:
            raise DFRError(f"{image}: has the same name as {by_stem[image.stem].name}, so their masks cannot be told apart; rename one")
        by_stem[image.stem] = image
    pairs: dict[Path, Path] = {}
    for mask in masks:
        image = by_stem.get(mask.stem.removesuffix("_mask")) or by_stem.get(mask.stem)
        if image is None:
            raise DFRError(f"{mask}: this mask has no test image; add the image '{mask.stem.removesuffix('_mask')}' or remove the mask")
        if image in pairs:
            raise DFRError(f"{mask}: is a second mask for {image}, beside {pairs[image].name}; remove one")
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
        raise DFRError(f"{root}: holds no category with a folder train/good; name a folder in MVTec AD's layout")
    return names


def _find_category(root: Path, name: str | None) -> Path:
    here = (root / "train" / GOOD).is_dir()
    if name is None and here:
        return root
    if name is not None and (name in ("", ".", "..") or Path(name).name != name or "\\" in name):
        raise DFRError(f"category: {name!r} is not the name of a category; give the name of one folder, such as leather")
    if name is not None and (root / name).is_dir():
        return root / name
    if here and name == root.resolve().name:
        return root
    names = ", ".join(all_categories(root))
    if name is None:
        raise DFRError(f"{root}: holds several categories; name one as category: {names}")
    raise DFRError(f"category: {name!r} is not in {root}; available: {names}")


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
                    raise DFRError(f"{entry}: lies directly in 'test'; put it into a folder named for its defect, or test/good")
                continue
            seen.add(entry.name)
            samples.extend(_load_defect(entry, truth / entry.name))
    if truth.exists():
        for entry in _folders(truth, "masks"):
            if entry.name not in seen and (masks := _images(entry, "masks", required=False)):
                raise DFRError(f"{masks[0]}: this mask has no test image; add {folder / 'test' / entry.name} or remove the mask")
    return Category(name=folder.resolve().name, train=train, test=tuple(samples))


def _load_defect(folder: Path, truth: Path) -> list[Sample]:
    """The samples of one kind of defect, paired with their masks."""
    images = _images(folder, "test images", required=False)
    masks = _images(truth, "masks", required=False) if truth.exists() else ()
    pairs = _pair(images, masks)
    for image in images:
        if folder.name != GOOD and image not in pairs:
            raise DFRError(f"{image}: this defective test image has no mask; add {truth / (image.stem + '_mask.png')}")
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
            raise DFRError(f"{folder}: is in MVTec AD's layout (train/good); load it as a category, not as photographs")
        train = _images(folder, "normal images")
    test_folder = Path(test) if test is not None else folder / "test" if "test" in names else None
    mask_folder = Path(masks) if masks is not None else folder / "masks" if "masks" in names else None
    if test_folder is None:
        if mask_folder is not None:
            raise DFRError(f"{mask_folder}: masks without test images; add the folder {folder / 'test'} or name one as test")
        return Category(name=folder.resolve().name, train=train, test=())
    images = _images(test_folder, "test images")
    if mask_folder is None:
        samples = tuple(Sample(path=image, mask=None, defect=UNKNOWN) for image in images)
    else:
        pairs = _pair(images, _images(mask_folder, "masks"))
        samples = tuple(Sample(path=image, mask=pairs.get(image), defect=DEFECT if image in pairs else GOOD) for image in images)
    return Category(name=folder.resolve().name, train=train, test=samples)


# ------------------------------------------------------------------------------------------------- numbers


def fingerprint(images: torch.Tensor) -> str:
    """16 hexadecimal digits (of SHA-256) that stand for a tensor of uint8 images: its shape and every byte."""
    if images.dtype != torch.uint8:
        raise TypeError(f"fingerprint is of uint8 images, not of {images.dtype}")
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    digest.update(images.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


class Statistics(NamedTuple):
    """One row of Table VII."""

    category: str
    n_train: int
    n_test: int
    n_defect_types: int
    n_regions: int


def count_regions(path: PathLike) -> int:
    """Number of 8-connected regions of a mask at its own size (as PRO counts them, IV-A5)."""
    return int(ndimage.label(_read_mask(path), structure=np.ones((3, 3)))[1])


def statistics(root: PathLike, categories: Sequence[str] | None = None) -> list[Statistics]:
    """Count images, kinds of defect and anomalous regions as in Table VII.

    Args:
        root: a folder in MVTec AD's layout.
        categories: which, in this order; None takes all there are, in the paper's order.

    Returns:
        one row a category; ``n_test`` counts good and defective images, as the paper's does.

    Raises:
        DFRError: a category is missing or faulty, see :func:`load_category`.
    """
    names = available(root) if categories is None else categories
    if not names:
        raise DFRError(f"{root}: holds no category with a folder train/good; name a folder in MVTec AD's layout")
    rows = []
    for name in names:
        category = load_category(root, name)
        regions = sum(_in_threads(count_regions, [sample.mask for sample in category.test if sample.mask is not None]))
        rows.append(Statistics(name, len(category.train), len(category.test), len(category.defects), regions))
    return rows
