"""`dfr bench`: speed and memory, measured side by side, with the project's goals beside the figures.

Nothing heavy is imported before the command runs, so that `dfr bench --help` is there at once.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DFRError, Setting

if TYPE_CHECKING:
    from .cpu import Row

CPU_PARTS = ("features", "score", "slim", "folder", "methods", "metrics", "start-up", "training", "growth")
ONLY = (*CPU_PARTS, "accuracy", "cuda")
OUT = "benchmarks"


def main(args: argparse.Namespace) -> int:
    """Measure, print the table, write it.

    Raises:
        DFRError: a GPU is asked for where there is none, or options that make no sense.
    """
    if args.runs < 1:
        raise DFRError(Setting("runs"), f"{args.runs}", "measure at least once")
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise DFRError(Setting("out"), f"{out} is a file", "name a folder")
    from ..device import load_average, pick_device

    device = pick_device(args.device)
    if args.only == "cuda" and device.type != "cuda":
        raise DFRError(Setting("only"), "the part cuda needs a GPU; there is none here")
    out.mkdir(parents=True, exist_ok=True)
    if args.only == "accuracy":
        from .accuracy import run

        run(out, device, quick=args.quick, data=args.data)
        return 0
    if args.only == "cuda" or (args.only is None and device.type == "cuda"):
        parts: tuple[str, ...] = ("cuda",)
    else:
        parts = (args.only,) if args.only else CPU_PARTS
    from . import cpu, cuda, folder, methods, slim
    from .tools import machine

    about: dict[str, Any] = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), **machine(), "quick": args.quick}
    loads, runs, seconds = [load_average()], [], {}
    measured = {**cpu.PARTS, "methods": methods.methods, "slim": slim.slim, "folder": folder.folder}
    measured["cuda"] = lambda quick: cuda.measure(device, quick)
    for run_number in range(args.runs):
        rows: list[Row] = []
        for part in parts:
            if part == "growth" or (run_number and part in ("training", "methods", "cuda")):
                continue
            started = time.perf_counter()
            rows += measured[part](args.quick)
            seconds[part] = round(time.perf_counter() - started, 1)
            print(f"{part}: {seconds[part]} s, load {load_average()}", flush=True)
        runs.append(rows)
        loads.append(load_average())
    if "growth" in parts:
        from .growth import run as growth

        started = time.perf_counter()
        about["growth"] = growth(out, args.quick)
        seconds["growth"] = round(time.perf_counter() - started, 1)
        print(f"growth: {seconds['growth']} s, load {load_average()}", flush=True)
    about |= {"load": loads, "seconds": seconds}
    name = "cuda" if parts == ("cuda",) else args.only or "bench"
    write(out, name, about, runs)
    return 0


def write(out: Path, name: str, about: dict[str, Any], runs: list[list[Row]]) -> None:
    """NAME.json and NAME.md in the folder ``out``; the table is printed, too."""
    from ..files import write_text

    rows = [
        {
            "part": row.part, "case": row.case, "figure": row.name, "unit": row.unit, "goal": row.goal, "least": row.least,
            "runs": [same.value for same in _same(row, runs)],
        }
        for row in runs[0]
    ]  # fmt: skip
    for row in rows:
        row["value"] = statistics.median(row["runs"])
    write_text(out / f"{name}.json", json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    text = table(about, rows)
    write_text(out / f"{name}.md", text)
    print(text)


def _same(row: Row, runs: list[list[Row]]) -> list[Row]:
    key = (row.part, row.case, row.name)
    return [other for rows in runs for other in rows if (other.part, other.case, other.name) == key]


def table(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The figures as Markdown, goal and verdict beside them."""
    loads = ", ".join("?" if value is None else f"{value:.2f}" for value in about["load"])
    lines = [
        f"# Benchmark of {about['date'][:10]}",
        "",
        f"{about.get('gpu') or about['processor']}, {about['cores']} cores, {about['threads']} threads, PyTorch {about['torch']}; "
        f"load average before and after each run: {loads}.",
        *(["", "**Quick sizes: these figures only show that everything runs.**"] if about["quick"] else []),
    ]
    part = None
    for row in rows:
        if row["part"] != part:
            part = row["part"]
            lines += ["", f"## {part}", "", "| case | figure | measured | goal | | runs |", "|---|---|---:|---:|---|---|"]
        goal = "" if row["goal"] is None else f"{'≥' if row['least'] else '≤'} {_number(row['goal'])}"
        verdict = "" if about["quick"] else {None: "", True: "reached", False: "**missed**"}[reached(row)]
        runs = ", ".join(map(_number, row["runs"])) if len(row["runs"]) > 1 else ""
        unit = "" if row["unit"] == "x" else f" {row['unit']}"
        lines.append(f"| {row['case']} | {row['figure']} | {_number(row['value'])}{unit} | {goal} | {verdict} | {runs} |")
    return "\n".join(lines) + "\n"


def reached(row: dict[str, Any]) -> bool | None:
    """Whether the goal is reached; None if there is none."""
    if row["goal"] is None:
        return None
    return row["value"] >= row["goal"] if row["least"] else row["value"] <= row["goal"]


def _number(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return str(value)
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
