"""The test images that figures show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...data import Category, load_category

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Images uint8 [N, h, w, 3] and masks bool [N, h, w] of a category's showcase."""
    for record in wanted:
        category = load_category(lab.root, record.about["category"])
        images, masks = category.load_test(lab.settings.image_size)
        shown = showcase(category)
        arrays = {"images": images[shown].permute(0, 2, 3, 1).numpy(), "masks": masks[shown].numpy()}
        yield record, {"defects": [category.test[k].defect for k in shown]}, arrays


def showcase(category: Category) -> list[int]:
    """Which test images a figure may show: the first normal one, and the first of every defect type."""
    first: dict[str, int] = {}
    for k, sample in enumerate(category.test):
        first.setdefault(sample.defect, k)
    return [first[d] for d in sorted(first, key=lambda d: (d != "good", d))]
