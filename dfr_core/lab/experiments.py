"""The paper's experiments as a list of measurements, and how each is made (Section IV).

A :class:`Job` is what one worker does: the trainings of one category, padding and seed, which share their
features, or one of the small measurements a figure needs. Each result is a record of its own, so a worker
killed in the middle loses one training at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import scoring
from ..backbones.weights import build_backbone, in_words
from ..data import Category, available, load_category, statistics
from ..device import arithmetic, load_average, memory_budget, pick_device
from ..editions import Edition
from ..extract import Extractor, feature_source
from ..methods.cae import CAE
from ..methods.dfr import DFR, evaluation, versions
from ..receptive_field import conv_fields, regional_field
from ..records import Record, Store, code_version, file_fingerprint, key_of
from ..regional import axis_operator
from ..settings import Settings

#: Scale sets of Figs. 1 and 5-8, and of Tables IV and VI.
GROWING = ("1:2", "1:4", "1:8", "1:12", "1:16")
SHRINKING = ("12", "9:12", "5:12", "3:12", "1:12")
#: The category whose maps Figs. 2 and 3 are drawn with.
SHOWN = "hazelnut"

_ZEROS = {("zeros", layers) for layers in (*GROWING, *SHRINKING)}
_REFLECT = {("reflect", layers) for layers in SHRINKING}
#: item -> the trainings (padding, layers) and other kinds of records it is drawn from.
NEEDS: dict[str, tuple[set[tuple[str, str]], set[str]]] = {
    "table1": (set(), {"network"}),
    "fig1": ({("zeros", layers) for layers in GROWING}, {"images"}),
    "fig2": (set(), {"pipeline"}),
    "fig3": (set(), {"pipeline", "network"}),
    "table2": ({("zeros", "1:12"), ("zeros", "1:16")}, set()),
    "table3": ({("zeros", "1:12"), ("zeros", "1:16")}, set()),
    "fig4": ({("zeros", "1:12")}, {"images"}),
    **{f"fig{n}": ({("zeros", layers) for layers in GROWING}, set()) for n in (5, 6, 7, 8)},
    "table4": ({("zeros", layers) for layers in SHRINKING}, set()),
    "fig9": ({("zeros", "1:12"), ("reflect", "1:12")}, {"images"}),
    "table5": ({("zeros", "1:12"), ("reflect", "1:12")}, set()),
    "table6": (_REFLECT, {"speed"}),
    "table7": (set(), {"statistics"}),
    "table8": ({("zeros", "1:12"), ("zeros", "1:16")}, set()),
    "claims": (_ZEROS | _REFLECT, {"speed"}),
    "contact": (set(), {"images"}),
}


@dataclass(frozen=True)
class Laboratory:
    """What all jobs of a run share; small enough to be sent to any worker.

    Attributes:
        edition: name, data and network in words.
        settings: base settings; padding, layers and seed are set by each experiment.
        root: the data set.
        results: folder of the records.
        device: name of the device.
        threads: CPU threads a worker computes with.
    """

    edition: Edition
    settings: Settings
    root: Path
    results: Path
    device: str = "auto"
    threads: int = 1

    @property
    def store(self) -> Store:
        return Store(self.results)

    def about(self, kind: str, **more: Any) -> dict[str, Any]:
        """The part of a record's ``about`` that every record has."""
        return {
            "kind": kind,
            "edition": self.edition.name,
            "data": self.edition.data,
            "network": in_words(self.settings),
            "code": code_version(),
            "versions": versions(),
            "device": device_in_words(self.device),
            "created": date.today().isoformat(),
            **more,
        }

    def key(self, kind: str, after: tuple[str, ...] = (), **about: Any) -> str:
        """Key of a record: what was asked, on which data, weights and code, and which other records it builds on."""
        category, seed = about.get("category"), about.get("seed", self.settings.seed)
        return key_of(
            "-".join([kind, *(str(v) for v in about.values())]),
            kind=kind,
            about=about,
            settings=asdict(replace(self.settings, seed=seed)),
            data=[_data_fingerprint(self.root, c) for c in ([category] if category else available(self.root))],
            weights=_weights_fingerprint(self.settings.backbone, self.settings.weights, self.settings.width, seed),
            code=code_version(),
            after=after,
            # Speed is the machine's as much as the method's.
            device=device_in_words(self.device) if kind == "speed" else "",
        )


@dataclass(frozen=True)
class Job:
    """What one worker does in one go: named records and their cost in arbitrary units."""

    kind: str
    about: tuple[tuple[str, Any], ...]
    records: tuple[tuple[str, str, float], ...]  # (what: a layer set or "", key, cost)

    @property
    def keys(self) -> list[str]:
        return [key for _, key, _ in self.records]


