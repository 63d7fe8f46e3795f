"""Every choice of the method in one place.

The defaults are the paper's (Section IV-A3, IV-A4 and Appendix B); :func:`released` holds the choices of
the authors' public code where it differs. ``DEVIATIONS`` says, once, where paper, public code and this
package part.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .backbones.architecture import Architecture, architecture
from .errors import DFRError

INTERPOLATIONS = ("nearest", "bilinear", "bilinear-aligned")


@dataclass(frozen=True)
class Settings:
    """All choices that change the result. Immutable; use :func:`dataclasses.replace` to vary one.

    Attributes:
        image_size: side in pixels to which images are resized (IV-A4).
        backbone: name of the frozen network; ``"vgg19"`` is the paper's (III-A).
        weights: its weights: ``"imagenet"``, ``"untrained"`` (He initialisation from ``seed``) or a file.
        width: scale of the backbone's channels; 1 is the real network (IV-A3).
        padding: padding of the convolutions, ``"zeros"`` or ``"reflect"`` (IV-C2).
        layers: layer set such as ``1:12``, ``12`` or ``1,5,12`` (IV-B uses ``1:12`` and ``1:16``).
        interpolation: alignment of the maps, Eq. 1: ``nearest``, ``bilinear`` or ``bilinear-aligned``.
        kernel: side of the mean filter in pixels, Eq. 2.
        stride: stride of the mean filter in pixels, Eq. 2.
        keep_padding: align the reflection-padded maps (public code) instead of the maps themselves.
        latent_dim: ``c_d``; None estimates it with PCA (Appendix B).
        variance: share of the variance the PCA must explain (Appendix B).
        pca_samples: regional features drawn for the PCA.
        pca_images: draw them from the first so many images only; None draws from all.
        hidden: width of the CAE's outer hidden layers: ``"table-viii"`` is (c_o + c_d)/2, ``"released"``
            (c_o + 2 c_d)/2.
        batch_norm: batch normalisation before each ReLU of the CAE.
        initialisation: the CAE's first weights: ``"default"`` (torch's; the paper names none), ``"centred"`` or
            ``"pca"``, see :meth:`dfr_core.methods.cae.CAE.centre` and :meth:`dfr_core.methods.cae.CAE.start_from_pca` and
            :meth:`dfr_core.methods.cae.CAE.solve_last_layer`.
        loss: ``"l2"`` (Eq. 4) or ``"squared"`` (mean squared error).
        score: ``"l2"`` (Eq. 5) or ``"squared"`` (mean squared error over channels).
        map_interpolation: upsampling of the anomaly map (III-D): ``bilinear`` or ``bilinear-aligned``.
        learning_rate: Adam's step size; the peak of it for ``schedule="onecycle"``.
        schedule: ``"constant"`` (IV-A4) or ``"onecycle"``.
        batch_size: images in a batch (IV-A4).
        positions: regional features drawn from each image of a batch; None takes all of them.
        epochs: passes over the training images (IV-A4).
        steps: optimiser steps; if given, it replaces ``epochs``.
        projection: None is the paper's method. A number switches to the ``projected`` extension: so many
            principal components (see :mod:`dfr_core.methods.projected`).
        precision: ``"fp32"``, or on CUDA ``"tf32"`` or ``"bf16"`` (the backbone in bf16, the CAE in TF32).
        seed: seeds the untrained backbone, the CAE, and every random draw.
    """

    image_size: int = 256
    backbone: str = "vgg19"
    weights: str = "imagenet"
    width: float = 1.0
    padding: str = "zeros"
    layers: str = "1:12"
    interpolation: str = "nearest"
    kernel: int = 4
    stride: int = 4
    keep_padding: bool = False
    latent_dim: int | None = None
    variance: float = 0.9
    pca_samples: int = 20_000
    pca_images: int | None = None
    hidden: str = "table-viii"
    batch_norm: bool = False
    initialisation: str = "default"
    loss: str = "l2"
    score: str = "l2"
    map_interpolation: str = "bilinear"
    learning_rate: float = 1e-4
    schedule: str = "constant"
    batch_size: int = 4
    positions: int | None = None
    epochs: int = 700
    steps: int | None = None
    projection: int | None = None
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        self.architecture.parse(self.layers)
        _choice(self, "padding", ("zeros", "reflect"))
        _choice(self, "interpolation", INTERPOLATIONS)
        _choice(self, "hidden", ("table-viii", "released"))
        _choice(self, "initialisation", ("default", "centred", "pca"))
        _choice(self, "loss", ("l2", "squared"))
        _choice(self, "score", ("l2", "squared"))
        _choice(self, "map_interpolation", ("bilinear", "bilinear-aligned"))
        _choice(self, "schedule", ("constant", "onecycle"))
        _choice(self, "precision", ("fp32", "tf32", "bf16"))
        if self.initialisation == "pca" and self.batch_norm:
            raise DFRError("initialisation: 'pca' does not go with batch_norm, which would rescale it; use 'centred' or 'default'")
        for name in ("image_size", "kernel", "stride", "batch_size", "epochs", "pca_samples"):
            _whole(self, name, 1)
        for name in ("latent_dim", "positions", "steps", "pca_images", "projection"):
            if getattr(self, name) is not None:
                _whole(self, name, 1)
        _whole(self, "seed", 0)
        if self.seed >= 2**63:
            raise DFRError(f"seed: {self.seed} is above 2**63 - 1, the largest that torch takes")
        if not isinstance(self.weights, str) or not self.weights:
            raise DFRError("weights: give 'imagenet', 'untrained' or the path of a weights file")
        for name in ("width", "variance", "learning_rate"):
            _typed(self, name, (int, float), "a number")
        for name in ("keep_padding", "batch_norm"):
            _typed(self, name, bool, "True or False")  # "no" would count as yes
        if not 0 < self.width <= 1:
            raise DFRError(f"width: {self.width} is not in (0, 1]; 1 is the full {self.architecture.title}")
        if not 0 < self.variance <= 1:
            raise DFRError(f"variance: {self.variance} is not in (0, 1]; the paper uses 0.9")
        if not 0 < self.learning_rate < float("inf"):
            raise DFRError(f"learning_rate: {self.learning_rate} is not a positive number; the paper uses 1e-4")
        if self.kernel > self.image_size:
            raise DFRError(f"kernel: {self.kernel} exceeds image_size {self.image_size}; choose a smaller mean filter")
        if self.keep_padding and self.padding != "reflect":
            raise DFRError("keep_padding: only reflection-padded maps can be kept padded; set padding='reflect'")

    @property
    def architecture(self) -> Architecture:
        """What can be counted about the backbone: layers, receptive fields, channels, operations."""
        return architecture(self.backbone)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """The layers of the set, sorted: ``1:3`` is (1, 2, 3)."""
        return self.architecture.parse(self.layers)

    def to_json(self) -> str:
        """The settings as one line of JSON with sorted keys (for model files, records and keys)."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """Build settings from a dictionary; what it lacks (a file may be older than a setting) has its default.

        Raises:
            DFRError: an unknown name or an impossible value.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise DFRError(f"{name}: no such setting; known are {', '.join(sorted(known))}")
        return cls(**values)


