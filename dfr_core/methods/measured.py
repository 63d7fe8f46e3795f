"""A detector measured on labelled test images (IV-A5): pixel by pixel, or image by image where nobody drew the defects."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..data.arrays import as_labelled
from ..data.category import Category
from ..data.notes import Note, tell
from ..errors import DFRError
from ..metrics import evaluation, image_score, roc_auc

if TYPE_CHECKING:
    from .base import Detector


class Measured(NamedTuple):
    """What was found.

    Attributes:
        metrics: what :func:`dfr_core.metrics.evaluation` gives; without masks, None for what is over pixels and regions.
        maps: anomaly maps, float32 [N, h, w].
        labels: bool [N], True for an anomalous image.
        masks: bool [N, h, w]; None if some defects have none.
        seconds: of the mapping alone.
    """

    metrics: dict[str, Any]
    maps: Tensor
    labels: Tensor
    masks: Tensor | None
    seconds: float

    @property
    def speed(self) -> dict[str, float]:
        """Seconds, and images a second."""
        return {"seconds": round(self.seconds, 4), "fps": round(len(self.maps) / self.seconds, 2)}


def seconds_an_image(detector: Detector, images: Tensor) -> float:
    """Median seconds from an image to its full-size map, uint8 [N, 3, H, W] one by one; the first warms up, and counts only if alone."""
    times = []
    for image in images:
        started = time.perf_counter()
        detector.anomaly_tensor(image[None]).cpu()  # reading the map back waits for the device
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:] or times)


def measured(detector: Detector, data: Any, name: str = "data") -> Measured:
    """Map labelled test images and measure.

    Args:
        data: a Category, or a pair (images, masks). Where it is known which images of a category are good, but some of the others have
            no mask, only images are measured, and that is told.
        name: what to call the data in a message.

    Raises:
        DFRError: not fitted, images or masks that cannot be used, or nothing anomalous.
    """
    size, white = detector.settings.image_size, detector.white_
    if images_only := isinstance(data, Category) and data.knows_images_only:
        why = "has no mask, so only images are measured, no pixels (roc_auc and pro_auc are null)"
        tell(Note(sample.path, why) for sample in data.without_mask)
        images, masks = data.load_test_images(size, white), None
        labels = torch.tensor(data.labels)
    else:
        images, masks = as_labelled(data, size, white)
        labels = masks.flatten(1).any(1)
        if not labels.any():
            raise DFRError(name, "no anomalous pixel in its test images, so there is nothing to measure", "add anomalous test images")
    started = time.perf_counter()
    maps = detector.anomaly_tensor(images)
    if maps.is_cuda:  # the GPU computes on its own; without this only the launching would be timed
        torch.cuda.synchronize(maps.device)
    seconds = time.perf_counter() - started
    labels, masks = labels.to(maps.device), None if masks is None else masks.to(maps.device)
    return Measured(_of_images(maps, labels) if images_only else evaluation(maps, masks), maps, labels, masks, seconds)


def _of_images(maps: Tensor, labels: Tensor) -> dict[str, Any]:
    counts = {"images": len(maps), "anomalous_images": int(labels.sum()), "anomalous_regions": None}
    return {"roc_auc": None, "pro_auc": None, "image_roc_auc": roc_auc(image_score(maps), labels), "counts": counts}
