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
