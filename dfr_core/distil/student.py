"""The slim VGG19 while it learns: batch normalisation beside each convolution, folded in at the end.

Sixteen narrow layers without normalisation hardly train. Batch normalisation is affine once training is over, so it folds into the
convolution before it, and what is left is a plain VGG19 of torchvision's layout.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ..backbones.architecture import architecture
from ..backbones.vgg import VGG
from ..regional import Generator


class Student(nn.Module):
    """A trainable slim VGG19 and, for each layer, the linear map from its channels to the teacher's components.

    Args:
        width: scale of VGG19's channels.
        components: for each of the layers to train, 1..L, the number of components to predict.
        seed: of the first weights.
    """

    def __init__(self, width: float, components: dict[int, int], seed: int) -> None:
        super().__init__()
        self.width, self.last = width, max(components)
        sizes = architecture("vgg19").channels(width)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, too
            self.network = VGG(architecture("vgg19"), width, "zeros", self.last)
            self.convolutions = [m for m in self.network.stack if isinstance(m, nn.Conv2d)]
            for convolution in self.convolutions:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                nn.init.zeros_(convolution.bias)
                convolution.weight.requires_grad_(True)  # a bias would do nothing before a normalisation
            # Heads of zero start at the targets' mean, where the loss is one.
            self.heads = nn.ModuleDict({str(layer): nn.Linear(sizes[layer - 1], k) for layer, k in components.items()})
        for head in self.heads.values():
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in sizes[: self.last])
        self.generator = Generator()
        self.to(memory_format=torch.channels_last)

    def maps(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """uint8 images [N, 3, H, W] -> ``(l, phi_l)``, with gradients."""
        x = self.network.normalise(images).contiguous(memory_format=torch.channels_last)
        layer = 0
        for module in self.network.stack:
            if isinstance(module, nn.Conv2d):
                x = F.relu(self.norms[layer](F.conv2d(x, module.weight, padding=1)))
                layer += 1
                yield layer, x
            elif isinstance(module, nn.MaxPool2d):
                x = module(x)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """uint8 images [N, 3, H, W] -> for each layer its features at DFR's positions [N, h', w', c_l], float32."""
        size = tuple(images.shape[-2:])
        return {layer: self.generator.aggregate(phi, size).data.float() for layer, phi in self.maps(images)}

    def predicted(self, layer: int, features: Tensor) -> Tensor:
        """The components [..., K] that a layer's head predicts from its features [..., c_l]."""
        return self.heads[str(layer)](features)

    def settle(self, batches: Iterator[Tensor]) -> None:
        """Take the normalisations' means and variances from these images, the weights as they are; ends in evaluation mode.

        Args:
            batches: uint8 images [N, 3, H, W], of the size trained on.
        """
        update_bn(batches, self)  # an equal average over all batches
        self.eval()

    @torch.no_grad()
    def fold(self) -> VGG:
        """The plain network that computes the same maps (in evaluation mode)."""
        plain = VGG(architecture("vgg19"), self.width, "zeros", self.last)
        targets = [m for m in plain.stack if isinstance(m, nn.Conv2d)]
        for target, convolution, norm in zip(targets, self.convolutions, self.norms, strict=True):
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            target.weight.copy_(convolution.weight * scale.view(-1, 1, 1, 1))
            target.bias.copy_(norm.bias - norm.running_mean * scale)
        return plain.to(memory_format=torch.channels_last)


@torch.no_grad()
def spread(network: VGG, batches: Iterator[Tensor]) -> list[Tensor]:
    """The standard deviation of each channel after the mean filter of Eq. 2, for each layer [c_l].

    Args:
        batches: uint8 images [N, 3, H, W], a few at a time.
    """
    generator, sums, n = Generator(), {}, {}
    layers = tuple(range(1, network.last + 1))
    for images in batches:
        for layer, phi in network.feature_maps(images, layers):
            rows = generator.aggregate(phi, tuple(images.shape[-2:])).data.flatten(0, 2).double()
            sums[layer] = sums.get(layer, 0) + torch.stack([rows.sum(0), rows.square().sum(0)])
            n[layer] = n.get(layer, 0) + len(rows)
    means = {layer: total / n[layer] for layer, total in sums.items()}
    return [(square - mean.square()).clamp(min=0).sqrt().float() for mean, square in means.values()]


@torch.no_grad()
def rescale(network: VGG, factors: list[Tensor]) -> None:
    """Multiply each channel by a positive factor, in place, and let the next layer undo it.

    ReLU, max pooling and convolution are positively homogeneous, so scaling a channel's weights and bias scales its map, and dividing
    the next convolution's weights for that channel leaves everything behind it as it was.

    Args:
        factors: for each layer [c_l], all positive.
    """
    convolutions = [m for m in network.stack if isinstance(m, nn.Conv2d)]
    before = None
    for convolution, factor in zip(convolutions, factors, strict=True):
        if before is not None:
            convolution.weight /= before.view(1, -1, 1, 1)
        convolution.weight *= factor.view(-1, 1, 1, 1)
        convolution.bias *= factor
        before = factor


def equalise(network: VGG, batches: Iterator[Tensor]) -> int:
    """Give all channels of a layer the same spread over some images, and all layers the same total variance, one; in place.

    Then no channel and no layer drowns the others in Eq. 4 and 5.

    Returns:
        How many channels hardly vary (dead ones); they are left as they are.
    """
    spreads = spread(network, batches)
    dead = [s < 1e-3 * s.median() for s in spreads]
    rescale(network, [torch.where(d, 1.0, len(s) ** -0.5 / s.clamp(min=1e-12)) for s, d in zip(spreads, dead, strict=True)])
    return int(sum(d.sum() for d in dead))
