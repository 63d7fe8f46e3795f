"""Pictures that ST's teachers learn from where there is no ImageNet: dead leaves.

Shapes of random size, place, colour and texture fall on each other until the picture is full. Such pictures share with photographs
edges, occlusion and structure at all scales (Lee, Mumford and Huang, 2001), and networks learn useful features from them (Baradad et
al., arXiv 2106.05963). They are drawn from a seed alone, the same on every machine, and show nothing of the data to be inspected.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

LEAVES = 160  # a picture


def dead_leaves(n: int, side: int, seed: int) -> Tensor:
    """``n`` pictures: uint8 [n, 3, side, side]."""
    return torch.from_numpy(np.stack([_picture(side, np.random.default_rng([seed, 8, k])) for k in range(n)]))


def _picture(side: int, random: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    picture = np.zeros((3, side, side), np.float32) + random.random((3, 1, 1), dtype=np.float32)
    for _ in range(LEAVES):
        radius = side / 2 * (0.02 ** random.random())  # small ones are as likely as large ones
        at_y, at_x = random.random(2) * side
        top, left = (int(max(0, at - 1.5 * radius)) for at in (at_y, at_x))
        place = np.s_[top : int(at_y + 1.5 * radius) + 1, left : int(at_x + 1.5 * radius) + 1]
        dy, dx = y[place] - at_y, x[place] - at_x
        turn, aspect = random.random() * np.pi, 0.4 + 0.6 * random.random()
        u, v = np.cos(turn) * dx + np.sin(turn) * dy, (np.cos(turn) * dy - np.sin(turn) * dx) / aspect
        power = random.choice([1, 2, 8])  # a rhombus, an ellipse, nearly a rectangle
        inside = np.abs(u / radius) ** power + np.abs(v / radius) ** power < 1
        picture[:, place[0], place[1]][:, inside] = _filling(u, v, random)[:, inside]
    picture = ndimage.gaussian_filter(picture, (0, *[0.3 + 0.7 * random.random()] * 2))
    return (255 * picture + random.normal(size=picture.shape) * 4 * random.random()).round().clip(0, 255).astype(np.uint8)


def _filling(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour, and on it stripes, a checked cloth, grains or nothing: [3, rows, columns]."""
    grey = random.random()
    colour = grey + 0.25 * random.normal(size=(3, 1, 1)) * (random.random() > 0.3)
    step, strength = 2.5 * 12 ** random.random(), 0.3 * random.random()
    kind = random.integers(4)
    if kind == 0:
        texture = np.sin(2 * np.pi * u / step)
    elif kind == 1:
        texture = np.sin(2 * np.pi * u / step) * np.sin(2 * np.pi * v / step)
    elif kind == 2:
        texture = ndimage.gaussian_filter(random.normal(size=u.shape), step / 8)
        texture /= texture.std() + 1e-6
    else:
        texture = u / (np.abs(u).max() + 1e-6)
    return (colour + strength * texture).astype(np.float32)
