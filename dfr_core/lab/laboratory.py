"""What all measurements of a run share, and the key under which each is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..backbones.weights import build_backbone, in_words, trained
from ..data import available, load_category
from ..device import cores, pick_device
from ..editions import Edition
from ..errors import DFRError
from ..methods import METHODS, method
from ..methods.base import Detector
from ..methods.model_file import versions
from ..records import Store, file_fingerprint, key_of
from ..settings import MethodSettings, Settings
from .code import code_version
from .trial import Protocol

#: Kinds of records that are a method's as much as the data's and the network's.
OF_A_METHOD = ("training", "pipeline", "speed", "rival_speed")


@dataclass(frozen=True)
class Laboratory:
    """What all jobs of a run share; small enough to be sent to any worker.

    Attributes:
        edition: name, and data and network in words.
        settings: base settings; padding, layers and seed are set by each experiment.
        root: the data set.
        results: folder of the records.
        device: name of the device.
        threads: CPU threads a worker computes with.
        synthetic: whether the data set was drawn here.
        mvtec: whether it is the paper's.
        method: name of the method that is measured.
    """

    edition: Edition
    settings: Settings
    root: Path
    results: Path
    device: str = "auto"
    threads: int = 1
    synthetic: bool = False
    mvtec: bool = False
    method: str = "DFR"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise DFRError("method", f"{self.method!r} is not one of {', '.join(METHODS)}")

    @property
    def store(self) -> Store:
        return Store(self.results)

    @property
    def protocol(self) -> Protocol:
        return Protocol.of(self.settings, self.method)

    def settings_of(self, seed: int) -> MethodSettings:
        """The settings of the method measured: the run's for DFR; a rival's of the edition, with the run's weights where it has such."""
        if self.method == "DFR":
            return replace(self.settings, seed=seed)
        theirs = method(self.method).of_edition(self.edition.name)
        changes: dict[str, Any] = {"seed": seed, "image_size": self.settings.image_size}
        if hasattr(theirs, "weights") and self.settings.weights != Settings.of_edition(self.edition.name).weights:
            changes["weights"] = self.settings.weights
        return replace(theirs, **changes)

    def detector(self, seed: int) -> Detector:
        """A detector of the method that is measured, not fitted yet."""
        return method(self.method)(self.settings_of(seed), device=self.device, progress=False)

    def smaller(self) -> dict[str, list[Any]]:
        """What the edition does on another scale than the method's own paper: setting -> [here, in its paper]."""
        theirs = asdict(method(self.method).of_edition("paper"))
        return {name: [value, theirs[name]] for name, value in asdict(self.settings_of(0)).items() if value != theirs[name]}

    def measured_in(self, kind: str) -> str:
        """The module that measures a kind of record of this method: trainings of rivals are not DFR's, which share their features."""
        return "lab.measures.rival" if kind == "training" and self.method != "DFR" else f"lab.measures.{kind}"

    def data_fingerprint(self, category: str) -> str:
        """Fingerprint of a category's images and masks."""
        return _data_fingerprint(self.root, category)

    def weights_fingerprint(self, seed: int) -> str:
        """Fingerprint of the network's weights; untrained ones come from the seed."""
        s = self.settings
        return _weights_fingerprint(s.backbone, s.weights, s.width, seed)

    def about(self, kind: str, **more: Any) -> dict[str, Any]:
        """The part of a record's ``about`` that every record has, and more."""
        protocol = asdict(self.protocol)
        if kind not in OF_A_METHOD:
            del protocol["method"]  # any method's run finds it
        return protocol | {
            "kind": kind,
            "edition": self.edition.name,
            "note": self.edition.note,
            "data": self.edition.data,
            "synthetic": self.synthetic,
            "mvtec": self.mvtec,
            "own_padding": self.settings.padding,
            "network": in_words(self.settings),
            "trained": trained(self.settings.weights),
            "code": self.code(kind),
            "versions": versions(),
            "device": device_in_words(self.device),
            "created": date.today().isoformat(),
            **more,
        }

    def code(self, kind: str) -> str:
        """Version of the code that a kind of record depends on: its measurement's, and that of the method measured."""
        modules = [self.measured_in(kind)]
        if kind in OF_A_METHOD:
            home = METHODS[self.method].partition(":")[0]
            modules.append(home.removeprefix("dfr_core."))
        return code_version(*modules)

    def key(self, kind: str, about: Mapping[str, Any], after: tuple[str, ...] = ()) -> str:
        """Key of a record: what was asked, on which data, weights and code, and which other records it builds on."""
        category, seed = about.get("category"), about.get("seed", self.settings.seed)
        words = [about[name] for name in ("method", "category", "padding", "seed", "layers") if name in about]
        return key_of(
            "-".join([kind, *map(str, words)]),
            kind=kind,
            about=about,
            settings=asdict(self.settings_of(seed)),
            data=[self.data_fingerprint(c) for c in ([category] if category else available(self.root))],
            weights=self.weights_fingerprint(seed),
            code=self.code(kind),
            after=after,
            # Speed is the machine's as much as the method's.
            device=device_in_words(self.device) if kind in ("speed", "rival_speed") else "",
        )


def device_in_words(name: str) -> str:
    """The device for a record."""
    device = pick_device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {cores()} cores"


@lru_cache(maxsize=64)
def _data_fingerprint(root: Path, category: str) -> str:
    return file_fingerprint(load_category(root, category).files)


@lru_cache(maxsize=16)
def _weights_fingerprint(backbone: str, weights: str, width: float, seed: int) -> str:
    return build_backbone(backbone, weights, width=width, seed=seed).fingerprint()
