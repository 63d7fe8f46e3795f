"""Trainings of the methods that the paper compares DFR with (IV-B): fitted to a category as any detector is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...data import load_category
from .images import showcase
from .thresholds import judged

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Fit, map the test images, and tell what the edition has made smaller than the method's own paper has it."""
    for record in wanted:
        category = load_category(lab.root, record.about["category"])
        detector = lab.detector(record.about["seed"])
        train_images = category.load_train(detector.settings.image_size)
        test_images, masks = category.load_test(detector.settings.image_size)
        checkpoint = lab.results / "checkpoints" / f"{record.key}.safetensors"
        started = time.perf_counter()
        detector.fit(train_images, checkpoint=checkpoint if lab.edition.name == "paper" else None)
        fitted = time.perf_counter()
        maps = torch.cat([detector.anomaly_tensor(batch) for batch in test_images.split(8)])
        mapped = time.perf_counter()
        more = {
            "smaller": lab.smaller(),
            **judged(detector, maps, masks, category, len(train_images)),
            "data_fingerprint": detector.data_fingerprint_,
            "weights_fingerprint": detector.weights_fingerprint_,
            "seconds": {"fit": round(fitted - started, 3), "evaluate": round(mapped - fitted, 3)},
        }
        shown = showcase(category)
        yield record, more, {"maps": maps[shown].cpu().numpy(), "loss_curve": detector.loss_curve_}
        checkpoint.unlink(missing_ok=True)  # not before the record is on the disk
