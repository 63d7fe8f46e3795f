"""From a model and its test images to the contents of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...data import Category, fingerprint
from ...data.images import read_picture
from ...data.synthetic import STAMP
from ...errors import DFRError
from ...methods.base import Detector
from ...methods.model_file import versions
from ...metrics import evaluation
from ...plotting import TRUTH, encoded, outline
from ..evaluate import edition_of
from ..pictures import at_size, line_width, marked
from . import charts
from .findings import Finding, choices, findings, kinds, total
from .page import Report, Shown

#: Pixels of the longer side of a photograph in the report.
SIDE = 480
_QUALITY = 85


def report(detector: Detector, data: Category, fpr: float, name: str) -> Report:
    """Measure a model and choose what to show.

    Args:
        data: its test images; those that somebody drew masks for are measured pixel by pixel.
        fpr: of the segmentation threshold.
        name: of the model, for the heading.

    Raises:
        DFRError: there are no test images, or one or its mask cannot be read.
    """
    size = detector.settings.image_size
    if not data.test:
        raise DFRError(data.name, "has no test images to report on", "add a 'test' folder")
    white = detector.white_
    images, truth = (data.load_test_images(size, white), None) if data.without_mask else data.load_test(size, white)
    maps = detector.anomaly_tensor(images).cpu().numpy()
    masks = truth.numpy() if truth is not None and truth.any() else None
    threshold, highest = detector.threshold(fpr), detector.verdict_threshold()
    found = findings(data.test, maps, masks, threshold, highest)
    over_pixels = [charts.roc(maps, masks, found, threshold), charts.pro(maps, masks, threshold)] if masks is not None else []
    return Report(
        title=f"{name} on {data.name}",
        stamp=stamp(detector, data, fpr),
        notes=_notes(data, masks, found),
        numbers=_numbers(found, maps, masks),
        charts=[*over_pixels, charts.images(found), charts.pixels(maps, masks, threshold, highest)],
        galleries=[(heading, words, [_shown(f, maps, masks, threshold) for f in some]) for heading, words, some in choices(found)],
        kinds=kinds(found) + [row for row in (total(found),) if row],
        found=found,
        settings=_settings(detector, data, images, fpr),
    )


def stamp(detector: Detector, data: Category, fpr: float) -> str:
    """Whose numbers these are: edition, data, network, seed, threshold."""
    kind = "synthetic data" if synthetic(data) else "data"
    edition = edition_of(detector)
    made = f"{edition} edition" if edition else "own settings (no edition)"
    return " · ".join((made, f"{kind} {data.name}", detector.in_words(), f"seed {detector.settings.seed}", f"FPR {fpr:g}"))


def synthetic(data: Category) -> bool:
    """Whether the test images were drawn by `dfr make-data`."""
    return any((folder / STAMP).is_file() for folder in data.test[0].path.absolute().parents[:3])


def _notes(data: Category, masks: np.ndarray | None, found: Sequence[Finding]) -> list[str]:
    notes = []
    if synthetic(data):
        notes.append("The images are synthetic: drawings made by a program, no photographs.")
    if masks is None:
        notes.append(_unmasked(data))
    if not all(finding.known for finding in found):
        notes.append("Nobody said which images are good, so no verdict can be called right or wrong.")
    return notes


def _unmasked(data: Category) -> str:
    missing = len(data.without_mask)
    why = f"{missing} of {len(data.test)} test images have no mask that says" if missing else "No mask says"
    return f"{why} where the defects are, so there are no curves over pixels, and no defect is counted as found."


def _numbers(found: Sequence[Finding], maps: np.ndarray, masks: np.ndarray | None) -> list[tuple[str, str]]:
    defective, good = [f for f in found if f.defective], [f for f in found if f.known and not f.defective]
    unknown = [f for f in found if not f.known]
    numbers = [
        (f"{sum(f.anomalous for f in images)} of {len(images)}", words)
        for images, words in (
            (defective, "defective images called anomalous"),
            (good, "good images called anomalous"),
            (unknown, "images called anomalous"),
        )
        if images
    ]
    if masks is None:
        return numbers
    metrics = evaluation(torch.from_numpy(maps), torch.from_numpy(masks))
    named = (("roc_auc", "ROC-AUC over pixels"), ("pro_auc", "PRO-AUC, each defect alike"), ("image_roc_auc", "ROC-AUC over images"))
    return numbers + [(f"{metrics[name]:.3f}", words) for name, words in named if metrics[name] is not None]


def _settings(detector: Detector, data: Category, images: torch.Tensor, fpr: float) -> list[tuple[str, str]]:
    rows: list[tuple[str, Any]] = [
        ("edition", edition_of(detector) or "none: own settings"),
        ("data", f"{data.name}{' (synthetic)' if synthetic(data) else ''}, {len(images)} test images"),
        ("test images, fingerprint", fingerprint(images)),
        ("training images, fingerprint", detector.data_fingerprint_),
        ("network's weights, fingerprint", detector.weights_fingerprint_),
        ("segmentation threshold", f"{detector.threshold(fpr):.6g} (FPR {fpr:g} on {detector.n_normal_pixels_} normal pixels)"),
        ("verdict's threshold", f"{detector.verdict_threshold():.6g} (the largest score of all normal images known)"),
        ("false alarms promised", _promise(detector)),
        ("method", detector.name),
        *((name, str(value)) for name, value in detector.learnt().items()),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]
    values = asdict(detector.settings)
    if "weights" in values:
        values["weights"] = Path(values["weights"]).name  # a folder's name is nobody else's business
    rows += [(name, value if isinstance(value, str) else "none" if value is None else json.dumps(value)) for name, value in values.items()]
    return [(name, str(value)) for name, value in rows]


def _promise(detector: Detector) -> str:
    kept = len(detector.verdict_.kept)
    return f"at most 1 in {kept + 1} good images like the {kept} kept" if kept else "none: no images were kept from training (--calibrate)"


def _shown(finding: Finding, maps: np.ndarray, masks: np.ndarray | None, threshold: float) -> Shown:
    """The photograph in its own shape, with the truth and with what was found."""
    picture = read_picture(finding.sample.path)
    picture.thumbnail((SIDE, SIDE))
    image = np.asarray(picture)
    photograph, width = image, 1 + line_width(image.shape)  # bold enough to be seen from the back of a room
    if masks is not None:
        mask = Image.fromarray(masks[finding.index]).resize(picture.size, Image.Resampling.NEAREST)
        photograph = outline(image, np.asarray(mask), TRUTH, width)
    overlay = marked(picture, at_size(maps[finding.index], *image.shape[:2]), threshold, width)
    return Shown(finding, _jpeg(Image.fromarray(photograph)), _jpeg(overlay))


def _jpeg(picture: Image.Image) -> bytes:
    return encoded(picture, "JPEG", quality=_QUALITY, subsampling=0)  # else thin coloured lines fade
