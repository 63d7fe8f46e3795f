"""Scoring and segmentation (Section III-D, Eq. 5): what any method does with its scores."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import DFRError, Setting


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


def upsample(scores: Tensor, image_size: tuple[int, int], interpolation: str = "bilinear", kernel: int = 4, stride: int = 4) -> Tensor:
    """A(x) [N, h_o, w_o] -> pixel-wise anomaly map [N, h, w] (III-D), each score drawn where its mean filter lies.

    Filter i covers pixels i * stride to i * stride + kernel; its score stands at the middle, scores in between are interpolated,
    and beyond the outermost the map is flat. Where the filters tile the image, as in the paper, this is torch's ``interpolate``.

    Args:
        scores: one for each regional feature.
        image_size: (h, w) in pixels.
        interpolation: ``"bilinear"``; or ``"bilinear-aligned"``, the public code's: what the tiles of ``stride`` pixels around the
            middles cover is stretched from end to end, by up to half a stride.
        kernel, stride: of the mean filter, in pixels.

    Raises:
        DFRError: there are not as many scores as filters.
    """
    expected = tuple((side - kernel) // stride + 1 for side in image_size)
    if tuple(scores.shape[1:]) != expected:
        found = " x ".join(map(str, scores.shape[1:]))
        size = f"{image_size[0]} x {image_size[1]} pixels, kernel {kernel} and stride {stride}"
        raise DFRError("scores", f"{found} of them, but {size} make {expected[0]} x {expected[1]}")
    aligned = interpolation == "bilinear-aligned"
    if kernel == stride and all(side == n * stride for n, side in zip(expected, image_size, strict=True)):
        return F.interpolate(scores[:, None], size=image_size, mode="bilinear", align_corners=aligned)[:, 0]
    for axis, size in enumerate(image_size, start=1):
        scores = _drawn(scores, axis, size, kernel, stride, aligned)
    return scores


def _drawn(scores: Tensor, axis: int, size: int, kernel: int, stride: int, aligned: bool) -> Tensor:
    """:func:`upsample` along one axis."""
    n = scores.shape[axis]
    pixels = torch.arange(size, dtype=torch.float64)
    if aligned:
        place = (pixels - (kernel - stride) / 2) * (n - 1) / max(n * stride - 1, 1)
    else:
        place = (pixels + 0.5 - kernel / 2) / stride  # of each pixel's middle, counted in filters
    place = place.clamp(0, n - 1)
    below = place.floor().long().clamp(max=max(n - 2, 0))
    share = (place - below).to(scores.device, scores.dtype).view(-1, *[1] * (scores.ndim - 1 - axis))
    below, above = below.to(scores.device), (below + 1).clamp(max=n - 1).to(scores.device)
    return torch.lerp(scores.index_select(axis, below), scores.index_select(axis, above), share)


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
    return float(normal_tail(scores, fpr)[-1])


def normal_tail(scores: Tensor, fpr: float) -> Tensor:
    """The highest normal scores, falling, down to the threshold for ``fpr``, which is the last: [allowed pixels + 1].

    The thresholds for all smaller rates stand in it, each at its :func:`allowed_pixels`. Arguments and errors are those
    of :func:`threshold`.
    """
    allowed = allowed_pixels(scores.numel(), fpr)
    if torch.isnan(scores).any():
        raise DFRError("scores", "NaN among the normal scores", "look at the training images and the loss curve")
    return scores.flatten().topk(allowed + 1).values


def allowed_pixels(n: int, fpr: float) -> int:
    """How many of ``n`` normal pixels may score above the threshold.

    Raises:
        DFRError: ``fpr`` outside [0, 1), or no pixels.
    """
    if not 0 <= fpr < 1:
        raise DFRError(Setting("fpr"), f"{fpr} is not in [0, 1)", "the paper uses 0 and 0.005")
    if n == 0:
        raise DFRError("scores", "there are no normal pixels to take a threshold from")
    # A share such as 0.005 is not a binary fraction; without the nudge 0.005 * 1000 may floor to 4.
    return min(n - 1, math.floor(n * fpr * (1 + 1e-12)))


def segment(maps: Tensor, limit: float) -> Tensor:
    """Binary segmentation: True where the anomaly map exceeds the threshold (III-D)."""
    return maps > limit


def image_score(maps: Tensor) -> Tensor:
    """One score an image: the largest of its anomaly map, [N, h, w] -> [N]."""
    return maps.flatten(1).amax(1)
