"""Patches of images: drawn at random to learn from, cut on a grid to score, and laid over one another again as their mean.

What methods on pixels share. A patch is ``side`` x ``side`` pixels; an image that is smaller is continued like in a mirror, its
outermost pixel not doubled.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_PATCHES = 3  # name of a random stream, beside those of :mod:`dfr_core.methods.train`


def at_least(images: Tensor, side: int) -> Tensor:
    """Images [..., h, w] of at least ``side`` pixels each way, continued at the right and the lower end where they are smaller."""
    for axis in (-2, -1):
        if (n := images.shape[axis]) < side:
            positions = torch.from_numpy(np.pad(np.arange(n), (0, side - n), mode="reflect"))
            images = images.index_select(axis, positions.to(images.device))
    return images


def starts(size: int, side: int, stride: int) -> list[int]:
    """Where the patches of an axis begin: every ``stride`` pixels, and one that ends where the image ends.

    >>> starts(10, 4, 3), starts(9, 4, 3), starts(4, 4, 3)
    ([0, 3, 6], [0, 3, 5], [0])
    """
    return sorted({*range(0, size - side + 1, stride), size - side})


def cut(image: Tensor, side: int, stride: int) -> Tensor:
    """The patches of an image [c, h, w], row by row: [n, c, side, side]."""
    _, h, w = image.shape
    rows, columns = starts(h, side, stride), starts(w, side, stride)
    return torch.stack([image[:, y : y + side, x : x + side] for y in rows for x in columns])


def average(patches: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """The image [c, h, w] in which each pixel is the mean of all patches [n, c, side, side] that :func:`cut` put it into."""
    n, c, side, _ = patches.shape
    corners = [(y, x) for y in starts(size[0], side, stride) for x in starts(size[1], side, stride)]
    total, count = patches.new_zeros(c, *size), patches.new_zeros(size)
    for patch, (y, x) in zip(patches, corners, strict=True):
        total[:, y : y + side, x : x + side] += patch
        count[y : y + side, x : x + side] += 1
    return total / count


def draw(images: Tensor, n: int, side: int, seed: int, step: int) -> Tensor:
    """Patches of images [N, c, h, w], drawn with seed and step from anywhere: [n, c, side, side]."""
    random = np.random.default_rng([seed, _PATCHES, step])
    high = (len(images), images.shape[-2] - side + 1, images.shape[-1] - side + 1)
    places = random.integers(0, high, (n, 3)).tolist()
    return torch.stack([images[k, :, y : y + side, x : x + side] for k, y, x in places])
