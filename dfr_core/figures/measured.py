"""Reading records: which numbers there are, paired over seeds and categories, and the stamp that says whose they are.

Figures, tables and claims all take their numbers from here, so that a mean is the same mean everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DFRError
from ..lab.trial import OWN, Protocol, Setting, Trial
from ..paper_numbers import CATEGORIES, OBJECTS, TEXTURES
from ..records import Record, Records

GROUPS: dict[str, tuple[str, ...]] = {"textures": TEXTURES, "objects": OBJECTS, "all": CATEGORIES}
METRICS = {"roc_auc": "ROC-AUC", "pro_auc": "PRO-AUC"}
#: The setting that the trials of other methods are named with.
RIVAL: Setting = ("1:12", OWN)


class Evidence(Records):
    """The records of one protocol. Each training is found by its :class:`~dfr_core.lab.trial.Trial`, never by less.

    Attributes:
        protocol: whose records they are; of its own trainings beside them there may be those of other methods.
        padding: the run's own, which ``OWN`` stands for.
        trials: every training by its identity.
        seeds: all that there are, sorted.
        methods: the other methods that have trainings, sorted.
        speeds: name of another method -> its record of kind ``rival_speed``.
    """

    def __init__(self, records: Iterable[Record], protocol: Protocol | None = None) -> None:
        """Choose the records of a protocol.

        Raises:
            DFRError: no protocol is given and the records are of several, or two records are of one measurement.
        """
        records = list(records)
        self.protocol = protocol = protocol or _only_protocol(records)
        self.padding = next((record.about["own_padding"] for record in records if "own_padding" in record.about), "zeros")
        self.trials: dict[Trial, Record] = {}
        seen = set()
        for record in records:
            if not _of(record, replace(protocol, method=record.about.get("method", protocol.method))):
                continue
            identity = tuple(record.about.get(name) for name in ("kind", "method", "category", "layers", "padding", "seed"))
            if identity in seen:
                words = ", ".join(str(part) for part in identity if part is not None)
                raise DFRError("records", f"two are of one measurement ({words})", "give the records of one run")
            seen.add(identity)
            if record.about["kind"] == "training":
                self.trials[Trial.read(record.about)] = record
        super().__init__(r for r in records if _of(r, protocol))
        self.seeds = sorted({trial.seed for trial in self.trials})
        self.speeds = {r.about["method"]: r for r in records if r.about["kind"] == "rival_speed"}
        self.methods = sorted({trial.method for trial in self.trials} - {protocol.method})

    def training(self, category: str, layers: str, padding: str, method: str | None = None) -> dict[int, Record]:
        """seed -> training of one category and setting, by rising seed; ``method``: another one than the protocol's."""
        padding = self.padding if padding == OWN else padding
        trials = [self.protocol.trial(category, seed, layers, padding, method) for seed in self.seeds]
        return {trial.seed: self.trials[trial] for trial in trials if trial in self.trials}


def evidence(records: Iterable[Record]) -> Evidence:
    """Records of one protocol, if they are not chosen already.

    Raises:
        DFRError: they are of several.
    """
    return records if isinstance(records, Evidence) else Evidence(records)


def _only_protocol(records: Sequence[Record]) -> Protocol:
    """The protocol of records that were not asked for by it: DFR's, where other methods stand beside it."""
    found = {Protocol.read(r.about) for r in records if r.about["kind"] == "training"}
    found = {p for p in found if p.method == Protocol.method} or found
    if not found:  # no trainings: whatever the others are of
        found = {Protocol.read({"method": Protocol.method} | r.about) for r in records}
    if len(found) > 1:
        raise DFRError("records", f"they are of {len(found)} protocols, {'; '.join(sorted(map(str, found)))}", "say which with protocol=")
    return next(iter(found), Protocol())


def _of(record: Record, protocol: Protocol) -> bool:
    """Whether a record is of a protocol; the data and the network alone are of any method's."""
    return Protocol.read({"method": protocol.method} | record.about) == protocol


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


def by_seed(records: Records, metric: str, category: str, layers: str, padding: str, method: str | None = None) -> dict[int, float]:
    """seed -> metric of one category and setting, by rising seed; ``method``: another one than the protocol's."""
    found = evidence(records).training(category, layers, padding, method)
    metrics = {seed: record.about["metrics"].get(metric) for seed, record in found.items()}
    return {seed: value for seed, value in metrics.items() if value is not None}


