"""Hierarchical image features (Section III-A): the ReLU maps of a VGG, frozen (IV-A4).

The convolutions keep torchvision's indices, so a torchvision state dict fits without renaming.

Shapes: images uint8 [N, 3, H, W] -> phi_l float32 [N, c_l, h_l, w_l].
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DFRError, Setting
from .architecture import Architecture


class VGG(nn.Module):
    """The convolutional part of an architecture up to layer ``last``, without weights of its own (see :mod:`.weights`).

    Args:
        architecture: from :func:`dfr_core.backbones.architecture.architecture`.
        width: scale of the channels; 1 is the real network.
        padding: ``"zeros"`` (the network as trained) or ``"reflect"`` (IV-C2).
        last: the last layer needed; nothing behind it is built or computed. None builds all.
    """

    def __init__(self, architecture: Architecture, width: float = 1.0, padding: str = "zeros", last: int | None = None) -> None:
        super().__init__()
        self.architecture, self.width, self.padding = architecture, width, padding
        self.last = last or architecture.n_layers
        channels = (3, *architecture.channels(width))
        stack: list[nn.Module] = []
        for layer in range(1, self.last + 1):
            if layer - 1 in architecture.poolings:
                stack.append(nn.MaxPool2d(2))
            stack += [nn.Conv2d(channels[layer - 1], channels[layer], 3, padding=1, padding_mode=padding), nn.ReLU(inplace=True)]
        self.stack = nn.Sequential(*stack)
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images [N, 3, H, W] -> float32 network input of the same shape."""
        return (images.float() / 255 - self.mean) / self.std

    def feature_maps(self, images: Tensor, layers: tuple[int, ...], keep_padding: bool = False) -> Iterator[tuple[int, Tensor]]:
        """Yield ``(l, phi_l)`` for the wanted layers as they are computed.

        A generator, so that the caller can reduce a map before the next one takes memory. Do not write
        into a map: the next layer reads it.

        Args:
            images: uint8 [N, 3, H, W], or float32 already normalised (for gradients with respect to it).
            layers: sorted layer numbers, at most ``last``.
            keep_padding: give inner maps with their one-pixel reflection border (public code).

        Raises:
            DFRError: the image is too small for the deepest layer wanted.
        """
        smallest = self.architecture.side(layers[-1], min(images.shape[-2:]))
        if smallest < (2 if self.padding == "reflect" else 1):
            raise DFRError(
                "",
                f"image of {tuple(images.shape[-2:])} pixels is too small for layer {layers[-1]}",
                ("use a larger ", Setting("image_size")),
            )
        x = self.normalise(images) if images.dtype == torch.uint8 else images
        wanted, layer = set(layers), 0
        for module in self.stack:
            x = module(x)
            if isinstance(module, nn.ReLU):
                layer += 1
                if layer in wanted:
                    padded = keep_padding and layer in self.architecture.inner_layers
                    yield layer, F.pad(x, (1, 1, 1, 1), mode="reflect") if padded else x
                if layer == layers[-1]:
                    return

    def fingerprint(self, last: int | None = None) -> str:
        """SHA-256 (16 hex digits) of every tensor that the maps up to layer ``last`` depend on, the same on every machine.

        These are the normalisation and all parameters and buffers of the layers, whatever kinds of layers there are.
        """
        ends = [k for k, module in enumerate(self.stack, start=1) if isinstance(module, nn.ReLU)]
        used = self.stack[: ends[(last or self.last) - 1]]
        tensors = sorted([*used.named_parameters(), *used.named_buffers()], key=lambda pair: pair[0])
        return digest_of([("mean", self.mean), ("std", self.std), *tensors])


def digest_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 (16 hex digits) of named tensors in this order: names and bytes."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
