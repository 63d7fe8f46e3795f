"""What a data set holds, counted as in Table VII."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scipy import ndimage

from .category import Category, Sample
from .decode import PathLike
from .folders import all_categories, find_files, is_category
from .images import in_threads
from .masks import EIGHT_CONNECTED, look_at_mask
from .notes import Note, tell
from .photographs import find_photographs, is_photographs


class Statistics(NamedTuple):
    """One row of Table VII."""

    category: str
    n_train: int
    n_test: int
    n_defect_types: int
    n_regions: int


@dataclass(frozen=True)
class Survey:
    """What was read of a category, and what was not.

    Attributes:
        row: its row of Table VII.
        n_masks: how many masks it has.
        n_marked: how many pixels they mark as defect.
        n_without_mask: defective or unknown test images that have none.
        levels: every level, label or index in the masks, and in how many of them it is.
        notes: about masks, and what lies there and is not used.
    """

    row: Statistics
    n_masks: int
    n_marked: int
    n_without_mask: int
    levels: dict[float, int]
    notes: tuple[Note, ...]


def _count(sample: Sample) -> tuple[int, int, tuple[float, ...], list[Note]]:
    """Of a sample's mask: 8-connected regions (as PRO counts them, IV-A5), marked pixels, levels, and what there is to say about it."""
    mask = look_at_mask(sample.mask)
    regions = int(ndimage.label(mask.marked, EIGHT_CONNECTED)[1])
    return regions, int(mask.marked.sum()), mask.levels, [Note(sample.mask, why) for why in mask.notes]


def survey_category(category: Category) -> Survey:
    """Read all masks of a category and count.

    Raises:
        DFRError: a mask cannot be read.
    """
    counted = list(in_threads(_count, [sample for sample in category.test if sample.mask is not None]))
    regions = sum(one[0] for one in counted)
    row = Statistics(category.name, len(category.train), len(category.test), len(category.defects), regions)
    levels = Counter(level for one in counted for level in one[2])
    notes = (*category.passed, *(note for one in counted for note in one[3]))
    marked = sum(one[1] for one in counted)
    return Survey(row, len(counted), marked, len(category.without_mask), dict(sorted(levels.items())), notes)


def survey(root: PathLike, categories: Sequence[str] | None = None) -> list[Survey]:
    """Count images, kinds of defect and anomalous regions as in Table VII, and say what was read.

    Args:
        root: a folder in MVTec AD's layout, one category's own, or one of photographs.
        categories: which, in this order; None takes all there are, in the paper's order.

    Raises:
        DFRError: a category is missing or faulty, see :func:`load_category`.
    """
    root = Path(root)
    if categories is None and root.is_dir():
        if is_category(root):
            return [survey_category(find_files(root))]
        if is_photographs(root):
            return [survey_category(find_photographs(root))]
    return [survey_category(find_files(root, name)) for name in (all_categories(root) if categories is None else categories)]


def statistics(root: PathLike, categories: Sequence[str] | None = None) -> list[Statistics]:
    """The rows of :func:`survey`; ``n_test`` counts good and defective images, as the paper's does. What is not used is told."""
    surveys = survey(root, categories)
    for one in surveys:
        tell(one.notes)
    return [one.row for one in surveys]
