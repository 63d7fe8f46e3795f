"""Tables II to VI, metrics and speed: what the paper prints, what was measured here, and the difference.

Each is a pure function of records, ``make(records) -> Table``; :mod:`.items` names them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import paper_numbers as paper
from ..lab.trial import OWN, Setting
from ..records import Record, Records
from .measured import (
    GROUPS,
    METRICS,
    RIVAL,
    Evidence,
    Missing,
    Spread,
    by_seed,
    complete,
    evidence,
    named,
    nice,
    padding_in_words,
    stamp,
    timings,
    training,
)
from .table import Table, notes, remarks

#: The layer sets of DFR's two columns (IV-B).
_OURS = ("1:12", "1:16")


def table2(records: Records) -> Table:
    """ROC-AUC for each category."""
    return _comparison(records, "roc_auc")


def table3(records: Records) -> Table:
    """PRO-AUC for each category."""
    return _comparison(records, "pro_auc")


def _comparison(records: Records, metric: str) -> Table:
    records, printed = evidence(records), paper.COMPARISONS[metric]
    number, columns = printed.number, printed.columns
    rivals = [*paper.BASELINES, *(name for name in records.methods if name not in paper.BASELINES)]
    contenders = [_Contender(name, (*RIVAL, name), columns.index(name) if name in columns else None) for name in rivals]
    contenders += [_Contender(f"DFR f{{{layers}}}", (layers, OWN), columns.index(layers)) for layers in _OURS]
    contenders = [c for c in contenders if c.column is not None or c.setting[-1] in records.methods]
    used = training(records, [c.setting for c in contenders])
    if not training(records, [(layers, OWN) for layers in _OURS]):
        raise Missing("training records of 1:12 or 1:16")
    rows, seen = [], [c for c in paper.CATEGORIES if any(_mean(records, metric, c, *x.setting) for x in contenders[-2:])]
    for category in paper.CATEGORIES:
        rows.append([nice(category), *(cell for c in contenders for cell in c.cells(records, metric, category))])
    for group, members in GROUPS.items():
        # The paper prints only the mean of all.
        means = printed.mean if group == "all" else np.mean([printed.rows[c] for c in members], axis=0).tolist()
        rows.append([f"mean, {group}", *(cell for c in contenders for cell in c.group(records, metric, means, members))])
    header = ["category", *(name for c in contenders for name in c.header)]
    digits = {n: 2 for n in header if n.startswith("paper")} | {n: -3 for n in header if n.startswith("difference")}
    below = [*notes(used, seen), *_sources(records, number, metric, contenders), *_rivals_here(records, metric), *remarks(number)]
    together = {c.name: c.header for c in contenders}
    return Table(f"Table {number}: {METRICS[metric]}", header, rows, stamp(used), below, digits, together)


@dataclass(frozen=True)
class _Contender:
    """A method of Tables II and III: what the paper prints of it, what was measured here, and the difference.

    Attributes:
        name: of its columns.
        setting: of its records.
        column: of the paper's table; None: the paper's has none.
    """

    name: str
    setting: Setting
    column: int | None

    @property
    def header(self) -> list[str]:
        here = f"here: {self.name}"
        return [here] if self.column is None else [f"paper: {self.name}", here, f"difference: {self.name}"]

    def cells(self, records: Evidence, metric: str, category: str) -> list[Any]:
        printed = paper.COMPARISONS[metric].rows[category]
        return self._row(_mean(records, metric, category, *self.setting), printed, printed)

    def group(self, records: Evidence, metric: str, means: Sequence[float], members: Sequence[str]) -> list[Any]:
        """A group's row; the difference is to the paper's mean of the same categories, which its table need not print."""
        found = complete(records, metric, [self.setting], members)
        if found is None:
            return self._row(None, means, means)
        compared = np.mean([paper.COMPARISONS[metric].rows[c] for c in found.categories], axis=0).tolist()
        return self._row(Spread.of(found.values[:, :, 0].mean(1)), means, compared)

    def _row(self, here: Spread | None, printed: Sequence[float], compared: Sequence[float]) -> list[Any]:
        if self.column is None:
            return [here]
        return [printed[self.column], here, here.mean - compared[self.column] if here else None]


def _mean(records: Evidence, metric: str, category: str, *setting: str) -> Spread | None:
    found = by_seed(records, metric, category, *setting)
    return Spread.of(found.values()) if found else None


def _sources(records: Records, number: str, metric: str, contenders: Sequence[_Contender]) -> list[str]:
    printed = [c.name for c in contenders if c.name in paper.BASELINES and c.column is not None]
    names = ", ".join(f"{name} {paper.BASELINES[name]}" for name in printed)
    return [
        "Three numbers: the paper's / measured here / difference; one number: measured here, the paper's table has none.",
        f"Paper: {paper.SOURCE}, Table {number}. Its baselines are {names} in its list of references; "
        f"it took their numbers from {paper.BASELINE_SOURCES[metric]}.",
        "The paper prints only the mean of all; those of textures and objects are computed from its rows. "
        f"The paper uses zero padding, here: {padding_in_words(records)}.",
    ]


def _rivals_here(records: Evidence, metric: str) -> list[str]:
    """Which method is best here, category by category; and what the edition has made smaller than a rival's own paper has it."""
    if not records.methods:
        return ["The baselines are not measured here yet."]
    settings = {"DFR f{1:12}": ("1:12", OWN)} | {name: (*RIVAL, name) for name in records.methods}
    best: Counter[str] = Counter()
    for category in paper.CATEGORIES:
        means = {name: mean.mean for name, setting in settings.items() if (mean := _mean(records, metric, category, *setting))}
        if means:
            best[max(means, key=means.__getitem__)] += 1
    counts = ", ".join(f"{name} in {n}" for name, n in best.most_common())
    lines = [f"Best of a category here, DFR by f{{1:12}}: {counts}."]
    smaller = {name: training(records, [(*RIVAL, name)])[0].about.get("smaller") for name in records.methods}
    words = [f"{name} ({', '.join(f'{k} {a} for {b}' for k, (a, b) in changed.items())})" for name, changed in smaller.items() if changed]
    if words:
        lines.append(f"Baselines with other settings here than in their papers: {'; '.join(words)}.")
    return lines


