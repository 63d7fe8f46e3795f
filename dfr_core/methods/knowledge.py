"""What a pre-trained network says about patches, for ST's teachers to learn (P in :mod:`.teacher`).

A ResNet-18 is asked as in the source: the patch passes through it alone, and the mean over its last map describes it. A VGG is asked about
all patches of a crop in one pass: the unit in a patch's middle describes it, in the layer that sees about as much as the patch does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.architecture import architecture
from ..backbones.resnet import N_LAYERS, RESNET18
from .descriptors import describe, frozen_network
from .patch_network import field


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
