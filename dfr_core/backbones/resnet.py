"""ResNet-18 (He et al., arXiv 1512.03385), frozen: the network that two rivals of DFR take their features from.

The network is torchvision's; here it gives its maps as :class:`dfr_core.backbones.vgg.VGG` does: layer 1 is the ReLU before the
pooling, layers 2 to 9 are its eight blocks. The mean over the last map is the 512 numbers that torchvision calls ``avgpool``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DFRError, Setting
from .architecture import ARCHITECTURES
from .vgg import digest_of
from .weights import imagenet_file, read_state

RESNET18 = "resnet18"
N_LAYERS = 9
_UNUSED = ("fc.weight", "fc.bias")


class ResNet18(nn.Module):
    """torchvision's ResNet-18 without its classifier.

    Args:
        weights: ``"imagenet"``, ``"untrained"`` (He initialisation from the seed), or the path of a state dict in torchvision's
            layout. The environment variable ``DFR_ResNet18_WEIGHTS`` names a file that stands for ``"imagenet"``.
        seed: of untrained weights.

    Raises:
        DFRError: weights that cannot be found, downloaded, read, or do not fit.
    """

    title = "ResNet18"

    def __init__(self, weights: str, seed: int = 0) -> None:
        from torchvision.models import resnet18

        super().__init__()
        with torch.device("meta"):
            network = resnet18(weights=None)
        network.fc = nn.Identity()
        self.network = network.to_empty(device="cpu")
        self.register_buffer("mean", torch.tensor(ARCHITECTURES["vgg19"].mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(ARCHITECTURES["vgg19"].std).view(1, 3, 1, 1), persistent=False)
        self.network.load_state_dict(self._untrained(seed) if weights == "untrained" else self._trained(weights))
        self.requires_grad_(False)
        self.eval()

    def _trained(self, weights: str) -> dict[str, Tensor]:
        file = imagenet_file(self) if weights == "imagenet" else Path(weights)
        state = {name: tensor for name, tensor in read_state(file, self.title).items() if name not in _UNUSED}
        own = self.network.state_dict()
        wrong = [name for name in own if not isinstance(state.get(name), Tensor) or state[name].shape != own[name].shape]
        wrong += [name for name in state if name not in own]
        if wrong:
            raise DFRError(Setting("weights"), f"{file}: {wrong[0]} is not that of a {self.title} in torchvision's layout")
        if not all(torch.isfinite(tensor).all() for tensor in state.values()):
            raise DFRError(Setting("weights"), f"{file} holds NaN or infinite values", "the file is damaged")
        return state

    def _untrained(self, seed: int) -> dict[str, Tensor]:
        random = np.random.Generator(np.random.PCG64([seed, N_LAYERS]))
        state: dict[str, Tensor] = {}
        for name, own in self.network.state_dict().items():
            if own.ndim == 4:
                values = random.standard_normal(tuple(own.shape)) * np.sqrt(2 / own[0].numel())
                state[name] = torch.from_numpy(values.astype(np.float32))
            else:  # a normalisation that does nothing
                state[name] = (torch.ones if name.endswith(("weight", "running_var")) else torch.zeros)(own.shape, dtype=own.dtype)
        return state

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images [N, 3, H, W] -> float32 network input of the same shape."""
        return (images.float() / 255 - self.mean) / self.std

    def feature_maps(self, images: Tensor, layers: tuple[int, ...]) -> Iterator[tuple[int, Tensor]]:
        """Yield ``(l, phi_l)`` for the wanted layers, of uint8 [N, 3, H, W] or of normalised float32, as they are computed."""
        x = self.normalise(images) if images.dtype == torch.uint8 else images
        r = self.network
        blocks: list[Any] = [b for stage in (r.layer1, r.layer2, r.layer3, r.layer4) for b in stage]
        x = r.relu(r.bn1(r.conv1(x)))
        for layer in range(1, layers[-1] + 1):
            if layer > 1:
                x = blocks[layer - 2](r.maxpool(x) if layer == 2 else x)
            if layer in layers:
                yield layer, x

    def fingerprint(self, last: int | None = None) -> str:
        """SHA-256 (16 hex digits) of the normalisation and of all parameters and buffers, whatever layer is the last one read."""
        return digest_of([("mean", self.mean), ("std", self.std), *sorted(self.network.state_dict().items())])
