"""Descriptors of patches that pass through a frozen network one by one, as the rivals' papers have it.

A patch p, 3 x k x k pixels, goes through the network alone; the mean over its map of one layer is its descriptor:
phi(p) = mean_ij phi_l(p)_ij, c_l numbers. (The last layer of a ResNet-18 makes that the 512 numbers of its average pooling.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones.architecture import ARCHITECTURES, architecture
from ..backbones.resnet import RESNET18, ResNet18
from ..backbones.weights import build_backbone
from ..errors import DFRError, Setting
from ..extract import Extractor
from ..regional import AggregatedMap, Generator, RegionalFeatures
from ..settings import MethodSettings, Size, setting
from ..tiles import Span

AT_ONCE = 1024  # patches


@dataclass(frozen=True)
class DescribedSettings(MethodSettings):
    """Choices of every method that describes patches by a frozen network; the defaults are the sources'."""

    image_size: Size = setting(256, "side in pixels to which images are resized; or height x width, such as 256x512")
    backbone: str = setting(RESNET18, "the frozen network: resnet18 (the source's), vgg19 or vgg16")
    weights: str = setting("imagenet", "its weights: imagenet, untrained (from seed), a file, or distilled (vgg19 only)")
    width: float = setting(1.0, "scale of a VGG's channels; 1 is the real network")
    padding: str = setting("zeros", "padding of a VGG's convolutions, zeros or reflect")

    def __post_init__(self) -> None:
        self.check_choice("backbone", (RESNET18, *ARCHITECTURES))
        self.check_network(ResNet18.title if self.backbone == RESNET18 else architecture(self.backbone).title)
        self.check_image_size()

    def check_resnet(self, **needed: Any) -> None:
        """Raises DFRError if a ResNet-18 is asked for what only a VGG can do: it needs these settings, and its own width and padding."""
        needed |= {"width": 1, "padding": "zeros"}
        if self.backbone == RESNET18 and any(getattr(self, name) != value for name, value in needed.items()):
            words = [part for name, value in needed.items() for part in (", ", Setting(name, value))][1:]
            raise DFRError(Setting("backbone"), ("resnet18 needs ", *words))


def frozen_network(settings: Any, layer: int, seed: int) -> nn.Module:
    """The network of ``backbone``, ``weights``, ``width`` and ``padding`` of the settings, up to a layer; the seed is for untrained ones.

    Raises:
        DFRError: as :func:`dfr_core.backbones.weights.build_backbone`.
    """
    if settings.backbone == RESNET18:
        return ResNet18(settings.weights, seed)
    return build_backbone(
        settings.backbone, settings.weights, width=settings.width, padding=settings.padding, last=layer, seed=seed
    )


@torch.no_grad()
def describe(network: nn.Module, layer: int, patches: Tensor) -> Tensor:
    """phi(p) of patches, uint8 or normalised float32 [n, 3, k, k]: [n, c_l]."""
    parts = patches.contiguous(memory_format=torch.channels_last).split(AT_ONCE)
    return torch.cat([phi.mean((2, 3)) for part in parts for _, phi in network.feature_maps(part, (layer,))])


class PatchByPatch(Extractor):
    """In an Extractor's place: the descriptors of all patches of an image, each cut out.

    Args:
        settings: also ``kernel``, the side of a patch, ``stride``, from one to the next, and ``layer`` are read from it.
        device: where to compute.
    """

    def __init__(self, settings: Any, device: torch.device) -> None:
        self.layers, self.built = (settings.layer,), settings.layer
        self.keep_padding, self.device, self.batch = False, device, 1
        self.backbone = frozen_network(settings, settings.layer, settings.seed).to(device)
        self.generator = Generator(settings.kernel, settings.stride)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> RegionalFeatures:
        """uint8 images [N, 3, H, W] -> descriptors [N, h_o, w_o, c_l]."""
        k, shape = self.generator.kernel, self.generator.shape(tuple(images.shape[-2:]))
        columns = F.unfold(images.to(self.device).float(), k, stride=self.generator.stride)  # [N, 3 k k, h_o w_o]
        patches = columns.transpose(1, 2).reshape(-1, 3, k, k).to(torch.uint8)
        descriptors = describe(self.backbone, self.built, patches).view(len(images), *shape, -1)
        return RegionalFeatures({self.built: AggregatedMap(descriptors, None, None)}, shape)

    def tiles(self, image_size: tuple[int, int], tile: int = 0) -> tuple[list[Span], list[Span]]:
        """One piece: patches are small already."""
        h, w = image_size
        return [Span(0, 0, h, h)], [Span(0, 0, w, w)]
