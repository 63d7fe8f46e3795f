"""`dfr bench --only accuracy`: the projected extension against the whole autoencoder, category by category."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..data import Category, fingerprint, load_category
from ..detector import DFR
from ..editions import edition
from ..errors import DFRError
from ..extract import CachedFeatures, Extractor
from ..files import write_text
from ..settings import Settings

#: Principal components for the slim network of the embedded edition (c_o 432); see docs/benchmark_notes.md for fewer.
SLIM_COMPONENTS = 256
SEEDS = (0, 1, 2)
GOAL = 0.005
METRICS = ("roc_auc", "pro_auc")


def run(out: Path, device: torch.device, *, quick: bool = False, data: str | None = None) -> list[dict[str, Any]]:
    """Fit both to every category and seed; write ``accuracy.json`` and ``accuracy.md`` into ``out``."""
    from ..synthetic import CATEGORIES

    size = edition("quick" if quick else "embedded")
    categories = [(f"synthetic {name}", size.category(name)) for name in CATEGORIES[: 1 if quick else None]]
    if data:
        folders = sorted(path.name for path in Path(data).iterdir() if path.is_dir()) if Path(data).is_dir() else []
        if not folders:
            raise DFRError(f"data: {data} holds no categories; give a folder in MVTec AD's layout")
        categories += [(f"photographs of {name}", load_category(data, name)) for name in folders]
    rows = []
    for name, category in categories:
        for seed in SEEDS[: 1 if quick else None]:
            rows.append({"category": name, "seed": seed, **compare(category, replace(size.settings, seed=seed), device)})
            print(
                f"{name}, seed {seed}: " + ", ".join(f"{m} {rows[-1][m]:.4f}, projected {rows[-1]['projected_' + m]:.4f}" for m in METRICS)
            )
            write_text(out / "accuracy.json", json.dumps(rows, indent=1) + "\n")
    text = table(rows, size.banner())
    write_text(out / "accuracy.md", text)
    print(text)
    return rows


def compare(category: Category, settings: Settings, device: torch.device, components: int = SLIM_COMPONENTS) -> dict[str, float]:
    """ROC-AUC and PRO-AUC of the whole autoencoder and of the projected one, trained on the same features."""
    images, test = category.load_train(settings.image_size), category.load_test(settings.image_size)
    extractor = Extractor(settings, device)
    source = CachedFeatures(extractor.all(images.to(device)))
    found = {}
    for prefix, projection in (("", None), ("projected_", components)):
        detector = DFR(replace(settings, projection=projection), device=str(device), progress=False).use_extractor(extractor)
        detector.fit_features(source, fingerprint(images), tuple(images.shape[-2:]))
        measured = detector.evaluate(test)
        found |= {prefix + metric: measured[metric] for metric in METRICS}
    return found


def table(rows: list[dict[str, Any]], banner: str) -> str:
    """Markdown: each category and seed, then mean and worst difference."""
    lines = [
        "# The projected extension against the whole autoencoder",
        "",
        f"{banner}; {SLIM_COMPONENTS} principal components. Differences are projected minus whole.",
        "",
        "| category | seed | ROC-AUC | projected | difference | PRO-AUC | projected | difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [f"{row[m]:.4f} | {row['projected_' + m]:.4f} | {row['projected_' + m] - row[m]:+.4f}" for m in METRICS]
        lines.append(f"| {row['category']} | {row['seed']} | {' | '.join(cells)} |")
    lines.append("")
    for metric, name in zip(METRICS, ("ROC-AUC", "PRO-AUC"), strict=True):
        differences = [row["projected_" + metric] - row[metric] for row in rows]
        mean, worst = statistics.mean(differences), min(differences)
        row = rows[differences.index(worst)]
        verdict = "reached" if mean >= -GOAL else "missed"
        where = f"{row['category']}, seed {row['seed']}"
        lines.append(f"{name}: mean difference {mean:+.4f} (goal: no lower than -{GOAL}; {verdict}), worst {worst:+.4f} ({where}).  ")
    return "\n".join(lines) + "\n"
