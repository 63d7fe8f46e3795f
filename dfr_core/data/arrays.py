"""What people hand over as images, turned into one uint8 tensor."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import DFRError
from ..settings import Size
from .category import Category
from .images import flat, load_images, white_of
from .photographs import find_photographs, load_photographs

log = logging.getLogger("dfr")

SHAPES = "[N, 3, H, W], [N, H, W, 3], or grey [N, H, W]"


def as_images(images: Any, size: Size, white: int | None = None) -> Tensor:
    """Images in any usual form as uint8 [N, 3, H, W].

    Args:
        images: a tensor or array, uint8 [N, 3, H, W] or [N, H, W, 3], or grey [N, H, W], [N, 1, H, W] or [N, H, W, 1] (also
            one image without N; [3, H, W] and [H, W, 3] are one colour image, and the first is told); a PIL image or a list of them; one
            file; a folder of photographs; a list of files; or a :class:`Category` (its training images).
        size: side, or (height, width), to which files are resized (IV-A4). Arrays and PIL images are taken as they are.
        white: see :func:`dfr_core.data.load_images`.

    Raises:
        DFRError: something else, no images, or images that cannot be read.
    """
    if isinstance(images, Category):
        return load_images(images.train, size, white)
    if isinstance(images, str | Path):
        path = Path(images)
        return load_images(load_photographs(path).train if path.is_dir() else [path], size, white)
    if isinstance(images, Tensor | np.ndarray | Image.Image):
        return _checked(_tensor(images, "images"))
    try:
        items = list(images)
    except TypeError:
        mend = "give an array, PIL images, files, a folder or a Category"
        raise DFRError("images", f"cannot use a {type(images).__name__}", mend) from None
    if not items:
        raise DFRError("images", "the list is empty", "give at least one image")
    if all(isinstance(item, str | Path) for item in items):
        if folder := next((item for item in items if Path(item).is_dir()), None):
            raise DFRError(folder, "is a folder in a list of files", "give the folder alone, or its files")
        return load_images(items, size, white)
    try:
        return torch.cat([_checked(_tensor(item, "images")) for item in items])
    except (TypeError, RuntimeError, ValueError) as error:
        if isinstance(error, DFRError):
            raise
        problem = f"the items of the list do not fit together ({str(error).splitlines()[0]})"
        raise DFRError("images", problem, "give files, or arrays of one size") from error


def white_among(images: Any) -> int | None:
    """White of grey levels of more than 8 bit in what :func:`as_images` takes; None if they are no files, or none is so deep."""
    if isinstance(images, Category):
        return white_of(images.train)
    if isinstance(images, str | Path):
        path = Path(images)
        return white_of(find_photographs(path, None, None).train if path.is_dir() else [path])
    if isinstance(images, list | tuple):
        return white_of(item for item in images if isinstance(item, str | Path))
    return None


def as_labelled(data: Any, size: Size, white: int | None = None) -> tuple[Tensor, Tensor]:
    """Test images and their ground truth: uint8 [N, 3, H, W] and bool [N, H, W].

    Args:
        data: a :class:`Category` (its test images) or a pair (images, masks); in masks everything but 0 counts.

    Raises:
        DFRError: something else, or masks that do not fit the images.
    """
    if isinstance(data, Category):
        return data.load_test(size, white)
    try:
        images, masks = data
    except (TypeError, ValueError):
        raise DFRError("data", "give a Category, or a pair (images, masks)") from None
    images, masks = as_images(images, size, white), _tensor(masks, "masks")
    if masks.shape == images.shape[-2:] and len(images) == 1:
        masks = masks[None]
    if masks.shape != (len(images), *images.shape[-2:]):
        problem = f"shape {tuple(masks.shape)} does not fit images of shape {tuple(images.shape)}"
        raise DFRError("masks", problem, "one mask [H, W] an image")
    if masks.is_floating_point() and masks.isnan().any():
        raise DFRError("masks", "hold values that are not numbers (NaN)", "give 0 for the background, anything else for the defect")
    return images, masks != 0


def _tensor(values: Any, what: str) -> Tensor:
    """Numbers in any array-like form as a tensor; torch takes no negative strides (a flipped view) and no read-only memory."""
    if isinstance(values, Tensor):
        return values
    if what == "images" and isinstance(values, Image.Image) and not values.mode.startswith(("I", "F")):
        values = flat(values)
    mend = "give uint8 arrays of one size"
    try:
        array = np.require(values, requirements=["C", "W"])
    except (TypeError, ValueError) as error:
        raise DFRError(what, f"cannot be used as an array of numbers ({str(error).splitlines()[0]})", mend) from error
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise DFRError(what, f"cannot be used as an array of numbers (these are of type {array.dtype})", mend) from error


def _checked(images: Tensor) -> Tensor:
    """Images of any accepted shape as uint8 [N, 3, H, W]."""
    if images.dtype != torch.uint8:
        raise DFRError("images", f"dtype {images.dtype} is not uint8", _to_uint8(images))
    shape = tuple(images.shape)
    if images.ndim == 2:
        images = images[None, None]
    elif images.ndim == 3 and shape[0] == 3:
        log.warning("images: shape %s is taken for one colour image; give three grey ones as [3, 1, H, W]", list(shape))
        images = images[None]
    elif images.ndim == 3:
        images = images[None] if shape[-1] == 3 else images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise DFRError("images", f"shape {shape} is not {SHAPES}", "drop a fourth channel (transparency) with images[..., :3]")
    return images.expand(-1, 3, -1, -1).contiguous()


def _to_uint8(images: Tensor) -> str:
    """What to do about images of another type, every step of it."""
    top = 0.0 if images.is_complex() or not images.numel() else float(images.double().max())
    factor = " * 255" if top <= 1 else "" if top <= 255 else " / 16" if top <= 4095 else " / 257"
    kind = "0..1" if top <= 1 else "0..255" if top <= 255 else "0..4095 (12 bit)" if top <= 4095 else "0..65535 (16 bit)"
    ways = f"np.rint(images{factor}).astype(np.uint8), or of a tensor (images{factor}).round().to(torch.uint8)"
    return f"yours reach {top:g}, so they seem to be {kind}: give {ways}"


def fingerprint(images: torch.Tensor) -> str:
    """16 hexadecimal digits (of SHA-256) that stand for a tensor of uint8 images: its shape and every byte."""
    if images.dtype != torch.uint8:
        raise TypeError(f"fingerprint is of uint8 images, not of {images.dtype}")
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    digest.update(images.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
