"""Trainings: one category and padding, and every layer set and seed that is wanted of one network (Section IV)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ... import scoring
from ...data import GOOD, Category, load_category
from ...device import arithmetic, cores, memory_budget, pick_device
from ...extract import Extractor, feature_source
from ...methods.dfr import DFR
from ...metrics import border_profile
from ...settings import Settings
from .images import showcase
from .thresholds import judged

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Fit and evaluate every wanted layer set on features extracted once."""
    shared = wanted[0].about
    category = load_category(lab.root, shared["category"])
    base = replace(lab.settings, padding=shared["padding"], seed=shared["seed"])  # the seed matters to untrained networks only
    device = pick_device(lab.device)
    # Features are extracted outside DFR.fit, too; without this CUDA would convolve in TF32.
    with arithmetic(base.precision, device):
        union = base.architecture.parse(",".join(record.about["layers"] for record in wanted))
        extractor = Extractor(replace(base, layers=",".join(map(str, union))), device)
        train_images = category.load_train(base.image_size)
        test_images, masks = category.load_test(base.image_size)
        budget = memory_budget(device) // (2 * max(1, cores() // lab.threads if device.type == "cpu" else 1))
        started = time.perf_counter()
        train = feature_source(extractor, train_images.to(device), budget)
        test = feature_source(extractor, test_images.to(device), budget)
        extraction = time.perf_counter() - started
        for record in wanted:
            settings = replace(base, layers=record.about["layers"], seed=record.about["seed"])
            checkpoint = lab.results / "checkpoints" / f"{record.key}.safetensors"
            detector = DFR(settings, device=lab.device, progress=False).use_extractor(extractor)
            data, size = lab.data_fingerprint(category.name), tuple(test_images.shape[-2:])
            started = time.perf_counter()
            # A run counted in epochs lasts long enough to be worth going on with after a kill.
            keep = checkpoint if settings.steps is None else None
            detector.fit_features(train.select(settings.layer_numbers), data, size, checkpoint=keep)
            fitted = time.perf_counter()
            more, arrays = _evaluated(detector, test, category, masks, size, len(train_images))
            seconds = {"extract_shared": extraction, "fit": fitted - started, "evaluate": time.perf_counter() - fitted}
            more |= {
                "data_fingerprint": data,
                "weights_fingerprint": lab.weights_fingerprint(settings.seed),
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
            }
            yield record, more, arrays
            checkpoint.unlink(missing_ok=True)  # not before the record is on the disk


def _evaluated(
    detector: DFR, source: Any, category: Category, masks: torch.Tensor, size: tuple[int, int], n_train: int
) -> tuple[dict, dict]:
    """What a record says of a fitted detector, and the arrays a figure needs."""
    settings: Settings = detector.settings
    test = source.select(settings.layer_numbers)
    regional = torch.cat([detector.regional_anomaly_map(batch) for batch in test.batches()])
    maps = scoring.upsample(regional, size, settings.map_interpolation, settings.kernel, settings.stride)
    good = [k for k, sample in enumerate(category.test) if sample.defect == GOOD]
    more = detector.learnt() | {"architecture": detector.architecture()} | judged(detector, maps, masks, category, n_train)
    arrays = {
        "maps": regional[showcase(category)].cpu().numpy(),
        "loss_curve": detector.loss_curve_,
        "border_profile": border_profile(regional[good].cpu().numpy()) if good else np.zeros(0, np.float32),
    }
    return more, arrays