def paper(**changes: Any) -> Settings:
    """The paper's settings (IV-A3, IV-A4, Appendix B), with ``changes`` on top."""
    return Settings(**changes)


def released(**changes: Any) -> Settings:
    """The public code's choices where it differs from the paper, with ``changes`` on top.

    Its preparation of images and its metrics are not followed; docs/choices.md lists what differs there.
    """
    return replace(
        Settings(
            padding="reflect", interpolation="bilinear-aligned", keep_padding=True, hidden="released", batch_norm=True,
            loss="squared", score="squared", map_interpolation="bilinear-aligned", epochs=150,
            pca_images=10, pca_samples=40_960,
        ),
        **changes,
    )  # fmt: skip


def _choice(settings: Settings, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(settings, name)
    if value not in allowed:
        raise DFRError(f"{name}: {value!r} is not one of {', '.join(allowed)}")


def _typed(settings: Settings, name: str, kinds: type | tuple[type, ...], what: str) -> None:
    value = getattr(settings, name)
    if not isinstance(value, kinds) or isinstance(value, bool) != (kinds is bool):
        raise DFRError(f"{name}: {value!r} is not {what}")


def _whole(settings: Settings, name: str, least: int) -> None:
    value = getattr(settings, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DFRError(f"{name}: {value!r} is not a whole number of at least {least}")


#: Where paper, public code (github.com/YoungGod/DFR) and this package part:
#: setting, the paper's choice, the public code's, and where each is said.
DEVIATIONS: tuple[tuple[str, str, str, str], ...] = (
    ("padding", "zeros (Tables II-IV)", "reflect", "paper IV-C2; vgg19.py"),
    ("interpolation", "nearest", "bilinear-aligned", "paper IV-A3; main.py --upsample, feature.py"),
    ("keep_padding", "no", "maps 1, 3, 5-7, 9-11, 13-15 keep their one-pixel reflection border", "paper Eq. 1; vgg19.py"),
    ("hidden", "(c_o + c_d)/2", "(c_o + 2 c_d)/2", "paper Table VIII; feat_cae.py"),
    ("batch_norm", "no", "yes", "paper Table VIII; main.py --is_bn"),
    ("loss", "l2 norm, not squared", "mean squared error", "paper Eq. 4; feat_cae.py"),
    ("score", "l2 norm, not squared", "mean squared error", "paper Eq. 5; feat_cae.py"),
    ("map_interpolation", "bilinear", "bilinear-aligned", "paper III-D; anoseg_dfr.py"),
    ("epochs", "700", "150 (its comment: 700, and 150 for other data)", "paper IV-A4; main.py --epochs"),
    ("pca_images", "not said (here all)", "the first 10", "paper Appendix B; anoseg_dfr.py"),
    ("pca_samples", "a random subset (here 20,000)", "all 40,960 of those ten images", "paper Appendix B; anoseg_dfr.py"),
)
