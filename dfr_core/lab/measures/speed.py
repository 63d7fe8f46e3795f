"""Frames a second (IV-C3, Table VI)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...device import cores, load_average
from ...methods.dfr import DFR
from ...methods.measured import seconds_an_image
from ...methods.whole import Whole
from ...settings import sides

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Frames a second, uint8 image to full-size map, one image at a time.

    The weights do not change the time, so the CAE is a fresh one of the size that the trainings of this
    layer set came to (their median c_d).
    """
    torch.set_num_threads(cores())  # alone on the machine
    for record in wanted:
        sizes = [training.about["c_d"] for training in lab.store.load(record.after)]
        settings = replace(lab.settings, padding=record.about["padding"], layers=record.about["layers"])
        c_o = settings.architecture.feature_dimension(settings.layers, settings.width)
        c_d = int(np.median(sizes)) if sizes else max(1, c_o // 10)
        detector = DFR(settings, device=lab.device, progress=False)
        detector.adopt(Whole(c_o, c_d, settings))
        images = torch.zeros(13, 3, *sides(settings.image_size), dtype=torch.uint8)
        fps = 1 / seconds_an_image(detector, images)
        yield record, {"fps": fps, "batch": 1, "c_o": c_o, "c_d": c_d, "load": load_average(), "seed": settings.seed}, {}
