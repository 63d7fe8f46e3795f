"""DFR on one page, as the paper writes it (arXiv 2012.07122, Sections III and IV-A, Appendix B): slow, large, nothing hidden.

The rest of the package computes the same with less time and memory; the tests hold it to this page. N images of h x w pixels;
phi_l, the map of layer l = 1..L, of c_l channels and h_l x w_l; regional features of c_o = c_1 + ... + c_L channels on a grid of
h_o x w_o; a latent code of c_d channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def hierarchical_features(vgg: nn.Sequential, x: Tensor, L: int = 12) -> list[Tensor]:
    """III-A: phi_1(x) ... phi_L(x), the ReLU outputs (IV-A3) of a network such as torchvision's ``vgg19().features``; x [N, 3, h, w].

    L is 12 for f_{1:12} and 16 for f_{1:16} (IV-B); the network is frozen (IV-A4).
    """
    maps: list[Tensor] = []
    with torch.no_grad():
        for module in vgg:  # convolution, ReLU, now and then a pooling
            x = module(x)
            if isinstance(module, nn.ReLU):
                maps.append(x)  # phi_l: [N, c_l, h_l, w_l]
    return maps[:L]


def regional_features(maps: Sequence[Tensor], size: tuple[int, int], kernel: int = 4, stride: int = 4, **resize: object) -> Tensor:
    """III-B: f(x) from the maps phi_l; ``resize`` replaces nearest neighbour (IV-A3) by other arguments of torch's ``interpolate``."""
    aligned = [F.interpolate(phi, size, **(resize or {"mode": "nearest"})) for phi in maps]  # Eq. 1: [N, c_l, h, w]
    aggregated = [F.avg_pool2d(phi, kernel, stride) for phi in aligned]  # Eq. 2: [N, c_l, h_o, w_o]
    return torch.cat(aggregated, dim=1)  # Eq. 3: [N, c_o, h_o, w_o]


def latent_dimension(f: Tensor, variance: float = 0.9) -> int:
    """Appendix B: c_d, the fewest principal components of features [N, c_o, h_o, w_o] that keep this share of their variance.

    Of all features here; the paper takes a random subset.
    """
    samples = f.movedim(1, -1).flatten(0, -2).double()  # [N h_o w_o, c_o]
    kept = torch.linalg.svdvals(samples - samples.mean(0)).square().cumsum(0)  # [min(N h_o w_o, c_o)]
    return int((kept / kept[-1] < variance).sum()) + 1


def autoencoder(c_o: int, c_d: int) -> nn.Sequential:
    """Table VIII: six 1 x 1 convolutions, a ReLU after all but the third and the sixth; [N, c_o, h_o, w_o] in and out."""
    wide = (c_o + c_d) // 2  # the table says (c_o + c_d)/2, which need not be whole
    return nn.Sequential(
        nn.Conv2d(c_o, wide, 1), nn.ReLU(),
        nn.Conv2d(wide, 2 * c_d, 1), nn.ReLU(),
        nn.Conv2d(2 * c_d, c_d, 1),  # the latent code: [N, c_d, h_o, w_o]
        nn.Conv2d(c_d, 2 * c_d, 1), nn.ReLU(),
        nn.Conv2d(2 * c_d, wide, 1), nn.ReLU(),
        nn.Conv2d(wide, c_o, 1),
    )  # fmt: skip


def error(f: Tensor, f_hat: Tensor) -> Tensor:
    """Eq. 5: the regional anomaly map A(x) = ||f - f-hat||_2, [N, c_o, h_o, w_o] twice -> [N, h_o, w_o]."""
    return (f - f_hat).square().sum(dim=1).sqrt()


def train(cae: nn.Sequential, f: Tensor, batches: Iterable[Tensor], learning_rate: float = 1e-4) -> list[float]:
    """III-C, IV-A4: Adam trains ``cae`` on normal features f [N, c_o, h_o, w_o]; ``batches`` are image numbers, four each in the paper.

    Returns the loss of every batch. Eq. 4 prints a sum, III-C calls it averaged; it is the mean here, over places and images.
    """
    adam = torch.optim.Adam(cae.parameters(), lr=learning_rate)
    losses = []
    for batch in batches:
        loss = error(f[batch], cae(f[batch])).mean()  # Eq. 4
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


def anomaly_map(cae: nn.Sequential, f: Tensor, size: tuple[int, int]) -> Tensor:
    """III-D: A(x) enlarged bilinearly to the pixel-wise map of the images (align_corners=False: the paper does not say): [N, h, w]."""
    with torch.no_grad():
        return F.interpolate(error(f, cae(f))[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def threshold(normal_maps: Tensor, fpr: float = 0.005) -> float:
    """III-D: T such that at most a share ``fpr`` < 1 of the pixels of normal anomaly maps [N, h, w] lies above it."""
    falling = normal_maps.flatten().sort(descending=True).values
    return falling[int(fpr * len(falling))].item()


def dfr(vgg: nn.Sequential, normal: Tensor, test: Tensor, fpr: float = 0.005, epochs: int = 700) -> tuple[Tensor, Tensor]:
    """From normal images [N, 3, h, w] and test images [M, 3, h, w], as the network wants them, to maps and segmentations [M, h, w].

    The threshold comes from the images trained on; batches are shuffled in every epoch (IV-A4 does not say).
    """
    size = tuple(normal.shape[-2:])
    f = regional_features(hierarchical_features(vgg, normal), size)
    cae = autoencoder(f.shape[1], latent_dimension(f))
    train(cae, f, (batch for _ in range(epochs) for batch in torch.randperm(len(f)).split(4)))
    T = threshold(anomaly_map(cae, f, size), fpr)
    maps = anomaly_map(cae, regional_features(hierarchical_features(vgg, test), size), size)
    return maps, maps > T
