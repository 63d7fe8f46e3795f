"""`dfr bench --only accuracy`: the projected extension against the whole autoencoder, category by category, and
the edition's schedule against one five times as long.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed

from ..data import Category, all_categories, fingerprint, load_category
from ..editions import edition
from ..extract import CachedFeatures, Extractor
from ..files import write_text
from ..methods.dfr import DFR
from ..methods.train import total_steps
from ..settings import Settings
from .variants import COMPONENTS

SEEDS = (0, 1, 2)
LONGER = 5
#: name -> (principal components or None for the whole autoencoder, how many times as many steps)
VARIANTS = {
    "whole": (None, 1),
    "projected": (COMPONENTS, 1),
    f"whole, {LONGER}x": (None, LONGER),
    f"projected, {LONGER}x": (COMPONENTS, LONGER),
}
#: (what is compared, with what, the mean difference aimed for)
COMPARED = (
    ("projected", "whole", 0.005),
    (f"projected, {LONGER}x", f"whole, {LONGER}x", 0.005),
    (f"projected, {LONGER}x", "whole", 0.005),
    ("whole", f"whole, {LONGER}x", 0.01),
)
METRICS = {"roc_auc": "ROC-AUC", "pro_auc": "PRO-AUC"}


def run(out: Path, device: torch.device, *, quick: bool = False, data: str | None = None) -> list[dict[str, Any]]:
    """Fit all variants to every category and seed; write ``accuracy.json`` and ``accuracy.md`` into ``out``."""
    from ..data.synthetic import CATEGORIES

    size = edition("quick" if quick else "embedded")
    folders = all_categories(data) if data else ()
    named: list[tuple[str, Callable[[], Category]]] = [(f"synthetic {name}", partial(size.category, name)) for name in CATEGORIES]
    named = named[: 1 if quick else None] + [(f"photographs of {name}", partial(load_category, data, name)) for name in folders]
    size.data_root(CATEGORIES[: 1 if quick else None])  # made once, not by every process
    wanted = [(name, load, replace(size.settings, seed=seed)) for name, load in named for seed in SEEDS[: 1 if quick else None]]
    # One thread each: small products gain little from two, and accuracy does not depend on who computes beside.
    workers = Parallel(n_jobs=1 if device.type == "cuda" else min(len(wanted), os.cpu_count() or 1), return_as="generator")
    rows: list[dict[str, Any]] = []
    for row in workers(delayed(_row)(name, load, settings, str(device)) for name, load, settings in wanted):
        rows.append(row)
        print(f"{row['category']}, seed {row['seed']}: " + "; ".join(f"{v} {_both(row[v])}" for v in VARIANTS), flush=True)
        write_text(out / "accuracy.json", json.dumps(rows, indent=1) + "\n")
    text = table(rows, size.banner())
    write_text(out / "accuracy.md", text)
    print(text)
    return rows


def _row(name: str, load: Callable[[], Category], settings: Settings, device: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    return {"category": name, "seed": settings.seed, **compare(load(), settings, torch.device(device))}


def compare(category: Category, settings: Settings, device: torch.device) -> dict[str, dict[str, float]]:
    """ROC-AUC and PRO-AUC of every variant, trained on the same features."""
    images, test = category.load_train(settings.image_size), category.load_test(settings.image_size)
    extractor = Extractor(settings, device)
    source = CachedFeatures(extractor.all(images.to(device)))
    found = {}
    for variant, (components, times) in VARIANTS.items():
        chosen = replace(settings, projection=components, steps=times * total_steps(settings, len(images)))
        detector = DFR(chosen, device=str(device), progress=False).use_extractor(extractor)
        measured = detector.fit_features(source, fingerprint(images), tuple(images.shape[-2:])).evaluate(test)
        found[variant] = {metric: measured[metric] for metric in METRICS}
    return found


def table(rows: list[dict[str, Any]], banner: str) -> str:
    """Markdown: the mean and worst differences, then each category and seed."""
    lines = [
        "# Accuracy: projected against whole, short against long",
        "",
        f"{banner.rpartition(' · ')[0]} · seeds {', '.join(str(s) for s in sorted({row['seed'] for row in rows}))} · "
        f"{COMPONENTS} principal components.",
        f"`{LONGER}x` is trained for {LONGER} times as many steps. A cell with two numbers is ROC-AUC / PRO-AUC.",
        "",
        "| compared | metric | mean difference | aim | | worst | where |",
        "|---|---|---:|---:|---|---:|---|",
    ]
    for variant, other, aim in COMPARED:
        for metric, name in METRICS.items():
            differences = [row[variant][metric] - row[other][metric] for row in rows]
            mean, worst = statistics.mean(differences), min(differences)
            where = rows[differences.index(worst)]
            verdict = "reached" if mean >= -aim else "missed"
            place = f"{where['category']}, seed {where['seed']}"
            lines.append(f"| {variant} − {other} | {name} | {mean:+.4f} | ≥ −{aim} | {verdict} | {worst:+.4f} | {place} |")
    lines += ["", f"| category | seed | {' | '.join(VARIANTS)} |", "|---|---:|" + "---:|" * len(VARIANTS)]
    for row in rows:
        lines.append(f"| {row['category']} | {row['seed']} | {' | '.join(_both(row[v]) for v in VARIANTS)} |")
    return "\n".join(lines) + "\n"


def _both(metrics: dict[str, float]) -> str:
    return " / ".join(f"{metrics[metric]:.4f}" for metric in METRICS)
