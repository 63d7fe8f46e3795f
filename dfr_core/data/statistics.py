"""What a data set holds, counted as in Table VII."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .decode import PathLike, in_threads, read_mask
from .folders import all_categories, load_category


class Statistics(NamedTuple):
    """One row of Table VII."""

    category: str
    n_train: int
    n_test: int
    n_defect_types: int
    n_regions: int


def count_regions(path: PathLike) -> int:
    """Number of 8-connected regions of a mask at its own size (as PRO counts them, IV-A5)."""
    return int(ndimage.label(read_mask(path), structure=np.ones((3, 3)))[1])


def statistics(root: PathLike, categories: Sequence[str] | None = None) -> list[Statistics]:
    """Count images, kinds of defect and anomalous regions as in Table VII.

    Args:
        root: a folder in MVTec AD's layout.
        categories: which, in this order; None takes all there are, in the paper's order.

    Returns:
        one row a category; ``n_test`` counts good and defective images, as the paper's does.

    Raises:
        DFRError: a category is missing or faulty, see :func:`load_category`.
    """
    rows = []
    for name in all_categories(root) if categories is None else categories:
        category = load_category(root, name)
        regions = sum(in_threads(count_regions, [sample.mask for sample in category.test if sample.mask is not None]))
        rows.append(Statistics(name, len(category.train), len(category.test), len(category.defects), regions))
    return rows
