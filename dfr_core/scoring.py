"""Scoring and segmentation (Section III-D, Eq. 5)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import DFRError
from .methods.cae import CAE
from .regional import RegionalFeatures, sum_expanded

#: Positions scored at once on CPU: few enough that what passes between the layers stays in the cache.
STRIP = 1024


def residual(f: Tensor, reconstruction: Tensor, score: str = "l2") -> Tensor:
    """Eq. 5 to the letter: the error of each regional feature.

    Args:
        f, reconstruction: [..., c_o].
        score: ``"l2"``: ||f - f-hat||_2; ``"squared"``: the mean squared error over channels (public code).

    Returns:
        [...].
    """
    difference = f - reconstruction
    return difference.square().mean(-1) if score == "squared" else torch.linalg.vector_norm(difference, dim=-1)


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
    widths = [m.data.shape[-1] for m in features.maps.values()]
    first = first_weight.split(widths, dim=1)
    last = list(zip(last_weight.split(widths), last_bias.split(widths), strict=True))
    layouts = [m.layout() for m in features.maps.values()]
    h_o, w_o = features.shape
    band = max(1, (strip or STRIP) // w_o) if strip or not first_weight.is_cuda else h_o
    scores = torch.empty((len(features), h_o, w_o), device=first_weight.device)
    for n in range(len(features)):
        image = list(features.take(slice(n, n + 1)).to(first_weight.dtype).maps.values())
        for top in range(0, h_o, band):
            maps = image if band >= h_o else [m.crop(top, min(top + band, h_o)) for m in image]
            parts = (F.linear(m.data, weight) for m, weight in zip(maps, first, strict=True))
            hidden = sum_expanded(maps, parts, layouts).add_(first_bias).relu_()
            for number, (weight, bias) in enumerate(middle, start=2):
                hidden = F.linear(hidden, weight, bias)
                hidden = hidden if number == 3 else hidden.relu_()
            error = 0
            for m, (weight, bias) in zip(maps, last, strict=True):
                error = error + F.linear(hidden, weight, bias).sub_(m.expand()).square_().sum(-1)
            scores[n, top : top + band] = error[0]
    return scores / cae.c_o if score == "squared" else scores.sqrt_()


def upsample(scores: Tensor, image_size: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    """A(x) [N, h_o, w_o] -> pixel-wise anomaly map [N, h, w] (III-D)."""
    aligned = interpolation == "bilinear-aligned"
    return F.interpolate(scores[:, None], size=image_size, mode="bilinear", align_corners=aligned)[:, 0]


def threshold(scores: Tensor, fpr: float) -> float:
    """The segmentation threshold T for an acceptable false positive rate on normal images (III-D).

    The smallest score T such that at most a share ``fpr`` of the normal pixels scores above T; exact,
    over all pixels. For ``fpr=0`` that is the largest normal score.

    Args:
        scores: anomaly maps of normal images, any shape.
        fpr: in [0, 1).

    Raises:
        DFRError: ``fpr`` outside [0, 1), no scores, or NaN among them.
    """
    allowed = allowed_pixels(scores.numel(), fpr)
    if torch.isnan(scores).any():
        raise DFRError("scores: NaN among the normal scores; look at the training images and the loss curve")
    return float(scores.flatten().topk(allowed + 1).values[-1])


def allowed_pixels(n: int, fpr: float) -> int:
    """How many of ``n`` normal pixels may score above the threshold.

    Raises:
        DFRError: ``fpr`` outside [0, 1), or no pixels.
    """
    if not 0 <= fpr < 1:
        raise DFRError(f"fpr: {fpr} is not in [0, 1); the paper uses 0 and 0.005")
    if n == 0:
        raise DFRError("scores: there are no normal pixels to take a threshold from")
    # A share such as 0.005 is not a binary fraction; without the nudge 0.005 * 1000 may floor to 4.
    return min(n - 1, math.floor(n * fpr * (1 + 1e-12)))


def segment(maps: Tensor, limit: float) -> Tensor:
    """Binary segmentation: True where the anomaly map exceeds the threshold (III-D)."""
    return maps > limit


def image_score(maps: Tensor) -> Tensor:
    """One score an image: the largest of its anomaly map, [N, h, w] -> [N]."""
    return maps.flatten(1).amax(1)
