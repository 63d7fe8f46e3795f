"""The paper's experiments as a list of measurements (Section IV): which, in what order, at what cost.

A :class:`Job` is what one worker does: trainings of one category and padding, which share their features, or one of the small
measurements a figure needs. Each result is a record of its own, so a worker killed in the middle loses one training at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..backbones.weights import trained
from ..paper_numbers import BASELINES, REFINING
from .laboratory import Laboratory
from .trial import OWN, Needs, Setting

#: The category whose maps Figs. 2 and 3 are drawn with.
SHOWN = "hazelnut"


@dataclass(frozen=True)
class Wanted:
    """One record to be made.

    Attributes:
        about: its identity; that of a training is a :class:`dfr_core.lab.trial.Trial`.
        key: its key.
        cost: in arbitrary units.
        after: keys of the records it builds on.
    """

    about: dict[str, Any]
    key: str
    cost: float
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """What one worker does in one go: records of one kind and method (None: the run's)."""

    kind: str
    records: tuple[Wanted, ...]
    method: str | None = None

    @property
    def keys(self) -> list[str]:
        return [record.key for record in self.records]


def plan(lab: Laboratory, needs: Needs, categories: tuple[str, ...], seeds: int) -> list[Job]:
    """All jobs for what is needed, done or not, in the order they are best run; timings are :func:`speed_jobs`."""
    of_the_run = {"network": {"backbone": lab.protocol.backbone, "width": lab.protocol.width}, "statistics": {}}
    jobs = [_single(lab, kind, about) for kind, about in of_the_run.items() if kind in needs.kinds]
    for category in categories:
        if "images" in needs.kinds:
            jobs.append(_single(lab, "images", {"category": category}))
        jobs += _trainings(lab, needs, category, range(lab.settings.seed, lab.settings.seed + seeds))
        jobs += [_training_of(lab, category, setting) for setting in sorted(s for s in needs.trainings if len(s) == 3)]
    # Long jobs first, so that no worker is left with one at the end.
    jobs.sort(key=lambda job: -sum(record.cost for record in job.records))
    if "pipeline" in needs.kinds:
        trial = lab.protocol.trial(_shown(categories), lab.settings.seed, "1:12", lab.settings.padding)
        jobs.append(_single(lab, "pipeline", asdict(trial)))
    return jobs


def _trainings(lab: Laboratory, needs: Needs, category: str, seeds: range) -> Iterator[Job]:
    """The trainings of a category. Those of one job share their features: a network that has learnt is the same for all seeds."""
    groups = [seeds] if trained(lab.settings.weights) else [range(seed, seed + 1) for seed in seeds]
    for padding in ("zeros", "reflect"):
        own = [setting for setting in needs.trainings if len(setting) == 2]
        layer_sets = sorted({layers for layers, p in own if (lab.settings.padding if p == OWN else p) == padding})
        for group in groups if layer_sets else ():
            trials = [asdict(lab.protocol.trial(category, seed, layers, padding)) for seed in group for layers in layer_sets]
            yield Job("training", tuple(Wanted(t, lab.key("training", t), _cost(lab, t["layers"])) for t in trials))


def _training_of(lab: Laboratory, category: str, setting: Setting) -> Job:
    """The training of another method; one seed, since a rival's spread decides no claim."""
    layers, padding, method = setting
    trial = lab.protocol.trial(category, lab.settings.seed, layers, lab.settings.padding if padding == OWN else padding, method)
    return _single(lab, "training", asdict(trial), method=method)


def _shown(categories: tuple[str, ...]) -> str:
    return SHOWN if SHOWN in categories else categories[0]


def speed_jobs(lab: Laboratory, needs: Needs, jobs: list[Job], categories: tuple[str, ...]) -> list[Job]:
    """Timings, to be run one by one when all ``jobs`` are done and nothing else is running (IV-C3)."""
    trainings = [record for job in jobs if job.kind == "training" and job.method is None for record in job.records]
    timings = []
    for layers in REFINING if "speed" in needs.kinds else ():
        about = asdict(lab.protocol) | {"layers": layers, "padding": "reflect"}
        after = tuple(sorted(r.key for r in trainings if (r.about["layers"], r.about["padding"]) == (layers, "reflect")))
        timings.append(_single(lab, "speed", about, after))
    for method in BASELINES if "rival_speed" in needs.kinds else ():
        about = asdict(lab.protocol) | {"method": method, "category": _shown(categories), "seed": lab.settings.seed}
        timings.append(_single(lab, "rival_speed", about, method=method))
    return timings


def _single(lab: Laboratory, kind: str, about: dict[str, Any], after: tuple[str, ...] = (), method: str | None = None) -> Job:
    """A job of one record, of the run's method or of another."""
    lab = replace(lab, method=method or lab.method)
    return Job(kind, (Wanted(about, lab.key(kind, about, after), _cost(lab, "1"), after),), method)


def _cost(lab: Laboratory, layers: str) -> float:
    """Rough relative cost of a training: the CAE's multiplications, and a constant for the rest."""
    c_o = lab.settings.architecture.feature_dimension
    return 1.0 + (c_o(layers, lab.settings.width) / c_o("1:12", lab.settings.width)) ** 2
