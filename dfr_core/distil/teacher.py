"""The network to learn from, frozen: VGG19 or VGG16 in torchvision's layout, of any width, or :mod:`.lite0`.

VGG16 has three convolutions where VGG19 has four, in the last three of five blocks. Layers are paired inside a block, where the
resolutions are equal: the k-th of n student layers with layer ceil(k m / n) of the teacher's m, so first meets first and last meets
last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..backbones.architecture import architecture
from ..backbones.vgg import VGG, digest_of
from ..backbones.weights import build_backbone, read_state
from ..errors import DFRError, Setting
from .lite0 import Lite0

KINDS = ("VGG19", "VGG16", "EfficientNet-Lite0")  # whose files can be read


class Teacher(Protocol):
    """A frozen network whose maps a student is to resemble.

    Attributes:
        name: of its architecture.
        share: one principal component is a target for so many of its channels.
        equalised: each channel is brought to the same spread before.
    """

    name: str
    share: int
    equalised: bool

    def pairs(self) -> dict[int, int]:
        """Layer of the student (VGG19's numbers 1..16) -> the layer here that it is to resemble, of its resolution or a coarser one."""

    def feature_maps(self, images: Tensor, layers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """uint8 images [N, 3, H, W] -> ``(l, phi_l)`` for the layers, in order."""

    def fingerprint(self) -> str:
        """SHA-256 (16 hex digits) of its weights."""


class VGGTeacher(VGG):
    """A frozen VGG's convolutional part, of any width, as a :class:`Teacher`.

    Args:
        name: a key of :data:`dfr_core.backbones.architecture.ARCHITECTURES`.
        state: its convolutions by torchvision's indices, ``"0.weight"`` [c, 3, 3, 3], ``"0.bias"`` [c], ``"2.weight"`` ...
    """

    share, equalised = 4, False

    def __init__(self, name: str, state: dict[str, Tensor]) -> None:
        channels = (len(state[f"{index}.bias"]) for index in indices(name))
        network = architecture(name)
        super().__init__(replace(network, blocks=tuple(tuple(next(channels) for _ in block) for block in network.blocks)))
        self.name = name
        self.stack.load_state_dict(state)
        self.to(memory_format=torch.channels_last)

    def pairs(self) -> dict[int, int]:
        """Layer of the student (VGG19's numbers 1..16) -> the teacher's layer that it is to resemble."""
        found, student, teacher = {}, 0, 0
        for learning, taught in zip(architecture("vgg19").blocks, self.architecture.blocks, strict=True):
            n, m = len(learning), len(taught)
            for k in range(1, n + 1):
                found[student + k] = teacher + math.ceil(k * m / n)
            student, teacher = student + n, teacher + m
        return found

    def fingerprint(self, last: int | None = None) -> str:
        """SHA-256 (16 hex digits) of its weights, whatever layer is the last one read."""
        return digest_of(sorted(self.stack.state_dict().items()))


def indices(name: str) -> list[int]:
    """Where torchvision's layout has the convolutions: each is followed by its ReLU, each block by a pooling."""
    network = architecture(name)
    return [2 * layer + sum(pooling <= layer for pooling in network.poolings) for layer in range(network.n_layers)]


def load_teacher(name: str) -> Teacher:
    """The teacher of a name.

    Args:
        name: ``"imagenet"`` (torchvision's VGG19, downloaded if need be), or a state dict of VGG19, VGG16 or EfficientNet-Lite0
            (.pth, .safetensors).

    Raises:
        DFRError: there is no such file, or it does not hold such a network.
    """
    if name == "imagenet":
        return VGGTeacher("vgg19", build_backbone("vgg19", "imagenet").stack.state_dict())
    try:
        found = read_state(Path(name), " or ".join(KINDS))
    except DFRError as error:
        raise DFRError(Setting("teacher"), error.problem, error.mend) from error
    state = {str(key).removeprefix("features."): value for key, value in found.items()}
    for kind in (partial(_vgg, "vgg19"), partial(_vgg, "vgg16"), Lite0):
        try:
            teacher = kind(state)
        except (KeyError, AttributeError, TypeError, RuntimeError):  # layers that are not there, are no tensors, or do not fit together
            continue
        if not all(torch.isfinite(tensor).all() for tensor in teacher.state_dict().values()):
            raise DFRError(Setting("teacher"), f"{name} holds NaN or infinite values", "the file is damaged")
        return teacher
    raise DFRError(
        Setting("teacher"),
        f"{name} is neither {' nor '.join(KINDS)}",
        "save model.features.state_dict() of torchvision's VGG19, or name one that docs/distilled.md tells of",
    )


def _vgg(kind: str, state: dict[str, Tensor]) -> VGGTeacher:
    return VGGTeacher(kind, {f"{index}.{part}": state[f"{index}.{part}"].float() for index in indices(kind) for part in ("weight", "bias")})
