"""A table before and after it is text: Markdown, CSV, and the notes that tables share."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import paper_numbers as paper
from ..files import write_text
from ..records import Record
from .measured import Spread, incomplete, not_comparable


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
        together: name -> columns that share one cell of the Markdown, in this order; in the CSV each has its own.
    """

    title: str
    header: list[str]
    rows: list[list[Any]]
    stamp: str
    notes: list[str] = field(default_factory=list)
    digits: dict[str, int] = field(default_factory=dict)
    together: dict[str, list[str]] = field(default_factory=dict)

    def markdown(self) -> str:
        """The table as Markdown, with its notes and, last, the stamp."""
        merged = {column: name for name, columns in self.together.items() for column in columns}
        shown = {name: self.together.get(name, [name]) for name in dict.fromkeys(merged.get(column, column) for column in self.header)}
        firsts = [self.header.index(columns[0]) for columns in shown.values()]
        sides = [":--" if any(isinstance(row[k], str) for row in self.rows) else "--:" for k in firsts]
        lines = [f"# {self.title}", "", _row(list(shown)), _row(sides)]
        for row in self.rows:
            texts = {name: _text(value, self.digits.get(name, 3)) for name, value in zip(self.header, row, strict=True)}
            lines.append(_row([" / ".join(texts[column] for column in columns) for columns in shown.values()]))
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


def csv_text(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """A table as CSV; None is an empty cell, floats have six significant digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{float(value):.6g}" if isinstance(value, float | np.floating) else value


def notes(used: Sequence[Record], categories: Sequence[str]) -> list[str]:
    """Sentences below a table of metrics: what it cannot be compared with, what is missing, and the spread."""
    found = [f"**{why}**"] if (why := not_comparable(used)) else []
    remark = incomplete(categories)
    if remark:
        found.append(f"Means here are over {remark}.")
    seeds = sorted({r.about["seed"] for r in used if r.about["kind"] == "training"})
    if len(seeds) > 1:
        found.append("Here: mean ± standard deviation over the seeds.")
    elif seeds:
        found.append("Here: one seed, so there is no spread.")
    return found


def remarks(table: str) -> list[str]:
    """What the paper's printed table says that a reader may trip over."""
    found = paper.remarks(table)
    return [f"The paper's table: {' '.join(found)}"] if found else []


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    form = f"+.{-digits}f" if digits < 0 else f".{digits}f"
    if isinstance(value, Spread):
        return f"{value.mean:{form}}" + ("" if value.sd is None else f" ± {value.sd:.{abs(digits)}f}")
    return f"{value:{form}}" if isinstance(value, float | np.floating) else str(value)
