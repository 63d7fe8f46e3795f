"""The networks of ST, which describe a patch of 17, 33 or 65 pixels: patch by patch, and dense over an image in one pass.

A patch network ends where its map is one unit. Dense evaluation (Bailer et al., 2017, whom ST follows) gives that unit for a patch at
every s-th pixel and computes nothing twice: a pooling that the distance s between patches allows halves the map as before; one that
it does not allow is taken at every place, and what follows looks at units twice as far apart (dilation). The numbers are the same.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Patch size -> the layers: (side of a convolution, channels), or 0 for a 2 x 2 max pooling. A leaky ReLU of slope 0.005 behind each
#: convolution but the last, which is linear and gives the d numbers of the descriptor.
LAYERS: dict[int, tuple] = {
    17: ((6, 128), (5, 256), (5, 256), (4, None)),
    33: ((5, 128), 0, (5, 256), 0, (2, 256), (4, None)),
    65: ((5, 128), 0, (5, 128), 0, (5, 128), 0, (4, 256), (1, None)),
}
SLOPE = 0.005


def field(patch: int) -> int:
    """Pixels of a patch that its unit sees; poolings drop what is left over at the end.

    >>> [field(patch) for patch in LAYERS]
    [17, 32, 60]
    """
    size = 1
    for layer in reversed(LAYERS[patch]):
        size = size + layer[0] - 1 if layer else 2 * size
    return size


def normalise(images: Tensor) -> Tensor:
    """Pixels 0 to 255 [N, 3, H, W] -> float32 in -1..1, channels innermost: what the patch networks read."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


class PatchNetwork(nn.Module):
    """A network for patches of one size, with random weights (He et al., 2015).

    Args:
        patch: one of :data:`LAYERS`.
        width: scale of the channels.
        dimension: d, numbers of a descriptor.
        generator: of the weights.
    """

    def __init__(self, patch: int, width: float, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.patch, self.field, self.dimension = patch, field(patch), dimension
        self.convolutions = nn.ModuleList()
        c = 3
        for k, full in filter(None, LAYERS[patch]):
            out = dimension if full is None else max(1, round(full * width))
            with torch.device("meta"):
                convolution = nn.Conv2d(c, out, k)
            convolution.to_empty(device="cpu")
            gain = math.sqrt(2 if full else 1)
            convolution.weight.data = torch.randn(convolution.weight.shape, generator=generator) * gain / math.sqrt(c * k * k)
            convolution.bias.data.zero_()
            self.convolutions.append(convolution)
            c = out

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        """Descriptors of the patches that begin at every ``stride``-th pixel.

        Args:
            x: normalised float32 [N, 3, H, W].
            stride: a power of two.

        Returns:
            [N, d, (H - field) // stride + 1, (W - field) // stride + 1].
        """
        x, steps = self._hidden(x, stride)
        return F.conv2d(x, self.convolutions[-1].weight, self.convolutions[-1].bias, **steps)

    def columns(self, x: Tensor, stride: int = 1) -> Tensor:
        """What the last, linear layer reads for each of these patches, and a 1 for its bias: [N, c k k + 1, patches]."""
        x, steps = self._hidden(x, stride)
        return F.pad(F.unfold(x, self.convolutions[-1].kernel_size, **steps), (0, 0, 0, 1), value=1.0)

    @torch.no_grad()
    def set_last(self, weights: Tensor) -> None:
        """Give the last layer weights [d, c k k + 1] for :meth:`columns`."""
        self.convolutions[-1].weight.copy_(weights[:, :-1].reshape(self.convolutions[-1].weight.shape))
        self.convolutions[-1].bias.copy_(weights[:, -1])

    def _hidden(self, x: Tensor, stride: int) -> tuple[Tensor, dict[str, int]]:
        """What the last layer reads, and the stride and dilation with which it does."""
        done, dilation = 1, 1
        convolutions = iter(self.convolutions)
        for layer in LAYERS[self.patch][:-1]:
            if layer:
                convolution = next(convolutions)
                x = F.leaky_relu(F.conv2d(x, convolution.weight, convolution.bias, dilation=dilation), SLOPE)
            elif 2 * done <= stride:
                x, done = F.max_pool2d(x, 2), 2 * done
            else:
                x = torch.maximum(x[:, :, :-dilation], x[:, :, dilation:])
                x, dilation = torch.maximum(x[..., :-dilation], x[..., dilation:]), 2 * dilation
        return x, {"stride": stride // done, "dilation": dilation}  # what no pooling took

    def patch_by_patch(self, x: Tensor, stride: int = 1) -> Tensor:
        """The same as :meth:`forward`, each patch cut out: to be read, and to hold the dense form to."""
        rows = []
        for i in range(0, x.shape[2] - self.patch + 1, stride):
            row = [self._one(x[:, :, i : i + self.patch, j : j + self.patch]) for j in range(0, x.shape[3] - self.patch + 1, stride)]
            rows.append(torch.cat(row, dim=3))
        return torch.cat(rows, dim=2)

    def _one(self, patches: Tensor) -> Tensor:
        """[N, 3, p, p] -> [N, d, 1, 1], the network as it is drawn in the paper."""
        convolutions = iter(self.convolutions)
        for layer in LAYERS[self.patch][:-1]:
            patches = F.leaky_relu(next(convolutions)(patches), SLOPE) if layer else F.max_pool2d(patches, 2)
        return next(convolutions)(patches)
