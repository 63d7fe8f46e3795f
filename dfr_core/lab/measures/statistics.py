"""How many images, kinds of defect and regions the data set has (Table VII)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...data import statistics

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """A row for each category."""
    for record in wanted:
        yield record, {"rows": [row._asdict() for row in statistics(lab.root)]}, {}