def plan(lab: Laboratory, items: set[str], categories: tuple[str, ...], seeds: int) -> list[Job]:
    """All jobs that the wanted items need, done or not, in the order they are best run."""
    trainings = set().union(*(NEEDS[item][0] for item in items))
    kinds = set().union(*(NEEDS[item][1] for item in items))
    jobs = []
    if "network" in kinds:
        jobs.append(_single(lab, "network"))
    if "statistics" in kinds:
        jobs.append(_single(lab, "statistics"))
    for category in categories:
        if "images" in kinds:
            jobs.append(_single(lab, "images", category=category))
        for seed in range(seeds):
            for padding in ("zeros", "reflect"):
                wanted = sorted(layers for p, layers in trainings if p == padding)
                if wanted:
                    about = {"category": category, "padding": padding, "seed": lab.settings.seed + seed}
                    records = tuple((w, lab.key("training", **about, layers=w), _cost(lab, w)) for w in wanted)
                    jobs.append(Job("training", tuple(about.items()), records))
    # Long jobs first, so that no worker is left with one at the end.
    jobs.sort(key=lambda job: -sum(cost for _, _, cost in job.records))
    if "pipeline" in kinds:
        shown = SHOWN if SHOWN in categories else categories[0]
        jobs.append(_single(lab, "pipeline", category=shown))
    return jobs


def speed_jobs(lab: Laboratory, items: set[str], jobs: list[Job]) -> list[Job]:
    """Timings, to be run one by one when all ``jobs`` are done and nothing else is running (IV-C3)."""
    if not any("speed" in NEEDS[item][1] for item in items):
        return []
    timings = []
    for layers in SHRINKING:
        about = {"layers": layers, "padding": "reflect"}
        after = tuple(sorted(key for job in jobs if ("padding", "reflect") in job.about for what, key, _ in job.records if what == layers))
        timings.append(Job("speed", (*about.items(), ("after", after)), (("", lab.key("speed", after, **about), _cost(lab, "1")),)))
    return timings


def _single(lab: Laboratory, kind: str, **about: Any) -> Job:
    return Job(kind, tuple(about.items()), (("", lab.key(kind, **about), _cost(lab, "1")),))


def _cost(lab: Laboratory, layers: str) -> float:
    """Rough relative cost of a training: the CAE's multiplications, and a constant for the rest."""
    c_o = lab.settings.architecture.feature_dimension
    return 1.0 + (c_o(layers, lab.settings.width) / c_o("1:12", lab.settings.width)) ** 2


def run_job(lab: Laboratory, job: Job, tell: Callable[[str], None] | None = None) -> None:
    """Make the records of a job that are not there yet."""
    missing = [record for record in job.records if not lab.store.has(record[1])]
    if not missing:
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(lab.threads)
    try:
        # Features are extracted outside DFR.fit, too; without this CUDA would convolve in TF32.
        with arithmetic(lab.settings.precision, pick_device(lab.device)):
            for key, record in _MAKERS[job.kind](lab, dict(job.about), missing):
                lab.store.put(key, record)
                if tell:
                    tell(key)
    finally:
        torch.set_num_threads(threads)


def _trainings(lab: Laboratory, about: dict[str, Any], wanted: list[tuple[str, str, float]]) -> Iterator[tuple[str, Record]]:
    """Fit and evaluate every wanted layer set on features extracted once."""
    category = load_category(lab.root, about["category"])
    base = replace(lab.settings, padding=about["padding"], seed=about["seed"])
    device = pick_device(lab.device)
    union = base.architecture.parse(",".join(layers for layers, _, _ in wanted))
    extractor = Extractor(replace(base, layers=",".join(map(str, union))), device)
    train_images = category.load_train(base.image_size)
    test_images, masks = category.load_test(base.image_size)
    budget = memory_budget(device) // (2 * max(1, (os.cpu_count() or 1) // lab.threads if device.type == "cpu" else 1))
    started = time.perf_counter()
    train_source = feature_source(extractor, train_images.to(device), budget)
    test_source = feature_source(extractor, test_images.to(device), budget)
    extraction = time.perf_counter() - started
    data = _data_fingerprint(lab.root, about["category"])
    shown = showcase(category)
    size = tuple(test_images.shape[-2:])
    for layers, key, _ in wanted:
        settings = replace(base, layers=layers)
        checkpoint = lab.results / "checkpoints" / f"{key}.safetensors"
        detector = DFR(settings, device=lab.device, progress=False).use_extractor(extractor)
        started = time.perf_counter()
        # A run counted in epochs lasts long enough to be worth going on with after a kill.
        keep = checkpoint if settings.steps is None else None
        detector.fit_features(train_source.select(settings.layer_numbers), data, size, checkpoint=keep)
        fitted = time.perf_counter()
        test = test_source.select(settings.layer_numbers)
        regional = torch.cat([detector.regional_map(batch) for batch in test.batches()])
        maps = scoring.upsample(regional, size, settings.map_interpolation)
        result = evaluation(maps, masks.to(maps.device))
        good = [k for k, sample in enumerate(category.test) if sample.defect == "good"]
        record = Record(
            lab.about(
                "training",
                **about,
                layers=layers,
                settings=asdict(settings),
                data_fingerprint=data,
                weights_fingerprint=_weights_fingerprint(base.backbone, base.weights, base.width, base.seed),
                c_o=detector.c_o_,
                c_d=detector.c_d_,
                architecture=detector.architecture(),
                metrics={k: result[k] for k in ("roc_auc", "pro_auc", "image_roc_auc")},
                counts=result["counts"] | {"train_images": len(train_images)},
                thresholds={"0": detector.threshold(0), "0.005": detector.threshold(0.005)},
                normal_fpr=_normal_fpr(maps[good], detector),
                seconds={
                    "extract_shared": round(extraction, 3),
                    "fit": round(fitted - started, 3),
                    "evaluate": round(time.perf_counter() - fitted, 3),
                },
            ),
            {
                "maps": regional[shown].cpu().numpy(),
                "loss_curve": detector.loss_curve_,
                "border_profile": border_profile(regional[good].cpu().numpy()) if good else np.zeros(0, np.float32),
            },
        )
        yield key, record
        checkpoint.unlink(missing_ok=True)  # not before the record is on the disk