def complete(records: Records, metric: str, settings: Sequence[Setting], categories: Sequence[str]) -> Cube | None:
    """All that is paired: the categories that have every setting, and the seeds that all of these share; None if there is nothing."""
    records = evidence(records)
    numbers = {c: [by_seed(records, metric, c, *setting) for setting in settings] for c in categories}
    shared = {c: set.intersection(*(set(values) for values in sets)) for c, sets in numbers.items()}
    present = tuple(c for c in categories if shared[c])
    seeds = tuple(sorted(set.intersection(*(shared[c] for c in present)))) if present else ()
    values = np.array([[[numbers[c][k][s] for k in range(len(settings))] for c in present] for s in seeds])
    return Cube(values, seeds, present) if seeds else None


def cube(records: Records, metric: str, settings: Sequence[Setting], categories: Sequence[str]) -> Cube:
    """As :func:`complete`.

    Raises:
        Missing: nothing is complete.
    """
    if (found := complete(records, metric, settings, categories)) is None:
        raise Missing(f"training records of the layer sets {named(settings)}")
    return found


def training(records: Records, settings: Sequence[Setting], categories: Sequence[str] = CATEGORIES) -> list[Record]:
    """The training records of some settings and categories, in a fixed order."""
    records = evidence(records)
    return [r for category in categories for setting in settings for r in records.training(category, *setting).values()]


def first(records: Records, **where: object) -> Record | None:
    """The matching record with the lowest seed (pictures are drawn from one seed), or None."""
    found = evidence(records).where(**where)
    return min(found, key=lambda record: record.about.get("seed") or 0) if found else None


def only(records: Records, kind: str) -> Record:
    """The record of a kind of which a run has one.

    Raises:
        Missing: it is not there.
    """
    if (record := first(records, kind=kind)) is None:
        raise Missing(f"a {kind} record")
    return record


def timings(records: Records, layers: str) -> list[Record]:
    """The speed records of a layer set; speed is measured with reflection padding, as in Table VI."""
    return evidence(records).where(kind="speed", layers=layers, padding="reflect")


def padding_in_words(records: Records) -> str:
    """The padding of the figures that do not compare paddings: ``zero padding`` or ``reflection padding``."""
    return {"zeros": "zero", "reflect": "reflection"}[evidence(records).padding] + " padding"


def synthetic(records: Iterable[Record]) -> bool:
    """Whether any of the records comes from synthetic data."""
    return any(record.about["synthetic"] for record in records)


def not_comparable(used: Iterable[Record]) -> str:
    """Why a difference to the paper measures nothing about the paper; empty where it does."""
    used = list(used)
    reasons = []
    if synthetic(used):
        reasons.append("the data are synthetic")
    elif not all(r.about["mvtec"] for r in used):
        reasons.append("the data are not MVTec AD")
    if not all(r.about["trained"] for r in used):
        reasons.append("the network was never trained")
    elif any((r.about["backbone"], r.about["weights"], r.about["width"]) != ("vgg19", "imagenet", 1) for r in used):
        reasons.append("the network is not the paper's")
    if not reasons:
        return ""
    because = " and ".join(reasons)
    return (
        f"{because[0].upper()}{because[1:]}, so a difference to the paper says nothing about the paper's numbers. "
        "With MVTec AD and ImageNet weights the same code fills the same table."
    )


def stamp(used: Iterable[Record]) -> str:
    """One line: edition, data, network, seeds, date of the records something was made of."""
    used = list(used)
    if not used:
        raise Missing("records")
    parts = [
        " + ".join(f"{value} edition" for value in dict.fromkeys(map(_edition, used)) if value),
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


def named(settings: Iterable[Setting]) -> str:
    """Settings in words: ``1:12 (zeros)``, and the method where it is not the run's."""
    return ", ".join(f"{layers} ({', '.join(more)})" for layers, *more in settings)


def _edition(record: Record) -> str:
    name, note = record.about.get("edition", ""), record.about.get("note")
    return f"{name} ({note})" if note else name


def _distinct(used: list[Record], name: str) -> list[str]:
    return list(dict.fromkeys(str(record.about[name]) for record in used if record.about.get(name)))


def _ranges(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
