"""What the record of any training says of its detector: metrics (IV-A5), and the thresholds (III-D)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from ...data import GOOD, Category
from ...methods.base import Detector
from ...metrics import evaluation

FPRS = ("0", "0.005")


def judged(detector: Detector, maps: torch.Tensor, masks: torch.Tensor, category: Category, n_train: int) -> dict[str, Any]:
    """Settings, metrics and counts; the thresholds, which share of the normal test images' pixels, which training has not seen, lies
    above them, and in how many of the images with a defect some pixel of it does: [touched, all].

    Args:
        maps: of the test images, [M, h, w].
        masks: bool, of the same shape.
        n_train: how many images were trained on.
    """
    masks = masks.to(maps.device)
    result = evaluation(maps, masks)
    limits = {fpr: detector.threshold(float(fpr)) for fpr in FPRS}
    normal = maps[[k for k, sample in enumerate(category.test) if sample.defect == GOOD]]
    rates = {fpr: float((normal > limit).float().mean()) for fpr, limit in limits.items() if len(normal)}
    defective = masks.flatten(1).any(1)
    touched = {fpr: ((maps > limit) & masks).flatten(1).any(1) for fpr, limit in limits.items()}
    return {
        "settings": asdict(detector.settings),
        "metrics": {name: result[name] for name in ("roc_auc", "pro_auc", "image_roc_auc")},
        "counts": result["counts"] | {"train_images": n_train},
        "thresholds": limits,
        "normal_fpr": rates,
        "touched": {fpr: [int(hit.sum()), int(defective.sum())] for fpr, hit in touched.items()},
    }
