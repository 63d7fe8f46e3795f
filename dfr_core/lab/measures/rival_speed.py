"""Milliseconds an image of the methods that the paper compares DFR with; DFR's own are in :mod:`.speed`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...data import load_category
from ...device import cores, load_average
from ...methods.measured import seconds_an_image

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Frames a second, uint8 image to full-size map, one image at a time, of a detector fitted to one category.

    A search may end early on a normal image, so the images are defective and normal ones in turn.
    """
    torch.set_num_threads(cores())  # alone on the machine
    for record in wanted:
        category = load_category(lab.root, record.about["category"])
        detector = lab.detector(record.about["seed"]).fit(category)
        images = category.load_test_images(detector.settings.image_size)
        some = images[np.linspace(0, len(images) - 1, 6).astype(int)]
        yield record, {"fps": 1 / seconds_an_image(detector, some), "batch": 1, "load": load_average()}, {}
