"""Reading records: which numbers there are, paired over seeds and categories, and the stamp that says whose they are.

Figures, tables and claims all take their numbers from here, so that a mean is the same mean everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..paper_numbers import CATEGORIES, OBJECTS, TEXTURES
from ..records import Records

if TYPE_CHECKING:
    from ..records import Record

GROUPS: dict[str, tuple[str, ...]] = {"textures": TEXTURES, "objects": OBJECTS, "all": CATEGORIES}
METRICS = {"roc_auc": "ROC-AUC", "pro_auc": "PRO-AUC"}
Setting = tuple[str, str]  # layers, padding


class Indexed(Records):
    """Records sorted into boxes by kind and category, so that asking hundreds of times is quick."""

    def __init__(self, records: Iterable[Record]) -> None:
        super().__init__(records)
        self._boxes: dict[tuple[Any, Any], Records] = {}
        for record in self:
            kind, category = record.about.get("kind"), record.about.get("category")
            for key in {(kind, category), (kind, None)}:
                self._boxes.setdefault(key, Records()).append(record)

    def where(self, **about: Any) -> Records:
        """As for :class:`dfr_core.records.Records`."""
        if about.get("kind") is None:
            return super().where(**about)
        return self._boxes.get((about["kind"], about.get("category")), Records()).where(**about)


class Missing(Exception):
    """An item cannot be made, because the records it needs are not there; the message says which."""


@dataclass(frozen=True)
class Spread:
    """A mean over seeds.

    Attributes:
        mean: over the seeds.
        sd: standard deviation over the seeds (n - 1); None for one seed.
        seeds: how many.
    """

    mean: float
    sd: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        array = np.asarray(list(values), dtype=float)
        return cls(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


@dataclass(frozen=True)
class Cube:
    """Metrics of every combination of seeds, categories and settings that is complete.

    Attributes:
        values: float [seeds, categories, settings].
        seeds, categories: the labels of the first two axes.
    """

    values: np.ndarray
    seeds: tuple[int, ...]
    categories: tuple[str, ...]


def by_seed(records: Records, metric: str, category: str, layers: str, padding: str) -> dict[int, float]:
    """seed -> metric of one category and setting, by rising seed."""
    found = {
        record.about["seed"]: record.about["metrics"][metric]
        for record in records.where(kind="training", category=category, layers=layers, padding=padding)
        if record.about["metrics"].get(metric) is not None
    }
    return dict(sorted(found.items()))


def cube(records: Records, metric: str, settings: Sequence[Setting], categories: Sequence[str]) -> Cube:
    """All that is paired: the categories that have every setting, and the seeds that all of these share.

    Raises:
        Missing: nothing is complete.
    """
    numbers = {c: [by_seed(records, metric, c, *setting) for setting in settings] for c in categories}
    shared = {c: set.intersection(*(set(values) for values in sets)) for c, sets in numbers.items()}
    complete = tuple(c for c in categories if shared[c])
    seeds = tuple(sorted(set.intersection(*(shared[c] for c in complete)))) if complete else ()
    if not seeds:
        names = ", ".join(f"{layers} ({padding})" for layers, padding in settings)
        raise Missing(f"training records of the layer sets {names}")
    values = np.array([[[numbers[c][k][s] for k in range(len(settings))] for c in complete] for s in seeds])
    return Cube(values, seeds, complete)


def training(records: Records, settings: Sequence[Setting], categories: Sequence[str] = CATEGORIES) -> list[Record]:
    """The training records of some settings and categories, in a fixed order."""
    return [
        record
        for category in categories
        for layers, padding in settings
        for record in sorted(
            records.where(kind="training", category=category, layers=layers, padding=padding), key=lambda r: r.about["seed"]
        )
    ]


def first(records: Records, **where: object) -> Record | None:
    """The matching record with the lowest seed (pictures are drawn from one seed), or None."""
    found = records.where(**where)
    return min(found, key=lambda record: record.about.get("seed") or 0) if found else None


def synthetic(records: Iterable[Record]) -> bool:
    """Whether any of the records comes from synthetic data."""
    return any("synthetic" in str(record.about.get("data", "")).lower() for record in records)


def stamp(used: Iterable[Record]) -> str:
    """One line: edition, data, network, seeds, date of the records something was made of."""
    used = list(used)
    if not used:
        raise Missing("records")
    parts = [
        " + ".join(f"{value} edition" for value in _distinct(used, "edition")),
        " + ".join(_distinct(used, "data")),
        " + ".join(_distinct(used, "network")),
    ]
    seeds = sorted({record.about["seed"] for record in used if record.about.get("seed") is not None})
    if seeds:
        parts.append(f"seed{'s' if len(seeds) > 1 else ''} {_ranges(seeds)}")
    days = sorted({str(record.about["created"])[:10] for record in used if record.about.get("created")})
    if days:
        parts.append(f"records of {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else ""))
    return " · ".join(part for part in parts if part)


def incomplete(present: Sequence[str], wanted: Sequence[str] = CATEGORIES) -> str:
    """A remark when categories are missing, else an empty text."""
    return "" if len(present) == len(wanted) else f"{len(present)} of {len(wanted)} categories: {', '.join(map(nice, present))}"


def nice(category: str) -> str:
    """A category's name for people: ``metal_nut`` -> ``metal nut``."""
    return category.replace("_", " ")


def scale_set(layers: str) -> str:
    """A layer set as the paper writes it: ``1:12`` -> ``{1:12}``."""
    return "{" + layers + "}"


def _distinct(used: list[Record], name: str) -> list[str]:
    return list(dict.fromkeys(str(record.about[name]) for record in used if record.about.get(name)))


def _ranges(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
