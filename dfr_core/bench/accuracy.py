"""`dfr bench --only accuracy`: what each part of the method is worth, category by category.

Beside the edition's detector stand the same without training (PCA), with no autoencoder at all (distance from the mean feature), on a
network that has learnt nothing, in the projected extension, and trained five times as long.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from torch import Tensor

from .. import literal
from ..data import Category, all_categories, fingerprint, load_category
from ..device import cores
from ..editions import edition
from ..extract import CachedFeatures, Extractor, sample
from ..files import write_text
from ..methods.cae import principal_components
from ..methods.dfr import DFR
from ..methods.train import total_steps
from ..metrics import evaluation
from ..scoring import upsample
from ..settings import Settings
from .variants import COMPONENTS

SEEDS = (0, 1, 2)
LONGER = 5
WHOLE, PROJECTED, LONG, UNTRAINED = "whole", "projected", f"whole, {LONGER}x", "untrained network"
#: Detectors that train: name -> settings that differ. Nine tenths of the variance of untrained features is light and shade.
VARIANTS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    PROJECTED: {"projection": COMPONENTS},
    LONG: {"steps": LONGER},
    UNTRAINED: {"weights": "untrained", "variance": 0.99},
}
#: Scores of the same features that need no training.
MEAN, PCA = "distance from the mean", "PCA"
ALL = (UNTRAINED, MEAN, PCA, WHOLE, PROJECTED, LONG)
#: (what is compared, with what, how far below it the mean may lie; None: nothing is aimed for)
COMPARED = (
    (WHOLE, UNTRAINED, None),
    (WHOLE, MEAN, None),
    (WHOLE, PCA, None),
    (PROJECTED, WHOLE, 0.005),
    (WHOLE, LONG, 0.01),
)
METRICS = {"roc_auc": "ROC-AUC", "pro_auc": "PRO-AUC"}


def run(out: Path, device: torch.device, *, quick: bool = False, data: str | None = None) -> list[dict[str, Any]]:
    """Fit all variants to every category and seed; write ``accuracy.json`` and ``accuracy.md`` into ``out``."""
    from ..data.synthetic import CATEGORIES

    size = edition("quick" if quick else "embedded")
    folders = all_categories(data) if data else ()
    named = [(name, True, partial(size.category, name)) for name in CATEGORIES[: 1 if quick else None]]
    named += [(name, False, partial(load_category, data, name)) for name in folders]
    size.data_root(CATEGORIES[: 1 if quick else None])  # made once, not by every process
    wanted = [(*one, replace(size.settings, seed=seed)) for one in named for seed in SEEDS[: 1 if quick else None]]
    # One thread each: small products gain little from two, and accuracy does not depend on who computes beside.
    workers = Parallel(n_jobs=1 if device.type == "cuda" else min(len(wanted), cores()), return_as="generator")
    rows: list[dict[str, Any]] = []
    for row in workers(delayed(_row)(*one, str(device)) for one in wanted):
        rows.append(row)
        print(f"{_name(row)}, seed {row['seed']}: " + "; ".join(f"{v} {_both(row[v])}" for v in ALL), flush=True)
        write_text(out / "accuracy.json", json.dumps(rows, indent=1) + "\n")
    text = table(rows, size.banner())
    write_text(out / "accuracy.md", text)
    print(text)
    return rows


def _row(name: str, synthetic: bool, load: Callable[[], Category], settings: Settings, device: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    return {"category": name, "synthetic": synthetic, "seed": settings.seed, **compare(load(), settings, torch.device(device))}


def compare(category: Category, settings: Settings, device: torch.device) -> dict[str, dict[str, float]]:
    """ROC-AUC and PRO-AUC of every variant and of what needs no training."""
    images, test = category.load_train(settings.image_size), category.load_test(settings.image_size)
    found = {}
    for variant, changes in VARIANTS.items():
        chosen = replace(settings, **changes)
        if "steps" in changes:
            chosen = replace(chosen, steps=changes["steps"] * total_steps(settings, len(images)))
        if variant in (WHOLE, UNTRAINED):  # the others have the network of the first
            extractor = Extractor(chosen, device)
            source = CachedFeatures(extractor.all(images.to(device)))
        detector = DFR(chosen, device=str(device), progress=False).use_extractor(extractor)
        detector.fit_features(source, fingerprint(images), tuple(images.shape[-2:]))
        found[variant] = _metrics(detector.anomaly_tensor(test[0]), test[1])
        if variant == WHOLE:
            found |= _untaught(source, extractor, detector, test)
    return found


@torch.inference_mode()
def _untaught(source: CachedFeatures, extractor: Extractor, detector: DFR, test: tuple[Tensor, Tensor]) -> dict[str, dict[str, float]]:
    """Distance from the mean regional feature, and what PCA with the detector's c_d leaves out (Appendix B's components)."""
    s = detector.settings
    samples = sample(source, s.pca_samples, s.seed, s.pca_images)
    mean, basis = samples.mean(0), principal_components(samples, detector.c_d_).to(samples.dtype)
    features = extractor.all(test[0])
    found = {}
    for name, directions in ((MEAN, basis[:0]), (PCA, basis)):
        maps = []
        for n in range(len(features)):
            f = features.take(slice(n, n + 1)).dense() - mean
            maps.append(literal.error((f - f @ directions.T @ directions).movedim(-1, 1), torch.zeros(())))
        found[name] = _metrics(upsample(torch.cat(maps), tuple(test[0].shape[-2:]), s.map_interpolation), test[1])
    return found


def _metrics(maps: Tensor, masks: Tensor) -> dict[str, float]:
    measured = evaluation(maps, masks.to(maps.device))
    return {metric: measured[metric] for metric in METRICS}


def table(rows: list[dict[str, Any]], banner: str) -> str:
    """Markdown: the mean and worst differences, then each category and seed."""
    lines = [
        "# Accuracy: what each part is worth",
        "",
        f"{banner.rpartition(' · ')[0]} · seeds {', '.join(str(s) for s in sorted({row['seed'] for row in rows}))} · "
        f"{COMPONENTS} components in `{PROJECTED}`.",
        f"`{MEAN}` and `{PCA}` score the same features without an autoencoder; `{UNTRAINED}` keeps 99 % of the variance;",
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
            goal, verdict = ("", "") if aim is None else (f"≥ −{aim}", "reached" if mean >= -aim else "missed")
            place = f"{_name(where)}, seed {where['seed']}"
            lines.append(f"| {variant} − {other} | {name} | {mean:+.4f} | {goal} | {verdict} | {worst:+.4f} | {place} |")
    lines += ["", f"| category | seed | {' | '.join(ALL)} |", "|---|---:|" + "---:|" * len(ALL)]
    synthetic = [row for row in rows if row["synthetic"]]
    means = [_both({metric: statistics.mean(row[v][metric] for row in synthetic) for metric in METRICS}) for v in ALL]
    lines.append(f"| mean, synthetic | all | {' | '.join(means)} |")
    for row in rows:
        lines.append(f"| {_name(row)} | {row['seed']} | {' | '.join(_both(row[v]) for v in ALL)} |")
    return "\n".join(lines) + "\n"


def _name(row: dict[str, Any]) -> str:
    return f"{'synthetic' if row['synthetic'] else 'real'} {row['category']}"


def _both(metrics: dict[str, float]) -> str:
    return " / ".join(f"{metrics[metric]:.4f}" for metric in METRICS)
