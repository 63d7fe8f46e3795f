"""DFR on one page, as the paper writes it (arXiv 2012.07122, Section III and Appendix B): slow, large, nothing hidden.

The rest of the package computes the same with less time and memory; the tests hold it to this page. N images of h x w pixels,
phi_l of c_l channels, regional features of c_o channels on a grid of h_o x w_o, a latent code of c_d channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def hierarchical_features(vgg: nn.Sequential, x: Tensor, last: int = 12) -> list[Tensor]:
    """III-A: phi_1(x) ... phi_L(x), what the ReLU after each convolution of a frozen network gives; x is [N, 3, h, w]."""
    maps: list[Tensor] = []
    with torch.no_grad():
        for module in vgg:  # convolution, ReLU, now and then a pooling
            x = module(x)
            if isinstance(module, nn.ReLU):
                maps.append(x.clone())  # phi_l: [N, c_l, h_l, w_l]
    return maps[:last]


def regional_features(maps: Sequence[Tensor], size: tuple[int, int], kernel: int = 4, stride: int = 4, **resize: object) -> Tensor:
    """III-B: f(x); ``resize`` replaces the paper's nearest neighbour by other arguments of torch's ``interpolate``."""
    aligned = [F.interpolate(phi, size, **(resize or {"mode": "nearest"})) for phi in maps]  # Eq. 1: [N, c_l, h, w]
    aggregated = [F.avg_pool2d(phi, kernel, stride) for phi in aligned]  # Eq. 2: [N, c_l, h_o, w_o]
    return torch.cat(aggregated, dim=1)  # Eq. 3: [N, c_o, h_o, w_o]


def latent_dimension(f: Tensor, variance: float = 0.9) -> int:
    """Appendix B: c_d, the number of principal components of the features [N, c_o, h_o, w_o] that keep 90 % of the variance."""
    samples = f.movedim(1, -1).flatten(0, -2).double()  # [N h_o w_o, c_o]
    share = torch.linalg.svdvals(samples - samples.mean(0)).square().cumsum(0)  # [c_o]
    return int((share / share[-1] < variance).sum()) + 1


def autoencoder(c_o: int, c_d: int) -> nn.Sequential:
    """Table VIII: six 1 x 1 convolutions, a ReLU after all but the third and the sixth."""
    wide = (c_o + c_d) // 2
    return nn.Sequential(
        nn.Conv2d(c_o, wide, 1), nn.ReLU(),
        nn.Conv2d(wide, 2 * c_d, 1), nn.ReLU(),
        nn.Conv2d(2 * c_d, c_d, 1),  # the latent code: [N, c_d, h_o, w_o]
        nn.Conv2d(c_d, 2 * c_d, 1), nn.ReLU(),
        nn.Conv2d(2 * c_d, wide, 1), nn.ReLU(),
        nn.Conv2d(wide, c_o, 1),
    )  # fmt: skip


def error(f: Tensor, reconstruction: Tensor) -> Tensor:
    """Eq. 5: A(x) = ||f - f-hat||_2 at every place, [N, c_o, h_o, w_o] -> [N, h_o, w_o]; its mean is the loss, Eq. 4."""
    return (f - reconstruction).square().sum(dim=1).sqrt()


def train(cae: nn.Sequential, f: Tensor, batches: Iterable[Tensor], learning_rate: float = 1e-4) -> list[float]:
    """III-C, IV-A4: Adam on batches (image numbers, four in the paper) of normal features; returns the losses."""
    adam = torch.optim.Adam(cae.parameters(), lr=learning_rate)
    losses = []
    for images in batches:
        loss = error(f[images], cae(f[images])).mean()  # Eq. 4
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


def anomaly_map(cae: nn.Sequential, f: Tensor, size: tuple[int, int]) -> Tensor:
    """III-D: A(x) of Eq. 5, enlarged bilinearly to the image: [N, h, w]."""
    with torch.no_grad():
        return F.interpolate(error(f, cae(f))[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def threshold(normal: Tensor, fpr: float = 0.005) -> float:
    """III-D: T such that a share ``fpr`` of the pixels of the normal anomaly maps lies above it."""
    falling = normal.flatten().sort(descending=True).values
    return falling[int(fpr * len(falling))].item()


def dfr(vgg: nn.Sequential, normal: Tensor, test: Tensor, fpr: float = 0.005, epochs: int = 700) -> tuple[Tensor, Tensor]:
    """The whole method: normal and test images [N, 3, h, w], as the network wants them -> anomaly maps and segmentations [N, h, w]."""
    size = tuple(normal.shape[-2:])
    f = regional_features(hierarchical_features(vgg, normal), size)
    cae = autoencoder(f.shape[1], latent_dimension(f))
    train(cae, f, (batch for _ in range(epochs) for batch in torch.randperm(len(f)).split(4)))
    limit = threshold(anomaly_map(cae, f, size), fpr)
    maps = anomaly_map(cae, regional_features(hierarchical_features(vgg, test), size), size)
    return maps, maps > limit
