"""The network to learn from: VGG19 or VGG16 in torchvision's layout, of any width, frozen.

VGG16 has three convolutions where VGG19 has four, in the last three of five blocks. Layers are paired inside a block, where the
resolutions are equal: the k-th of n student layers with layer ceil(k m / n) of the teacher's m, so first meets first and last meets
last.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn

from ..backbones.architecture import ARCHITECTURES, architecture
from ..backbones.weights import build_backbone, read_state
from ..errors import DFRError, Setting

#: Convolutions in each block of the teachers known, a 2 x 2 max pooling between blocks.
DEPTHS = {name: tuple(len(block) for block in network.blocks) for name, network in ARCHITECTURES.items()}


class Teacher(nn.Module):
    """A frozen VGG's convolutional part.

    Args:
        name: a key of ``DEPTHS``.
        state: its convolutions by torchvision's indices, ``"0.weight"`` [c, 3, 3, 3], ``"0.bias"`` [c], ``"2.weight"`` ...

    Attributes:
        channels: of the maps of its layers, in order.
    """

    def __init__(self, name: str, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.name = name
        stack: list[nn.Module] = []
        self.channels: list[int] = []
        for index in _indices(name):
            if index > len(stack):
                stack.append(nn.MaxPool2d(2))
            c_out, c_in = state[f"{index}.weight"].shape[:2]
            stack += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(inplace=True)]
            self.channels.append(c_out)
        self.stack = nn.Sequential(*stack)
        self.stack.load_state_dict(state)
        self.register_buffer("mean", torch.tensor(architecture(name).mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(architecture(name).std).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def maps(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """uint8 images [N, 3, H, W] -> ``(l, phi_l)`` for all layers, phi_l [N, c_l, h_l, w_l]; do not write into a map."""
        x = ((images.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        layer = 0
        for module in self.stack:
            x = module(x)
            if isinstance(module, nn.ReLU):
                layer += 1
                yield layer, x

    def pairs(self) -> dict[int, int]:
        """Layer of the student (VGG19's numbers 1..16) -> the teacher's layer that it is to resemble."""
        found, student, teacher = {}, 0, 0
        for n, m in zip(DEPTHS["vgg19"], DEPTHS[self.name], strict=True):
            for k in range(1, n + 1):
                found[student + k] = teacher + math.ceil(k * m / n)
            student, teacher = student + n, teacher + m
        return found

    def fingerprint(self) -> str:
        """SHA-256 (16 hex digits) of its weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.stack.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def _indices(name: str) -> list[int]:
    """Where torchvision's layout has the convolutions: each is followed by its ReLU, each block by a pooling."""
    starts = [0, *accumulate(2 * depth + 1 for depth in DEPTHS[name])]
    return [start + 2 * k for start, depth in zip(starts, DEPTHS[name], strict=False) for k in range(depth)]


def load_teacher(name: str) -> Teacher:
    """The teacher of a name.

    Args:
        name: ``"imagenet"`` (torchvision's VGG19, downloaded if need be), or a state dict of VGG19 or VGG16 (.pth, .safetensors).

    Raises:
        DFRError: there is no such file, or it does not hold such a network.
    """
    if name == "imagenet":
        return Teacher("vgg19", build_backbone("vgg19", "imagenet").stack.state_dict())
    try:
        found = read_state(Path(name), "VGG19 or VGG16")
    except DFRError as error:
        raise DFRError(Setting("teacher"), error.problem, error.mend) from error
    state = {str(key).removeprefix("features."): value for key, value in found.items()}
    for kind in DEPTHS:
        names = [f"{index}.{part}" for index in _indices(kind) for part in ("weight", "bias")]
        if all(isinstance(state.get(key), Tensor) for key in names) and _chained(state, _indices(kind)):
            state = {key: state[key].float() for key in names}
            if not all(torch.isfinite(tensor).all() for tensor in state.values()):
                raise DFRError(Setting("teacher"), f"{name} holds NaN or infinite values", "the file is damaged")
            return Teacher(kind, state)
    raise DFRError(
        Setting("teacher"),
        f"{name} is neither VGG19 nor VGG16 in torchvision's layout",
        "save model.features.state_dict() of one",
    )


def _chained(state: dict[str, Tensor], indices: list[int]) -> bool:
    """Whether each 3 x 3 convolution takes what the one before it gives."""
    c_in = 3
    for index in indices:
        weight, bias = state[f"{index}.weight"], state[f"{index}.bias"]
        if weight.ndim != 4 or weight.shape[1:] != (c_in, 3, 3) or bias.shape != weight.shape[:1]:
            return False
        c_in = len(weight)
    return True
