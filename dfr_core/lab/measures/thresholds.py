"""What a record says of a fitted detector's thresholds (III-D)."""

from __future__ import annotations

from typing import Any

import torch

from ...data import GOOD, Category
from ...methods.base import Detector

FPRS = ("0", "0.005")


def thresholds(detector: Detector, maps: torch.Tensor, category: Category) -> dict[str, Any]:
    """The thresholds, and which share of the normal test images' pixels, which training has not seen, lies above them.

    Args:
        maps: of the test images, [M, h, w].
    """
    limits = {fpr: detector.threshold(float(fpr)) for fpr in FPRS}
    normal = maps[[k for k, sample in enumerate(category.test) if sample.defect == GOOD]]
    rates = {fpr: float((normal > limit).float().mean()) for fpr, limit in limits.items() if len(normal)}
    return {"thresholds": limits, "normal_fpr": rates}
