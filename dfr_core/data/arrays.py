"""What people hand over as images, turned into one uint8 tensor."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DFRError
from .decode import load_images, read_image, to_tensor
from .folders import Category, load_photographs


def as_images(images: Any, size: int) -> Tensor:
    """Images in any usual form as uint8 [N, 3, H, W].

    Args:
        images: a tensor or array, uint8 [N, 3, H, W] or [N, H, W, 3] (also one image without N); one file;
            a folder of photographs; a list of files; or a :class:`Category` (its training images).
        size: side to which files are resized (IV-A4). Arrays are taken as they are.

    Raises:
        DFRError: something else, no images, or images that cannot be read.
    """
    if isinstance(images, Category):
        return images.load_train(size)
    if isinstance(images, str | Path):
        path = Path(images)
        if path.is_dir():
            return load_photographs(path).load_train(size)
        return to_tensor(read_image(path, size))[None]
    if isinstance(images, Tensor | np.ndarray):
        return _checked(_tensor(images, "images"))
    try:
        items = list(images)
    except TypeError:
        raise DFRError("images", f"cannot use a {type(images).__name__}", "give an array, files, a folder or a Category") from None
    if not items:
        raise DFRError("images", "the list is empty", "give at least one image")
    if all(isinstance(item, str | Path) for item in items):
        return load_images(items, size)
    try:
        return _checked(torch.stack([_tensor(item, "images") for item in items]))
    except (TypeError, RuntimeError, ValueError) as error:
        if isinstance(error, DFRError):
            raise
        problem = f"the items of the list do not fit together ({str(error).splitlines()[0]})"
        raise DFRError("images", problem, "give files, or arrays of one size") from error


def as_labelled(data: Any, size: int) -> tuple[Tensor, Tensor]:
    """Test images and their ground truth: uint8 [N, 3, H, W] and bool [N, H, W].

    Args:
        data: a :class:`Category` (its test images) or a pair (images, masks).

    Raises:
        DFRError: something else, or masks that do not fit the images.
    """
    if isinstance(data, Category):
        return data.load_test(size)
    try:
        images, masks = data
    except (TypeError, ValueError):
        raise DFRError("data", "give a Category, or a pair (images, masks)") from None
    images, masks = as_images(images, size), _tensor(masks, "masks")
    if masks.shape != (len(images), *images.shape[-2:]):
        problem = f"shape {tuple(masks.shape)} does not fit images of shape {tuple(images.shape)}"
        raise DFRError("masks", problem, "one mask [H, W] an image")
    return images, masks != 0


def _tensor(values: Any, what: str) -> Tensor:
    """Numbers in any array-like form as a tensor; torch takes no negative strides (a flipped view) and no read-only memory."""
    if isinstance(values, Tensor):
        return values
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
    if images.dtype != torch.uint8:
        raise DFRError("images", f"dtype {images.dtype} is not uint8", "give values 0..255 (multiply by 255 if yours are 0..1)")
    images = images[None] if images.ndim == 3 else images
    if images.ndim == 4 and images.shape[1] != 3 and images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise DFRError("images", f"shape {tuple(images.shape)} is not [N, 3, H, W] or [N, H, W, 3]")
    return images.contiguous()


def fingerprint(images: torch.Tensor) -> str:
    """16 hexadecimal digits (of SHA-256) that stand for a tensor of uint8 images: its shape and every byte."""
    if images.dtype != torch.uint8:
        raise TypeError(f"fingerprint is of uint8 images, not of {images.dtype}")
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    digest.update(images.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
