"""The choices of ST-p65 and ST-m."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...errors import DFRError, Setting
from ...settings import setting
from ..descriptors import DescribedSettings
from .network import LAYERS

# The small editions learn from the slim VGG19 that comes along (docs/choices.md).
_SLIM = {
    "backbone": "vgg19", "weights": "distilled", "width": 0.125, "padding": "reflect", "scale": 0.125, "dimension": 32,
    "teacher_batch": 8, "teacher_units": 6, "teacher_rate": 1e-3, "stride": 4, "learning_rate": 5e-4, "schedule": "onecycle",
    "readout": "solved",
}  # fmt: skip
#: The students' steps are what its few seconds a category allow.
_EMBEDDED = _SLIM | {"n_pictures": 48, "teacher_steps": 400, "steps": 100}


@dataclass(frozen=True)
class STSettings(DescribedSettings):
    """What both have in common; the defaults are the source's (arXiv 1911.02357, Section 4), but for the pictures."""

    patches: str = setting("65", "sizes of the patches: 65, or several of 17, 33 and 65 with commas between them")
    pictures: str = setting("leaves", "what the teachers look at: leaves (drawn), or a folder of photographs (ImageNet in the source)")
    n_pictures: int = setting(2000, "how many of them, at most")
    scale: float = setting(1.0, "scale of the patch networks' channels; 1 is the source's")
    dimension: int = setting(128, "d, numbers of a descriptor")
    knowledge: float = setting(1.0, "weight of the knowledge loss")
    metric: float = setting(1.0, "weight of the metric loss; 0 leaves it out")
    compactness: float = setting(1.0, "weight of the compactness loss")
    teacher_steps: int = setting(50_000, "optimiser steps of a teacher")
    teacher_batch: int = setting(64, "crops in a step of a teacher")
    teacher_units: int = setting(1, "patches along a side of a crop that a VGG is asked about; a resnet18 is asked about one")
    teacher_rate: float = setting(2e-4, "Adam's step size for a teacher")
    teacher_seed: int = setting(0, "seeds the pictures, an untrained backbone and the teachers, which all categories and seeds share")
    students: int = setting(3, "M, students of each teacher")
    stride: int = setting(1, "pixels from one patch to the next, in training and in the map: 1, 2, 4 or 8")
    crop: int | None = setting(None, "patches along a side of a crop that the students see in a step; none shows the whole image")
    batch_size: int = setting(1, "images in a batch of the students")
    learning_rate: float = setting(1e-4, "the students' Adam's step size; the peak of it for schedule=onecycle")
    schedule: str = setting("constant", "constant or onecycle, of teachers and students")
    readout: str = setting("trained", "the students' last, linear layer: trained, or also solved for, before and after training")
    weight_decay: float = setting(1e-5, "weight decay of teachers and students")
    epochs: int = setting(100, "passes of the students over the training images")
    steps: int | None = setting(None, "the students' optimiser steps; if given, it replaces epochs")
    seed: int = setting(0, "seeds the students and every random draw for them")

    EDITIONS = {"quick": _SLIM | {"n_pictures": 16, "teacher_steps": 40, "steps": 4}, "embedded": _EMBEDDED, "paper": {}}
    # What else a training reads: each step shows one crop of an image.
    positions = 1
    batch_norm = False
    #: Settings that a teacher depends on, beside its patches, the network and the pictures.
    OF_TEACHERS: ClassVar[tuple[str, ...]] = (
        "scale", "dimension", "knowledge", "metric", "compactness", "n_pictures", "teacher_steps", "teacher_batch", "teacher_units",
        "teacher_rate", "teacher_seed", "schedule", "weight_decay",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("schedule", ("constant", "onecycle"))
        self.check_choice("readout", ("trained", "solved"))
        for name in ("n_pictures", "teacher_steps", "teacher_batch", "teacher_units", "students", "batch_size", "epochs"):
            self.check_whole(name, 1)
        for name in ("crop", "steps"):
            if getattr(self, name) is not None:
                self.check_whole(name, 1)
        self.check_whole("dimension", 2)
        self.check_whole("teacher_seed", 0)
        self.check_seed()
        if self.stride not in (1, 2, 4, 8):
            raise DFRError(Setting("stride"), f"{self.stride!r} is not one of 1, 2, 4, 8")
        if not isinstance(self.pictures, str) or not self.pictures:
            raise DFRError(Setting("pictures"), f"{self.pictures!r} is not a name or a path")
        if not self.sizes or any(size not in LAYERS for size in self.sizes) or len(set(self.sizes)) < len(self.sizes):
            raise DFRError(Setting("patches"), f"{self.patches!r} are not sizes of patches", "write 65 or 17,33,65")
        self.check_resnet(teacher_units=1)
        self.check_share("scale")
        self.check_not_negative("knowledge", "metric", "compactness", "weight_decay")
        self.check_positive("learning_rate", "teacher_rate")
        if not self.knowledge + self.metric:
            raise DFRError(Setting("knowledge"), ("0, and ", Setting("metric"), " too: the teachers have nothing to learn"))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the patches, sorted; empty if ``patches`` names none."""
        parts = str(self.patches).split(",")
        return tuple(sorted(int(part) for part in parts)) if all(part.strip().isdecimal() for part in parts) else ()


@dataclass(frozen=True)
class STp65Settings(STSettings):
    """One size of patches, 65 pixels."""


@dataclass(frozen=True)
class STmSettings(STSettings):
    """All three sizes."""

    EDITIONS = STSettings.EDITIONS | {"embedded": _EMBEDDED | {"crop": 16, "steps": 40}}
    patches: str = setting("17,33,65", STSettings.__dataclass_fields__["patches"].metadata["help"])
