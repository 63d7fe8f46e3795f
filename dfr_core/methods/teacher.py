"""The teachers of ST: patch networks that have learnt what a pre-trained network says about patches (arXiv 1911.02357, Section 3.1).

With T(p) the teacher's descriptor of a patch p, d numbers, P(p) the pre-trained network's, c numbers, and D a linear decoder d -> c:

    knowledge    L_k = mean over patches and channels of (D(T(p)) - P(p))^2
    metric       L_m = mean of max(0, 1 + |T(p) - T(p+)|^2 - min(|T(p) - T(p-)|^2, |T(p+) - T(p-)|^2))
    compactness  L_c = mean over i != j of |c_ij|, c the d x d correlations of the descriptors of a batch

p+ is p moved a little, noisier, and now and then without colour; p- a patch of another picture. L = w_k L_k + w_m L_m + w_c L_c.

P(p) of a ResNet-18: the patch passes through it alone, the mean over its last map is the descriptor. P(p) of a VGG: the unit in the middle
of the patch in the layer that sees about as much as the patch (4, 6 and 9 for 17, 33 and 65 pixels), so that a whole crop needs one pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones.architecture import architecture
from ..backbones.resnet import N_LAYERS, RESNET18
from ..data import fingerprint
from ..data.arrays import as_images
from ..editions import cache_folder
from ..errors import DFRError
from ..files import load_tensors, save_tensors
from .leaves import dead_leaves
from .patch_network import PatchNetwork, field
from .patches import describe, patch_network
from .train import Progress, ProgressBar, train

VERSION = 1  # of what is below: teachers made by another version are made again
NOISE, GREY = 0.1, 0.1  # standard deviation of a positive's noise on pixels in 0..1; share without colour (the source's)
_CROPS = 5  # name of a random stream


@dataclass(frozen=True)
class Loop:
    """What :func:`dfr_core.methods.train.train` reads from settings."""

    steps: int | None
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    seed: int
    positions: int | None = 1
    batch_norm: bool = False


class Knowledge:
    """P: the pre-trained network's descriptors of the patches of a crop, and how large a crop is that it can be asked about.

    Args:
        network: VGG or ResNet-18, frozen.
        patch: pixels.
        units: patches along a side of a crop; a ResNet-18 is asked about one.

    Attributes:
        side: of a crop in pixels.
        offset: where in it the first patch begins, seen from a patch network.
        stride: pixels from one patch to the next.
    """

    def __init__(self, network: nn.Module, backbone: str, patch: int, units: int) -> None:
        self.network = network
        if backbone == RESNET18:
            self.layer, self.units, self.stride, self.first = N_LAYERS, 1, 1, 0
            self.side, self.offset = patch, 0
            return
        self.layer = vgg_layer(backbone, patch)
        seen = architecture(backbone).layers[self.layer - 1]
        self.units, self.stride = units, seen.jump
        self.first = -int((seen.centre - field(patch) / 2) // seen.jump)  # the first unit whose patch lies within the crop
        self.offset = int(seen.centre + self.first * seen.jump - field(patch) / 2)
        needed = self.offset + (units - 1) * seen.jump + field(patch)
        self.side = -(-needed // seen.jump) * seen.jump

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Tensor:
        """Normalised crops [B, 3, side, side] -> [B, c, units, units]."""
        if self.units == 1 and self.side == crops.shape[-1] and self.layer == N_LAYERS and self.first == 0 and self.stride == 1:
            return describe(self.network, self.layer, crops)[:, :, None, None]
        ((_, phi),) = self.network.feature_maps(crops, (self.layer,))
        return phi[:, :, self.first : self.first + self.units, self.first : self.first + self.units]