def table4(records: Records) -> Table:
    """Dropping small scales."""
    settings = [(layers, OWN) for layers in paper.REFINING]
    name = f"Table IV: layer sets with more small scales ({padding_in_words(records)})"
    return _means(records, name, "IV", settings, paper.REFINING, paper.TABLE_IV)


def table5(records: Records) -> Table:
    """Zero and reflection padding."""
    settings, names = [("1:12", "zeros"), ("1:12", "reflect")], ("zeros", "reflection")
    table = _means(records, "Table V: padding, f{1:12}", "V", settings, names, paper.TABLE_V)
    table.header += ["paper: gain", "here: gain"]
    measured = {key: found for key in paper.TABLE_V if (found := complete(records, key[1], settings, GROUPS[key[0]]))}
    for row, (key, found) in zip(table.rows, measured.items(), strict=True):
        (zero, reflect), means = paper.TABLE_V[key], found.values.mean(1)
        row += [reflect - zero, Spread.of(means[:, 1] - means[:, 0])]
    table.digits |= {"paper: gain": -3, "here: gain": -3}
    return table


def _means(
    records: Records, name: str, number: str, settings: list[Setting], names: Sequence[str],
    printed: dict[tuple[str, str], tuple[float, ...]],
) -> Table:  # fmt: skip
    header = ["category", "metric", *(f"paper: {n}" for n in names), *(f"here: {n}" for n in names), *(f"difference {n}" for n in names)]
    rows, seen = [], set()
    for (group, metric), numbers in printed.items():
        if found := complete(records, metric, settings, GROUPS[group]):
            seen |= set(found.categories)
            here = [Spread.of(found.values[:, :, k].mean(1)) for k in range(len(settings))]
            whole = len(found.categories) == len(GROUPS[group])  # else the two means are of different categories
            differences = [h.mean - n if whole else None for h, n in zip(here, numbers)]
            rows.append([group, METRICS[metric], *numbers, *here, *differences])
    if not rows:
        raise Missing(f"training records of {named(settings)}")
    present = [c for c in paper.CATEGORIES if c in seen]
    used = training(records, settings, present)
    below = [*notes(used, present), f"Paper: {paper.SOURCE}, Table {number}.", *remarks(number)]
    return Table(name, header, rows, stamp(used), below, {n: -3 for n in header if n.startswith("difference")})


def table6(records: Records) -> Table:
    """Frames a second and metrics."""
    settings = [(layers, "reflect") for layers in paper.REFINING]
    records = evidence(records)
    timed = [timings(records, layers) for layers in paper.REFINING]
    speeds = [record for found in timed for record in found]
    if not speeds:
        raise Missing("speed records")
    header = ["layer set", "paper: fps", "here: fps", "paper: ROC-AUC", "here: ROC-AUC", "difference ROC-AUC"]
    header += ["paper: PRO-AUC", "here: PRO-AUC", "difference PRO-AUC", "c_o here"]
    rows, seen = [], []
    for k, (setting, found) in enumerate(zip(settings, timed)):
        cells: list[Any] = [f"f{{{setting[0]}}}", paper.TABLE_VI["fps"][k], Spread.of(r.about["fps"] for r in found) if found else None]
        for metric in METRICS:
            here = None
            if measured := complete(records, metric, [setting], paper.CATEGORIES):
                here, seen = Spread.of(measured.values[:, :, 0].mean(1)), list(measured.categories)
            printed = paper.TABLE_VI[metric][k]
            whole = len(seen) == len(paper.CATEGORIES)
            cells += [printed, here, here.mean - printed if here and whole else None]
        rows.append([*cells, found[0].about.get("c_o") if found else None])
    used, one = [*speeds, *training(records, settings)], speeds[0]
    below = [*notes(used, seen), f"Paper: {paper.SOURCE}, Table VI, {paper.TABLE_VI_DEVICE}. Metrics: means over all, reflection padding."]
    below.append(
        f"Here: {one.about.get('device', 'this device')}, batches of {one.about.get('batch', 1)}, uint8 image to full-size anomaly map, "
        f"synchronised, medians; load average when measured: {_loads(speeds)}."
    )
    digits = {"here: fps": 1, "difference ROC-AUC": -3, "difference PRO-AUC": -3}
    return Table("Table VI: frames a second and metrics", header, rows, stamp(used), [*below, *remarks("VI")], digits)


def _loads(speeds: list[Record]) -> str:
    loads = [r.about["load"] for r in speeds if r.about.get("load") is not None]
    return f"{min(loads):.1f} to {max(loads):.1f}" if loads else "not recorded"
