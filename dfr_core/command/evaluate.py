"""`dfr evaluate`: the paper's metrics of a model on labelled test images."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..editions import EDITIONS
from ..errors import DFRError
from .options import chosen_data, chosen_model, data_arguments, fpr_argument, model_arguments

if TYPE_CHECKING:
    import torch

    from ..data import Category
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
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    data_arguments(parser)
    parser.add_argument("--test", metavar="DIR", help="photographs: images to test with (default: DATA/test)")
    parser.add_argument("--masks", metavar="DIR", help="photographs: their masks, named as the images (default: DATA/masks)")
    fpr_argument(parser)
    model_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr evaluate`."""
    data = chosen_data(args)
    import torch

    from ..data.arrays import as_labelled
    from ..metrics import evaluation

    detector = chosen_model(args)
    threshold = detector.threshold(args.fpr)
    settings = detector.settings
    if images_only := _knows_images_only(data):
        images, masks = data.load_test_images(settings.image_size), None
    else:
        images, masks = as_labelled(data, settings.image_size)
        if not masks.any():
            raise DFRError(args.data, "no anomalous pixel in its test images, so there is nothing to measure", "add anomalous test images")
    started = time.perf_counter()
    maps = detector.anomaly_tensor(images)
    if maps.is_cuda:
        torch.cuda.synchronize(maps.device)
    seconds = time.perf_counter() - started
    if images_only:
        labels = torch.tensor(data.labels, device=maps.device)
        metrics, normal = _of_images(maps, labels), maps[~labels]
    else:
        masks = masks.to(maps.device)
        metrics = evaluation(maps, masks)
        normal = maps[~masks.flatten(1).any(1)]
        metrics["counts"] |= {"anomalous_pixels": int(masks.sum()), "pixels": masks.numel()}
    metrics["counts"]["normal_images"] = len(normal)
    report = {"model": args.model, "method": detector.name, "data": args.data, "category": data.name} | metrics
    report |= {
        "fpr": args.fpr,
        "threshold": threshold,
        "fpr_on_normal_test_images": round(float((normal > threshold).float().mean()), 6) if len(normal) else None,
        "seconds": round(seconds, 4),
        "fps": round(len(images) / seconds, 2),
        "peak_memory_gib": _peak_memory(),
        "device": str(detector.device),
        "edition": edition_of(detector),
        **detector.learnt(),
        "settings": asdict(settings),
    }
    print(json.dumps(report, indent=2), flush=True)
    return 0


def _knows_images_only(data: Category) -> bool:
    """Whether it is known which test images are good, but not where all the defects are; that is told."""
    from ..data import GOOD, UNKNOWN
    from ..data.notes import Note, tell

    kinds = {sample.defect for sample in data.test}
    if not data.without_mask or UNKNOWN in kinds or GOOD not in kinds:
        return False  # loading says what is missing
    why = "has no mask, so only images are measured, no pixels (roc_auc and pro_auc are null)"
    tell(Note(sample.path, why) for sample in data.without_mask)
    return True


def _of_images(maps: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """What can be measured without masks; the rest is None."""
    from ..metrics import image_score, roc_auc

    counts = {"images": len(maps), "anomalous_images": int(labels.sum()), "anomalous_regions": None}
    return {"roc_auc": None, "pro_auc": None, "image_roc_auc": roc_auc(image_score(maps), labels), "counts": counts}


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
