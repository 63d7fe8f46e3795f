"""The paper's reconstructor: the autoencoder on all channels of the regional features (Section III-C).

:func:`regional_scores` gives Eq. 5 without ever writing f(x) or its reconstruction out.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor

from ..extract import FeaturesOfImages
from ..regional import RegionalFeatures, sum_expanded
from ..settings import Settings
from .cae import CAE, WITHOUT_RELU
from .train import reconstruction_loss

#: Positions scored at once on CPU: few enough that what passes between the layers stays in the cache.
STRIP = 2048


class Whole(CAE):
    """The CAE of Table VIII as a :class:`~dfr_core.methods.reconstructors.Reconstructor`.

    Args:
        c_o: channels of a regional feature.
        c_d: latent dimension.
        settings: hidden widths, batch normalisation and seed are read from it.
    """

    def __init__(self, c_o: int, c_d: int, settings: Settings) -> None:
        super().__init__(c_o, c_d, settings.hidden, settings.batch_norm, settings.seed)

    @classmethod
    def from_samples(cls, samples: Tensor, c_d: int, settings: Settings) -> Whole:
        """Untrained, its first weights set as the settings say from regional features [n, c_o], on their device."""
        self = cls(samples.shape[1], c_d, settings).to(samples.device)
        self.initialise(settings.initialisation, samples, loss=settings.loss)
        return self

    @classmethod
    def from_state(cls, state: dict[str, Tensor], c_o: int, c_d: int, settings: Settings) -> Whole:
        """As it was saved.

        Raises:
            RuntimeError: the tensors are not those of such a network.
        """
        self = cls(c_o, c_d, settings)
        self.load_state_dict(state)
        return self

    def training_source(self, source: FeaturesOfImages) -> FeaturesOfImages:
        """It trains on the features as they are."""
        return source

    def loss(self, rows: Tensor, kind: str) -> Tensor:
        """Eq. 4 of features [M, c_o], a scalar."""
        return reconstruction_loss(rows, self(rows), kind)

    def solve(self, samples: Tensor, kind: str) -> None:
        """Set the last layer to its optimum on regional features [n, c_o]."""
        self.solve_last_layer(samples, loss=kind)

    def compact(self, features: RegionalFeatures) -> RegionalFeatures:
        """It reads the features as they are."""
        return features

    def errors(self, compact: RegionalFeatures, kind: str) -> Tensor:
        """Eq. 5: [N, h_o, w_o]."""
        return regional_scores(self, compact, kind)


def regional_scores(cae: CAE, features: RegionalFeatures, score: str = "l2", strip: int | None = None) -> Tensor:
    """Eq. 5 for whole images, without writing f(x) or its reconstruction out.

    Equal to ``residual(f, cae(f))``. The first layer is linear, so each map goes through its part of it at
    its own resolution before being repeated; the error is summed map by map, strip by strip.

    Args:
        cae: in evaluation mode.
        features: of N images.
        strip: positions at once; None: :data:`STRIP` on CPU, an image on CUDA.

    Returns:
        Anomaly maps at the features' resolution, A(x): [N, h_o, w_o].
    """
    (first_weight, first_bias), *middle, (last_weight, last_bias) = cae.linear_layers()
    h_o, w_o = features.shape
    band = max(1, (strip or STRIP) // w_o) if strip or not first_weight.is_cuda else h_o
    scores = torch.empty((len(features), h_o, w_o), device=first_weight.device)
    for n in range(len(features)):
        image = features.take(slice(n, n + 1)).to(first_weight.dtype).joined()
        widths = [m.data.shape[-1] for m in image]
        first = list(zip_longest(first_weight.split(widths, dim=1), [first_bias]))  # the bias once, with the first map
        last = list(zip(last_weight.split(widths), last_bias.split(widths), strict=True))
        for top in range(0, h_o, band):
            maps = image if band >= h_o else [m.crop(top, min(top + band, h_o)) for m in image]
            hidden = sum_expanded(maps, (pointwise(m.data, *layer) for m, layer in zip(maps, first, strict=True)))
            hidden = through(hidden.relu_(), middle, first=2)
            error = 0
            for m, (weight, bias) in zip(maps, last, strict=True):
                error = error + m.add_to(pointwise(hidden, weight, bias), m.data, -1).square_().sum(-1)
            scores[n, top : top + band] = error[0]
    return scores / cae.c_o if score == "squared" else scores.sqrt_()


def through(x: Tensor, layers: Iterable[tuple[Tensor, Tensor]], first: int = 1) -> Tensor:
    """Consecutive layers (weight, bias) of Table VIII, the ``first`` and those after it, of maps x [N, h, w, c]."""
    for number, (weight, bias) in enumerate(layers, start=first):
        x = pointwise(x, weight, bias)
        x = x if number in WITHOUT_RELU else x.relu_()
    return x


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear`` of maps x [N, h, w, c]. On CPU as the 1 x 1 convolution that it is.

    PyTorch gives convolutions to oneDNN, whose kernels use all of AVX-512 on any processor, but products to MKL, which does so on
    Intel's only: with two threads on AMD's they take 2.4 times as long. (With one thread PyTorch keeps batches below 16 from oneDNN;
    rows of positions as the batch get there.)
    """
    if x.is_cuda:
        return F.linear(x, weight, bias)
    rows = x.flatten(0, 1)[:, None].permute(0, 3, 1, 2)  # [N h, c, 1, w], channels innermost
    return F.conv2d(rows, weight[:, :, None, None], bias).permute(0, 2, 3, 1).view(*x.shape[:-1], -1)
