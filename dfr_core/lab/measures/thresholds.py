"""What a record says of a fitted detector's thresholds (III-D)."""

from __future__ import annotations

from typing import Any

import torch

from ...data import GOOD, Category
from ...methods.base import Detector

FPRS = ("0", "0.005")


def thresholds(detector: Detector, maps: torch.Tensor, masks: torch.Tensor, category: Category) -> dict[str, Any]:
    """The thresholds, which share of the normal test images' pixels, which training has not seen, lies above them, and in how many
    of the images with a defect some pixel of it does: [touched, all].

    Args:
        maps: of the test images, [M, h, w].
        masks: bool, of the same shape.
    """
    limits = {fpr: detector.threshold(float(fpr)) for fpr in FPRS}
    normal = maps[[k for k, sample in enumerate(category.test) if sample.defect == GOOD]]
    rates = {fpr: float((normal > limit).float().mean()) for fpr, limit in limits.items() if len(normal)}
    masks = masks.to(maps.device)
    defective = masks.flatten(1).any(1)
    touched = {fpr: ((maps > limit) & masks).flatten(1).any(1) for fpr, limit in limits.items()}
    counts = {fpr: [int(hit.sum()), int(defective.sum())] for fpr, hit in touched.items()}
    return {"thresholds": limits, "normal_fpr": rates, "touched": counts}
