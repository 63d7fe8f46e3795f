"""Tables I to VIII: what the paper prints, what was measured here, and the difference.

Each is a pure function of records, ``make(records) -> Table``; :func:`functions` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import paper_numbers as paper
from .drawing import csv_text
from ..files import write_text
from .measured import GROUPS, METRICS, Missing, Spread, by_seed, cube, first, incomplete, nice, stamp, synthetic, training

if TYPE_CHECKING:
    from ..records import Record, Records


@dataclass
class Table:
    """A table before it is text.

    Attributes:
        title: in words.
        header: names of the columns.
        rows: cells: text, whole numbers, floats, :class:`Spread`, or None where there is nothing.
        stamp: whose numbers they are.
        notes: sentences below the table.
        digits: column -> decimals of its floats in Markdown (default 3); -3 is three with a sign, for differences.
    """

    title: str
    header: list[str]
    rows: list[list[Any]]
    stamp: str
    notes: list[str] = field(default_factory=list)
    digits: dict[str, int] = field(default_factory=dict)

    def markdown(self) -> str:
        """The table as Markdown, with its notes and, last, the stamp."""
        sides = [":--" if any(isinstance(row[k], str) for row in self.rows) else "--:" for k in range(len(self.header))]
        lines = [f"# {self.title}", "", _row(self.header), _row(sides)]
        lines += [_row([_text(value, self.digits.get(name, 3)) for name, value in zip(self.header, row, strict=True)]) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join([*lines, "", f"*{self.stamp}*", ""])

    def csv(self) -> str:
        """The table as CSV: a Spread takes two columns, and the stamp a last one."""
        spread = [any(isinstance(row[k], Spread) for row in self.rows) for k in range(len(self.header))]
        header = [n for name, two in zip(self.header, spread) for n in ((name, f"{name}, sd over seeds") if two else (name,))]
        rows = []
        for row in self.rows:
            cells: list[Any] = []
            for value, two in zip(row, spread, strict=True):
                if isinstance(value, Spread):
                    cells += [value.mean, value.sd]
                else:
                    cells += [value, None] if two else [value]
            rows.append([*cells, self.stamp])
        return csv_text([*header, "stamp"], rows)


def save(table: Table, folder: Path, name: str) -> list[Path]:
    """Write ``name.md`` and ``name.csv``."""
    paths = [folder / f"{name}.md", folder / f"{name}.csv"]
    write_text(paths[0], table.markdown())
    write_text(paths[1], table.csv())
    return paths


def table1(records: Records) -> Table:
    """Receptive fields, computed from the network as built."""
    record = _need(first(records, kind="network"), "a network record")
    channels = record.about.get("channels", [])
    rows = []
    for k, found in enumerate(record.about["receptive_fields"]):
        printed = paper.TABLE_I.get(found["layer"])
        rows.append(
            [found["layer"], printed, found["size"], None if printed is None else found["size"] - printed, found["jump"],
             channels[k] if k < len(channels) else None]
        )  # fmt: skip
    header = ["layer", "paper: RF size", "here: RF size", "difference", "jump", "channels here"]
    return Table("Table I: receptive fields of VGG19's layers, in pixels", header, rows, stamp([record]))


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
    ours = ("1:12", "1:16")
    baselines = [name for name in columns if name in paper.BASELINES]
    used = [*training(records, [(layers, "zeros") for layers in ours]), *records.where(kind="baseline")]
    if not used:
        raise Missing("training records of 1:12 or 1:16 with zero padding")
    header = ["category", *(f"paper: {n}" for n in baselines), *(f"paper: DFR f{{{n}}}" for n in ours)]
    header += [f"here: DFR f{{{n}}}" for n in ours] + [f"difference f{{{n}}}" for n in ours] + [f"here: {n}" for n in baselines]
    index = [columns.index(name) for name in (*baselines, *ours)]
    rows, seen = [], set()
    for category in paper.CATEGORIES:
        cells: list[Any] = [nice(category), *(printed[category][k] for k in index)]
        here = [by_seed(records, metric, category, layers, "zeros") for layers in ours]
        seen |= {category} if any(here) else set()
        means = [Spread.of(h.values()) if h else None for h in here]
        cells += means + [m.mean - paper.dfr(metric, category, n) if m else None for m, n in zip(means, ours)]
        rows.append(cells + [_baseline(records, name, category, metric) for name in baselines])
    for group, members in GROUPS.items():
        cells = [f"mean, {group}"]
        if group == "all":
            cells += [printed_mean[k] for k in index]
        else:
            cells += [float(np.mean([printed[c][k] for c in members])) for k in index]
        means, differences = [], []
        for layers in ours:
            try:
                found = cube(records, metric, [(layers, "zeros")], members)
            except Missing:
                means.append(None)
                differences.append(None)
                continue
            mean = Spread.of(found.values[:, :, 0].mean(1))
            means.append(mean)
            # Compared with the paper's mean of the same categories, which its table need not print.
            differences.append(mean.mean - float(np.mean([paper.dfr(metric, c, layers) for c in found.categories])))
        rows.append(cells + means + differences + [_mean_of_baseline(records, name, members, metric) for name in baselines])
    two, signed = {n: 2 for n in header if n.startswith("paper")}, {n: -3 for n in header if n.startswith("difference")}
    notes = _notes(used, sorted(seen, key=paper.CATEGORIES.index))
    names = ", ".join(f"{n} {paper.BASELINES[n]}" for n in baselines)
    notes.append(
        f"Paper: {paper.SOURCE}, Table {number}. Its baselines are {names} in its list of references; "
        f"it took their numbers from {paper.BASELINE_SOURCES[metric]}."
    )
    notes.append("The paper prints only the mean of all; those of textures and objects are computed from its rows. Zero padding, as there.")
    notes.append("Baselines measured here: columns of a dash are not measured yet.")
    notes += _remarks(number)
    return Table(f"Table {number}: {METRICS[metric]}", header, rows, stamp(used), notes, two | signed)


def table4(records: Records) -> Table:
    """Dropping small scales."""
    settings = [(layers, "zeros") for layers in paper.REFINING]
    return _means(records, "Table IV: layer sets with more small scales (zero padding)", "IV", settings, paper.REFINING, paper.TABLE_IV)


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


def _has(records: Records, settings: list[tuple[str, str]], key: tuple[str, str]) -> bool:
    try:
        cube(records, key[1], settings, GROUPS[key[0]])
    except Missing:
        return False
    return True


def _means(
    records: Records, name: str, number: str, settings: list[tuple[str, str]], names: Sequence[str],
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
        raise Missing(f"training records of {', '.join(f'{layers} ({padding})' for layers, padding in settings)}")
    present = [c for c in paper.CATEGORIES if c in seen]
    used = training(records, settings, present)
    notes = [*_notes(used, present), f"Paper: {paper.SOURCE}, Table {number}.", *_remarks(number)]
    return Table(name, header, rows, stamp(used), notes, {n: -3 for n in header if n.startswith("difference")})


def table6(records: Records) -> Table:
    """Frames a second and metrics."""
    settings = [(layers, "reflect") for layers in paper.REFINING]
    timings = [list(records.where(kind="speed", layers=layers, padding="reflect")) for layers in paper.REFINING]
    if not any(timings):
        raise Missing("speed records")
    header = ["layer set", "paper: fps", "here: fps", "paper: ROC-AUC", "here: ROC-AUC", "difference ROC-AUC"]
    header += ["paper: PRO-AUC", "here: PRO-AUC", "difference PRO-AUC", "c_o here"]
    rows, used, seen = [], [r for found in timings for r in found], []
    for k, (layers, setting, found) in enumerate(zip(paper.REFINING, settings, timings)):
        cells: list[Any] = [f"f{{{layers}}}", paper.TABLE_VI["fps"][k], Spread.of(r.about["fps"] for r in found) if found else None]
        for metric in METRICS:
            here = None
            if any(by_seed(records, metric, c, *setting) for c in paper.CATEGORIES):
                measured = cube(records, metric, [setting], paper.CATEGORIES)
                here, seen = Spread.of(measured.values[:, :, 0].mean(1)), list(measured.categories)
            printed = paper.TABLE_VI[metric][k]
            whole = len(seen) == len(paper.CATEGORIES)
            cells += [printed, here, here.mean - printed if here and whole else None]
        rows.append([*cells, found[0].about.get("c_o") if found else None])
    used += training(records, settings)
    notes = [*_notes(used, seen), f"Paper: {paper.SOURCE}, Table VI, {paper.TABLE_VI_DEVICE}. Metrics: means over all, reflection padding."]
    one = timings[0][0] if timings[0] else next(r for found in timings for r in found)
    notes.append(
        f"Here: {one.about.get('device', 'this device')}, batches of {one.about.get('batch', 1)}, uint8 image to full-size anomaly map, "
        f"synchronised, medians; load average when measured: {_loads(timings)}."
    )
    notes += _remarks("VI")
    digits = {"here: fps": 1, "difference ROC-AUC": -3, "difference PRO-AUC": -3}
    return Table("Table VI: frames a second and metrics", header, rows, stamp(used), notes, digits)


def table7(records: Records) -> Table:
    """Statistics of the data set."""
    record = _need(first(records, kind="statistics"), "a statistics record")
    names = ("train", "test", "anomaly types", "anomalous regions")
    keys = ("n_train", "n_test", "n_defect_types", "n_regions")
    found = {row["category"]: row for row in record.about["rows"]}
    rows = []
    for category in [*(c for c in paper.CATEGORIES if c in found), *(c for c in found if c not in paper.CATEGORIES)]:
        printed = paper.TABLE_VII.get(category, (None,) * 4)
        here = [found[category][key] for key in keys]
        rows.append([nice(category), *(cell for p, h in zip(printed, here) for cell in (p, h, None if p is None else h - p))])
    totals = [sum(row[key] for row in found.values()) for key in keys]
    complete = set(found) >= set(paper.CATEGORIES)
    cells = [(p, h, h - p if complete else None) for p, h in zip(paper.TABLE_VII_TOTAL, totals)]
    rows.append(["total", *(cell for three in cells for cell in three)])
    header = ["category", *(title for n in names for title in (f"paper: {n}", f"here: {n}", f"difference {n}"))]
    notes = [f"Paper: {paper.SOURCE}, Table VII, on MVTec AD. Here: {record.about.get('data', 'this data set')}."]
    if synthetic([record]):
        notes.append("The synthetic data has the paper's categories, not its numbers of images.")
    notes += _remarks("VII")
    return Table("Table VII: the data set", header, rows, stamp([record]), notes)


def table8(records: Records) -> Table:
    """The autoencoder as built."""
    wanted = [layers for layers in ("1:12", "1:16") if records.where(kind="training", layers=layers, padding="zeros")]
    if not wanted:
        raise Missing("training records of 1:12 or 1:16 with zero padding")
    built = {layers: training(records, [(layers, "zeros")]) for layers in wanted}
    rows: list[list[Any]] = []
    samples = {layers: found[0] for layers, found in built.items()}
    rows.append(["input", "f(x): h_o x w_o x c_o", *(f"c_o = {r.about['c_o']}, c_d = {r.about['c_d']}" for r in samples.values())])
    for k, (width, relu) in enumerate(paper.TABLE_VIII):
        printed = f"Conv. (1, 1, {width}), stride=1;{' ReLU;' if relu else ''}"
        rows.append([f"layer {k + 1}", printed, *(_layer(r.about["architecture"], k) for r in samples.values())])
    for layers, found in built.items():
        widths = {}
        for record in found:
            widths.setdefault(nice(record.about["category"]), []).append(record.about["c_d"])
        words = ", ".join(f"{name} {_range(values)}" for name, values in widths.items())
        rows.append([f"c_d, f{{{layers}}}", "PCA, 90 % of the variance", *(words if n == layers else None for n in wanted)])
    used = [record for found in built.values() for record in found]
    shown = ", ".join(sorted({f"{nice(r.about['category'])}, seed {r.about['seed']}" for r in samples.values()}))
    variance = samples[wanted[0]].about.get("settings", {}).get("variance")
    notes = [f"As built: {shown}; zero padding. c_d depends on the category: the last rows list it (lowest to highest seed)."]
    if variance is not None and variance != 0.9:
        notes.append(f"Here the PCA keeps {100 * variance:g} % of the variance, not the paper's 90 %.")
    header = ["part", "paper", *(f"here: f{{{n}}}" for n in wanted)]
    return Table("Table VIII: the convolutional autoencoder", header, rows, stamp(used), notes)


def not_comparable(used: Iterable[Record]) -> str:
    """Why a difference to the paper measures nothing about the paper; empty where it does."""
    used = list(used)
    reasons = []
    if synthetic(used):
        reasons.append("the data are synthetic")
    elif any(r.about.get("data") != "MVTec AD" for r in used):
        reasons.append("the data are not MVTec AD")
    if any("untrained" in str(r.about.get("network", "")) for r in used):
        reasons.append("the network was never trained")
    if not reasons:
        return ""
    because = " and ".join(reasons)
    return (
        f"{because[0].upper()}{because[1:]}, so a difference to the paper says nothing about the paper's numbers. "
        "With MVTec AD and ImageNet weights the same code fills the same table."
    )


def functions() -> dict[str, Callable[[Records], Table]]:
    """Name of a table -> the function that makes it."""
    made = (table1, table2, table3, table4, table5, table6, table7, table8)
    return {function.__name__: function for function in made}


def _need(record: Record | None, what: str) -> Record:
    if record is None:
        raise Missing(what)
    return record


def _notes(used: Sequence[Record], categories: Sequence[str]) -> list[str]:
    notes = [f"**{why}**"] if (why := not_comparable(used)) else []
    remark = incomplete(categories)
    if remark:
        notes.append(f"Means here are over {remark}.")
    seeds = sorted({r.about["seed"] for r in used if r.about["kind"] == "training"})
    if len(seeds) > 1:
        notes.append("Here: mean ± standard deviation over the seeds.")
    elif seeds:
        notes.append("Here: one seed, so there is no spread.")
    return notes


def _remarks(table: str) -> list[str]:
    found = paper.remarks(table)
    return [f"The paper's table: {' '.join(found)}"] if found else []


def _baseline(records: Records, method: str, category: str, metric: str) -> Spread | None:
    """A baseline measured here; none is yet, and the column stays a dash."""
    found = records.where(kind="baseline", method=method, category=category)
    return Spread.of(r.about["metrics"][metric] for r in found) if found else None


def _mean_of_baseline(records: Records, method: str, members: Sequence[str], metric: str) -> float | None:
    found = [spread.mean for c in members if (spread := _baseline(records, method, c, metric))]
    return float(np.mean(found)) if found else None


def _loads(timings: list[list[Record]]) -> str:
    loads = [r.about["load"] for found in timings for r in found if r.about.get("load") is not None]
    return f"{min(loads):.1f} to {max(loads):.1f}" if loads else "not recorded"


def _layer(architecture: Sequence[str], k: int) -> str | None:
    return architecture[k].split(": ", 1)[-1] if k < len(architecture) else None


def _range(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    form = f"+.{-digits}f" if digits < 0 else f".{digits}f"
    if isinstance(value, Spread):
        return f"{value.mean:{form}}" + ("" if value.sd is None else f" ± {value.sd:.{abs(digits)}f}")
    return f"{value:{form}}" if isinstance(value, float | np.floating) else str(value)
