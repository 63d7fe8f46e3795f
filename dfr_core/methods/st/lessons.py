"""What ST's teachers learn from: pictures, and what a pre-trained network says about their patches (P in :mod:`.teacher`).

The pictures, where there is no ImageNet, are dead leaves: shapes of random size, place, colour and texture fall on each other until the
picture is full. Such pictures share with photographs edges, occlusion and structure at all scales (Lee, Mumford and Huang, 2001), and
networks learn useful features from them (Baradad et al., arXiv 2106.05963). They are drawn from a seed alone, the same on every machine,
and show nothing of the data to be inspected.

A ResNet-18 is asked as in the source: the patch passes through it alone, and the mean over its last map describes it. A VGG is asked about
all patches of a crop in one pass: the unit in a patch's middle describes it, in the layer that sees about as much as the patch does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from ...backbones.architecture import architecture
from ...backbones.resnet import N_LAYERS, RESNET18
from ..descriptors import describe, frozen_network
from .network import field

LEAVES = 160  # a picture


class Knowledge:
    """P, asked about square crops.

    Attributes:
        side: of a crop in pixels.
        offset: pixels into it where the first patch begins, seen from a patch network.
        stride: pixels from one patch to the next.
        units: patches along a side.
        channels: c.
        fingerprint: of the network.
    """

    def __init__(self, network: nn.Module, layer: int, side: int, offset: int = 0, stride: int = 1, units: int = 1, first: int = 0) -> None:
        self.network, self.layer, self.first = network, layer, first
        self.side, self.offset, self.stride, self.units = side, offset, stride, units
        self.fingerprint = network.fingerprint(layer)
        self.mean: Tensor | float = 0.0
        self.std: Tensor | float = 1.0

    @torch.no_grad()
    def standardise(self, crops: Tensor) -> None:
        """From now on each channel has mean 0, and all together spread 1, over the patches of these crops: the scale says nothing.

        One number for all: a channel that hardly ever speaks would else outweigh the others.
        """
        said = self.said(crops)
        self.mean = said.mean((0, 2, 3), keepdim=True)
        self.std = (said - self.mean).square().mean().sqrt().clamp(min=1e-12)
        self.channels = said.shape[1]

    def __call__(self, crops: Tensor) -> Tensor:
        """Crops float32 [B, 3, side, side], 0 to 255 -> [B, c, units, units]."""
        return (self.said(crops) - self.mean) / self.std

    @torch.no_grad()
    def said(self, crops: Tensor) -> Tensor:
        """The same on the network's own scale."""
        ((_, phi),) = self.network.feature_maps(self.network.normalise(crops), (self.layer,))
        return phi[:, :, self.first : self.first + self.units, self.first : self.first + self.units]


class OfWholePatch(Knowledge):
    """Of patches that pass alone."""

    def said(self, crops: Tensor) -> Tensor:
        return describe(self.network, self.layer, self.network.normalise(crops))[:, :, None, None]


def knowledge(settings: Any, patch: int, device: torch.device) -> Knowledge:
    """P for patches of a size, of the ``backbone`` of ST's settings.

    Raises:
        DFRError: as :func:`dfr_core.methods.patches.frozen_network`.
    """
    if settings.backbone == RESNET18:
        return OfWholePatch(frozen_network(settings, N_LAYERS, settings.teacher_seed).to(device), N_LAYERS, patch)
    layer = layer_that_sees(settings.backbone, patch)
    seen, half = architecture(settings.backbone).layers[layer - 1], field(patch) / 2
    first = -int((seen.centre - half) // seen.jump)  # the first unit whose patch begins within the crop
    offset = int(seen.centre + first * seen.jump - half)
    side = offset + (settings.teacher_units - 1) * seen.jump + field(patch)
    network = frozen_network(settings, layer, settings.teacher_seed).to(device)
    return Knowledge(network, layer, -(-side // seen.jump) * seen.jump, offset, seen.jump, settings.teacher_units, first)


def layer_that_sees(backbone: str, patch: int) -> int:
    """The layer of a VGG whose receptive field is nearest to a patch's size.

    >>> [layer_that_sees("vgg19", patch) for patch in (17, 33, 65)]
    [4, 6, 9]
    """
    layers = architecture(backbone).layers
    return min(range(1, len(layers) + 1), key=lambda layer: abs(layers[layer - 1].size - patch))


@lru_cache(maxsize=1)  # the teachers of all sizes look at the same pictures
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
