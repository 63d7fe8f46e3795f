"""Tables II to VI, metrics and speed: what the paper prints, what was measured here, and the difference.

Each is a pure function of records, ``make(records) -> Table``; :mod:`.items` names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import paper_numbers as paper
from ..lab.trial import OWN
from .measured import (
    GROUPS,
    METRICS,
    RIVAL,
    Evidence,
    Missing,
    Spread,
    by_seed,
    cube,
    evidence,
    named,
    nice,
    padding_in_words,
    stamp,
    timings,
    training,
)
from .table import Table, notes, remarks

if TYPE_CHECKING:
    from ..lab.trial import Setting
    from ..records import Record, Records


def table2(records: Records) -> Table:
    """ROC-AUC for each category."""
    return _comparison(records, "II", "roc_auc", paper.TABLE_II, paper.TABLE_II_COLUMNS, paper.TABLE_II_MEAN)


def table3(records: Records) -> Table:
    """PRO-AUC for each category."""
    return _comparison(records, "III", "pro_auc", paper.TABLE_III, paper.TABLE_III_COLUMNS, paper.TABLE_III_MEAN)


def _comparison(
    records: Records,
    number: str,
    metric: str,
    printed: dict[str, tuple[float, ...]],
    columns: Sequence[str],
    printed_mean: tuple[float, ...],
) -> Table:
    ours, records = ("1:12", "1:16"), evidence(records)
    baselines = [name for name in columns if name in paper.BASELINES]
    rivals = [*baselines, *(name for name in records.methods if name not in baselines)]
    used = training(records, [*((layers, OWN) for layers in ours), *((*RIVAL, name) for name in rivals)])
    if not used:
        raise Missing("training records of 1:12 or 1:16")
    header = ["category", *(f"paper: {n}" for n in baselines), *(f"paper: DFR f{{{n}}}" for n in ours)]
    header += [f"here: DFR f{{{n}}}" for n in ours] + [f"difference f{{{n}}}" for n in ours] + [f"here: {n}" for n in rivals]
    index = [columns.index(name) for name in (*baselines, *ours)]
    rows, seen = [], []
    for category in paper.CATEGORIES:
        means = [_mean(records, metric, category, layers, OWN) for layers in ours]
        differences = [m.mean - paper.dfr(metric, category, n) if m else None for m, n in zip(means, ours)]
        here = [_mean(records, metric, category, *RIVAL, name) for name in rivals]
        rows.append([nice(category), *(printed[category][k] for k in index), *means, *differences, *here])
        seen += [category] if any(means) else []
    for group, members in GROUPS.items():
        # The paper prints only the mean of all.
        of_rows = [float(np.mean([printed[c][k] for c in members])) for k in index]
        numbers = [printed_mean[k] for k in index] if group == "all" else of_rows
        rows.append([f"mean, {group}", *numbers, *_group_means(records, metric, members, ours, rivals)])
    two, signed = {n: 2 for n in header if n.startswith("paper")}, {n: -3 for n in header if n.startswith("difference")}
    below = [*notes(used, seen), *_sources(records, number, metric, baselines), *remarks(number)]
    return Table(f"Table {number}: {METRICS[metric]}", header, rows, stamp(used), below, two | signed)


def _mean(records: Evidence, metric: str, category: str, *setting: str) -> Spread | None:
    found = by_seed(records, metric, category, *setting)
    return Spread.of(found.values()) if found else None


def _group_means(records: Evidence, metric: str, members: Sequence[str], ours: Sequence[str], rivals: Sequence[str]) -> list[Any]:
    """A group's cells: means of ours, their differences to the paper, and means of the rivals."""
    means: list[Spread | None] = []
    differences: list[float | None] = []
    for layers in ours:
        try:
            found = cube(records, metric, [(layers, OWN)], members)
        except Missing:
            means.append(None)
            differences.append(None)
            continue
        mean = Spread.of(found.values[:, :, 0].mean(1))
        means.append(mean)
        # Compared with the paper's mean of the same categories, which its table need not print.
        differences.append(mean.mean - float(np.mean([paper.dfr(metric, c, layers) for c in found.categories])))
    here = [[spread.mean for c in members if (spread := _mean(records, metric, c, *RIVAL, name))] for name in rivals]
    return [*means, *differences, *(float(np.mean(found)) if found else None for found in here)]


def _sources(records: Records, number: str, metric: str, baselines: Sequence[str]) -> list[str]:
    names = ", ".join(f"{n} {paper.BASELINES[n]}" for n in baselines)
    return [
        f"Paper: {paper.SOURCE}, Table {number}. Its baselines are {names} in its list of references; "
        f"it took their numbers from {paper.BASELINE_SOURCES[metric]}.",
        "The paper prints only the mean of all; those of textures and objects are computed from its rows. "
        f"The paper uses zero padding, here: {padding_in_words(records)}.",
        "Baselines measured here: columns of a dash are not measured yet.",
    ]


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
    for row, (group, metric) in zip(table.rows, [key for key in paper.TABLE_V if _has(records, settings, key)], strict=True):
        zero, reflect = paper.TABLE_V[group, metric]
        found = cube(records, metric, settings, GROUPS[group]).values.mean(1)
        row += [reflect - zero, Spread.of(found[:, 1] - found[:, 0])]
    table.digits |= {"paper: gain": -3, "here: gain": -3}
    return table


def _has(records: Records, settings: list[Setting], key: tuple[str, str]) -> bool:
    try:
        cube(records, key[1], settings, GROUPS[key[0]])
    except Missing:
        return False
    return True


def _means(
    records: Records, name: str, number: str, settings: list[Setting], names: Sequence[str],
    printed: dict[tuple[str, str], tuple[float, ...]],
) -> Table:  # fmt: skip
    header = ["category", "metric", *(f"paper: {n}" for n in names), *(f"here: {n}" for n in names), *(f"difference {n}" for n in names)]
    rows, seen = [], set()
    for key, numbers in printed.items():
        if _has(records, settings, key):
            found = cube(records, key[1], settings, GROUPS[key[0]])
            seen |= set(found.categories)
            here = [Spread.of(found.values[:, :, k].mean(1)) for k in range(len(settings))]
            whole = len(found.categories) == len(GROUPS[key[0]])  # else the two means are of different categories
            differences = [h.mean - n if whole else None for h, n in zip(here, numbers)]
            rows.append([key[0], METRICS[key[1]], *numbers, *here, *differences])
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
            if any(by_seed(records, metric, c, *setting) for c in paper.CATEGORIES):
                measured = cube(records, metric, [setting], paper.CATEGORIES)
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
