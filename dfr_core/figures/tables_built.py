"""Tables I, VII and VIII: what is counted on the network, the data and the autoencoder as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import paper_numbers as paper
from ..lab.trial import OWN
from ..records import Records
from .measured import Missing, nice, only, padding_in_words, stamp, synthetic, training
from .table import Table, remarks


def table1(records: Records) -> Table:
    """Receptive fields, computed from the network as built."""
    record = only(records, "network")
    rows = []
    for k, found in enumerate(record.about["receptive_fields"]):
        printed = paper.TABLE_I[found["layer"]]
        rows.append([found["layer"], printed, found["size"], found["size"] - printed, found["jump"], record.about["channels"][k]])
    header = ["layer", "paper: RF size", "here: RF size", "difference", "jump", "channels here"]
    return Table("Table I: receptive fields of VGG19's layers, in pixels", header, rows, stamp([record]))


def table7(records: Records) -> Table:
    """Statistics of the data set."""
    record = only(records, "statistics")
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
    notes += remarks("VII")
    return Table("Table VII: the data set", header, rows, stamp([record]), notes)


def table8(records: Records) -> Table:
    """The autoencoder as built."""
    built = {layers: found for layers in ("1:12", "1:16") if (found := training(records, [(layers, OWN)]))}
    if not built:
        raise Missing("training records of 1:12 or 1:16")
    wanted = list(built)
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
    notes = [f"As built: {shown}; {padding_in_words(records)}. c_d depends on the category: see the last rows (lowest to highest seed)."]
    if variance is not None and variance != 0.9:
        notes.append(f"Here the PCA keeps {100 * variance:g} % of the variance, not the paper's 90 %.")
    header = ["part", "paper", *(f"here: f{{{n}}}" for n in wanted)]
    return Table("Table VIII: the convolutional autoencoder", header, rows, stamp(used), notes)


def _layer(architecture: Sequence[str], k: int) -> str | None:
    return architecture[k].split(": ", 1)[-1] if k < len(architecture) else None


def _range(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"


