"""`dfr evaluate`: the paper's metrics of a model on labelled test images."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..editions import EDITIONS
from .options import chosen_data, chosen_model, tested_arguments

if TYPE_CHECKING:
    from ..methods.base import Detector

WORDS = "measure a model on labelled test images (JSON)"
EPILOG = """\
roc_auc is over pixels, pro_auc over regions up to an FPR of 0.3, image_roc_auc over images (null unless there are normal
and anomalous ones). Where defective images have no masks, only images are measured: what is over pixels is null.
seconds and fps are for scoring alone, without reading files.

examples:
  dfr evaluate leather.safetensors data --category leather
  dfr evaluate mine.safetensors my-photographs --test suspects --masks drawn"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr evaluate`."""
    tested_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr evaluate`."""
    data = chosen_data(args)
    from ..methods.measured import measured

    detector = chosen_model(args)
    threshold = detector.threshold(args.fpr)
    found = measured(detector, data, args.data)
    metrics, normal = found.metrics, found.maps[~found.labels]
    if found.masks is not None:
        metrics["counts"] |= {"anomalous_pixels": int(found.masks.sum()), "pixels": found.masks.numel()}
    metrics["counts"]["normal_images"] = len(normal)
    report = {"model": args.model, "method": detector.name, "data": args.data, "category": data.name} | metrics
    report |= {
        "fpr": args.fpr,
        "threshold": threshold,
        "fpr_on_normal_test_images": round(float((normal > threshold).float().mean()), 6) if len(normal) else None,
        **found.speed,
        "peak_memory_gib": _peak_memory(),
        "device": str(detector.device),
        "edition": edition_of(detector),
        **detector.learnt(),
        "settings": asdict(detector.settings),
    }
    print(json.dumps(report, indent=2), flush=True)
    return 0


def edition_of(detector: Detector) -> str | None:
    """The edition with these settings (whatever the seed); None if there is none."""
    own = {**asdict(detector.settings), "seed": 0}
    return next((name for name in EDITIONS if {**asdict(detector.of_edition(name)), "seed": 0} == own), None)


def _peak_memory() -> float | None:
    """The most main memory this process has taken, GiB."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)