def _normal_fpr(maps: torch.Tensor, detector: DFR) -> dict[str, float]:
    """Share of pixels above the thresholds in normal test images, which training has not seen."""
    return {fpr: float((maps > detector.threshold(float(fpr))).float().mean()) for fpr in ("0", "0.005") if len(maps)}


def border_profile(maps: np.ndarray) -> np.ndarray:
    """Mean score by distance from the border, over the mean of the inner half: [N, h, w] -> [min(h, w) // 2].

    1 everywhere is a map without a boundary effect (IV-C2).
    """
    h, w = maps.shape[1:]
    rows, cols = np.minimum(np.arange(h), np.arange(h)[::-1]), np.minimum(np.arange(w), np.arange(w)[::-1])
    distance = np.minimum(rows[:, None], cols[None])
    steps = min(h, w) // 2
    mean = maps.mean(0)
    profile = np.array([mean[distance == d].mean() for d in range(steps)], np.float32)
    return profile / mean[distance >= steps // 2].mean()


def showcase(category: Category) -> list[int]:
    """Which test images a figure may show: the first normal one, and the first of every defect type."""
    first: dict[str, int] = {}
    for k, sample in enumerate(category.test):
        first.setdefault(sample.defect, k)
    return [first[d] for d in sorted(first, key=lambda d: (d != "good", d))]


def _images(lab: Laboratory, about: dict[str, Any], wanted: list) -> Iterator[tuple[str, Record]]:
    category = load_category(lab.root, about["category"])
    images, masks = category.load_test(lab.settings.image_size)
    shown = showcase(category)
    arrays = {"images": images[shown].permute(0, 2, 3, 1).numpy(), "masks": masks[shown].numpy()}
    yield wanted[0][1], Record(lab.about("images", **about, defects=[category.test[k].defect for k in shown]), arrays)


def _statistics(lab: Laboratory, about: dict[str, Any], wanted: list) -> Iterator[tuple[str, Record]]:
    yield wanted[0][1], Record(lab.about("statistics", rows=[row._asdict() for row in statistics(lab.root)]))


def _network(lab: Laboratory, about: dict[str, Any], wanted: list) -> Iterator[tuple[str, Record]]:
    width, network = lab.settings.width, lab.settings.architecture
    fields = conv_fields(build_backbone(network.name, "untrained", width=width).stack)
    rows = [{"layer": k, "size": f.size, "jump": f.jump, "centre": f.centre} for k, f in enumerate(fields, start=1)]
    yield wanted[0][1], Record(lab.about("network", receptive_fields=rows, channels=list(network.channels(width))))


def _pipeline(lab: Laboratory, about: dict[str, Any], wanted: list) -> Iterator[tuple[str, Record]]:
    """One defective image on its way through all stages (Figs. 2 and 3)."""
    category = load_category(lab.root, about["category"])
    settings = replace(lab.settings, layers="1:12")
    detector = DFR(settings, device=lab.device, progress=False).fit(category)
    images, masks = category.load_test(settings.image_size)
    # The largest defect, so that a reader sees it at every stage.
    k = int(masks.flatten(1).sum(1).argmax())
    image, size = images[k : k + 1], tuple(images.shape[-2:])
    with torch.inference_mode():
        maps = dict(detector.extractor.backbone.feature_maps(image.to(detector.device), settings.layer_numbers))
        features = detector.extractor.generator(maps.items(), size)
        dense = features.dense()
        reconstruction = detector.reconstruct(dense)
        regional = detector.regional_map(features)
        anomaly = scoring.upsample(regional, size, settings.map_interpolation)[0]
    arrays = {"image": image[0].permute(1, 2, 0).numpy(), "mask": masks[k].numpy()}
    offset = 0
    centre = (features.shape[0] // 2, features.shape[1] // 2)
    regional_fields = []
    stack = conv_fields(detector.extractor.backbone.stack)
    slices = []
    for layer, phi in maps.items():
        strongest = phi[0].flatten(1).std(1).topk(min(3, phi.shape[1])).indices
        if layer in (1, 4, 8, 12):
            best = phi[:, strongest[:1]]
            arrays[f"phi_{layer}"] = phi[0, strongest].cpu().numpy()
            arrays[f"aligned_{layer}"] = torch.nn.functional.interpolate(best, size=size, mode="nearest")[0, 0].cpu().numpy()
            arrays[f"aggregated_{layer}"] = features.maps[layer].expand()[0, :, :, strongest[0]].cpu().numpy()
            slices.append(offset + int(strongest[0]))
        offset += phi.shape[1]
        args = (settings.kernel, settings.stride, settings.interpolation)
        top, bottom = regional_field(axis_operator(phi.shape[2], size[0], *args), centre[0], stack[layer - 1])
        left, right = regional_field(axis_operator(phi.shape[3], size[1], *args), centre[1], stack[layer - 1])
        regional_fields.append([top, left, bottom, right])
    arrays |= {
        "f": dense[0, :, :, slices].permute(2, 0, 1).cpu().numpy(),
        "reconstruction": reconstruction[0, :, :, slices].permute(2, 0, 1).cpu().numpy(),
        "regional_map": regional[0].cpu().numpy(),
        "anomaly_map": anomaly.cpu().numpy(),
        "segmentation": scoring.segment(anomaly, detector.threshold(0.005)).cpu().numpy(),
    }
    more = {
        "defect": category.test[k].defect,
        "position": list(centre),
        "regional_fields": regional_fields,
        "c_o": detector.c_o_,
        "c_d": detector.c_d_,
        "padding": settings.padding,
        "seed": settings.seed,
        "thresholds": {"0": detector.threshold(0), "0.005": detector.threshold(0.005)},
    }
    yield wanted[0][1], Record(lab.about("pipeline", **about, **more), arrays)


def _speed(lab: Laboratory, about: dict[str, Any], wanted: list) -> Iterator[tuple[str, Record]]:
    """Frames a second, uint8 image to full-size map, one image at a time (IV-C3, Table VI).

    The weights do not change the time, so the CAE is a fresh one of the size that the trainings of this
    layer set came to (their median c_d).
    """
    sizes = [record.about["c_d"] for record in lab.store.load(about.pop("after"))]
    settings = replace(lab.settings, padding=about["padding"], layers=about["layers"])
    c_o = settings.architecture.feature_dimension(settings.layers, settings.width)
    c_d = int(np.median(sizes)) if sizes else max(1, c_o // 10)
    torch.set_num_threads(os.cpu_count() or 1)  # alone on the machine
    detector = DFR(settings, device=lab.device, progress=False)
    detector.adopt(CAE(c_o, c_d, settings.hidden, settings.batch_norm, settings.seed))
    image = torch.zeros(1, 3, settings.image_size, settings.image_size, dtype=torch.uint8)
    times = []
    for _ in range(13):
        started = time.perf_counter()
        detector.maps(image).cpu()  # reading the map back waits for the device
        times.append(time.perf_counter() - started)
    seconds = float(np.median(times[3:]))
    more = {
        "fps": 1 / seconds,
        "batch": 1,
        "c_o": c_o,
        "c_d": c_d,
        "load": load_average(),
        "seed": settings.seed,
    }
    yield wanted[0][1], Record(lab.about("speed", **about, **more))


_MAKERS: dict[str, Callable[..., Iterator[tuple[str, Record]]]] = {
    "training": _trainings,
    "images": _images,
    "statistics": _statistics,
    "network": _network,
    "pipeline": _pipeline,
    "speed": _speed,
}


def device_in_words(name: str) -> str:
    """The device for a record."""
    device = pick_device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"


@lru_cache(maxsize=64)
def _data_fingerprint(root: Path, category: str) -> str:
    loaded = load_category(root, category)
    files = [*loaded.train, *(s.path for s in loaded.test), *(s.mask for s in loaded.test if s.mask)]
    return file_fingerprint(files)


@lru_cache(maxsize=16)
def _weights_fingerprint(backbone: str, weights: str, width: float, seed: int) -> str:
    return build_backbone(backbone, weights, width=width, seed=seed).fingerprint()
