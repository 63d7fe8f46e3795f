"""Every choice of the method in one place.

The defaults are the paper's (Section IV-A3, IV-A4 and Appendix B); :func:`released` holds the choices of
the authors' public code where it differs (:mod:`dfr_core.lab.deviations` lists where and why).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

from .backbones.architecture import Architecture, architecture
from .errors import DFRError, Setting

if TYPE_CHECKING:
    from typing import Self

INTERPOLATIONS = ("nearest", "bilinear", "bilinear-aligned")
#: Of images, in pixels: the side of a square, or (height, width).
Size = int | tuple[int, int]


def checked_size(size: Any) -> Size:
    """An image size in its one form: a square is a number, all else (height, width). JSON has lists for pairs; they do as well.

    Raises:
        DFRError: not one or two whole numbers of at least 1.
    """
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(pair) != 2 or any(not isinstance(side, Integral) or isinstance(side, bool) or side < 1 for side in pair):
        mend = "give the side of a square, such as 256, or height and width, whole numbers of at least 1"
        raise DFRError(Setting("image_size"), f"{size!r} is not a number of pixels", mend)
    height, width = map(int, pair)
    return height if height == width else (height, width)


def sides(size: Size) -> tuple[int, int]:
    """(height, width) of a :func:`checked_size`.

    >>> sides(256), sides((256, 512))
    ((256, 256), (256, 512))
    """
    return (size, size) if isinstance(size, int) else size


def size_in_words(size: Size) -> str:
    """``256``, or ``256x512`` (height x width), as the command line has it."""
    return str(size) if isinstance(size, int) else "x".join(map(str, size))


def setting(default: Any, words: str) -> Any:
    """A field with what it means: the command line's help and the docstring of :class:`Settings` are made of it."""
    return field(default=default, metadata={"help": words})


@dataclass(frozen=True)
class MethodSettings:
    """What the settings of every method have in common; a subclass adds at least ``image_size``, a :data:`Size`, and ``seed``.

    The defaults are the sizes of the method's own paper; ``EDITIONS`` says what each edition changes.
    """

    EDITIONS: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def of_edition(cls, name: str) -> Self:
        """The settings in an edition.

        Raises:
            DFRError: there is none of that name.
        """
        if name not in cls.EDITIONS:
            raise DFRError(Setting("edition"), f"{name!r} is not one of {', '.join(cls.EDITIONS)}")
        return cls(**cls.EDITIONS[name])

    def to_json(self) -> str:
        """The settings as one line of JSON with sorted keys (for model files, records and keys)."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build settings from a dictionary; what it lacks (a file may be older than a setting) has its default.

        Raises:
            DFRError: an unknown name or an impossible value.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise DFRError(name, "no such setting", f"known are {', '.join(sorted(known))}")
        if "image_size" in values:
            values = values | {"image_size": checked_size(values["image_size"])}
        return cls(**values)

    def check_choice(self, name: str, allowed: tuple[str, ...]) -> None:
        """Raises DFRError unless the field is one of ``allowed``."""
        value = getattr(self, name)
        if value not in allowed:
            raise DFRError(Setting(name), f"{value!r} is not one of {', '.join(allowed)}")

    def check_type(self, name: str, kinds: type | tuple[type, ...], what: str) -> None:
        """Raises DFRError unless the field is of one of the kinds; a bool counts as no number."""
        value = getattr(self, name)
        if not isinstance(value, kinds) or isinstance(value, bool) != (kinds is bool):
            raise DFRError(Setting(name), f"{value!r} is not {what}")

    def check_whole(self, name: str, least: int) -> None:
        """Raises DFRError unless the field is a whole number of at least ``least``."""
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DFRError(Setting(name), f"{value!r} is not a whole number of at least {least}")

    def check_positive(self, *names: str) -> None:
        """Raises DFRError unless the fields are positive numbers."""
        for name in names:
            self.check_type(name, (int, float), "a number")
            if not 0 < getattr(self, name) < float("inf"):
                raise DFRError(Setting(name), f"{getattr(self, name)} is not a positive number")

    def check_not_negative(self, *names: str) -> None:
        """Raises DFRError unless the fields are finite numbers of at least 0."""
        for name in names:
            self.check_type(name, (int, float), "a number")
            if not 0 <= getattr(self, name) < float("inf"):
                raise DFRError(Setting(name), f"{getattr(self, name)} is negative or not finite", "0 is none")

    def check_share(self, name: str, mend: str = "") -> None:
        """Raises DFRError unless the field is a number in (0, 1]."""
        self.check_type(name, (int, float), "a number")
        if not 0 < getattr(self, name) <= 1:
            raise DFRError(Setting(name), f"{getattr(self, name)} is not in (0, 1]", mend)

    def check_network(self, title: str) -> None:
        """Raises DFRError unless ``padding``, ``weights`` and ``width`` can be those of a frozen network of that title."""
        self.check_choice("padding", ("zeros", "reflect"))
        if not isinstance(self.weights, str) or not self.weights:
            raise DFRError(Setting("weights"), "give 'imagenet', 'distilled', 'untrained' or the path of a weights file")
        self.check_share("width", f"1 is the full {title}")

    def check_image_size(self) -> None:
        """Bring ``image_size`` into its one form, so that equal sizes are equal settings; errors as :func:`checked_size`."""
        object.__setattr__(self, "image_size", checked_size(self.image_size))  # the class is frozen

    def check_seed(self) -> None:
        """Raises DFRError unless the seed is one that torch and NumPy take."""
        self.check_whole("seed", 0)
        if self.seed >= 2**63:
            raise DFRError(Setting("seed"), f"{self.seed} is above 2**63 - 1, the largest that torch takes")


# What a slim network and minutes on a laptop ask for, each measured (see docs/choices.md).
_SLIM: dict[str, Any] = {
    "weights": "distilled", "width": 0.125, "padding": "reflect", "initialisation": "pca", "pca_samples": 4096,
    "learning_rate": 4e-3, "schedule": "onecycle", "positions": 32, "steps": 400,
}  # fmt: skip


@dataclass(frozen=True)
class Settings(MethodSettings):
    """All choices that change the result. Immutable; use :func:`dataclasses.replace` to vary one.

    For ``initialisation`` and ``solve_samples`` see ``centre``, ``start_from_pca`` and ``solve_last_layer`` of
    :class:`dfr_core.methods.cae.CAE`; for ``projection`` :mod:`dfr_core.methods.projected`.
    """

    EDITIONS: ClassVar[dict[str, dict[str, Any]]] = {"quick": _SLIM | {"steps": 200}, "embedded": _SLIM, "paper": {}}

    image_size: Size = setting(256, "side in pixels to which images are resized (IV-A4); or height x width, such as 256x512")
    backbone: str = setting("vgg19", "name of the frozen network; vgg19 is the paper's (III-A)")
    weights: str = setting("imagenet", "its weights: imagenet, distilled (a slim one that comes along), untrained (from seed) or a file")
    width: float = setting(1.0, "scale of the backbone's channels; 1 is the real network (IV-A3)")
    padding: str = setting("zeros", "padding of the convolutions, zeros or reflect (IV-C2)")
    layers: str = setting("1:12", "layer set such as 1:12, 12 or 1,5,12 (IV-B uses 1:12 and 1:16)")
    interpolation: str = setting("nearest", "alignment of the maps, Eq. 1: nearest, bilinear or bilinear-aligned")
    kernel: int = setting(4, "side of the mean filter in pixels, Eq. 2")
    stride: int = setting(4, "stride of the mean filter in pixels, Eq. 2")
    keep_padding: bool = setting(False, "align the reflection-padded maps (public code) instead of the maps themselves")
    latent_dim: int | None = setting(None, "c_d; none estimates it with PCA (Appendix B)")
    variance: float = setting(0.9, "share of the variance the PCA must explain (Appendix B)")
    pca_samples: int = setting(20_000, "regional features drawn for the PCA")
    pca_images: int | None = setting(None, "draw them from the first so many images only; none draws from all")
    hidden: str = setting("table-viii", "width of the CAE's outer hidden layers: table-viii is (c_o + c_d)/2, released (c_o + 2 c_d)/2")
    batch_norm: bool = setting(False, "batch normalisation before each ReLU of the CAE")
    initialisation: str = setting("default", "the CAE's first weights: default (torch's; the paper names none), centred or pca")
    loss: str = setting("l2", "l2 (Eq. 4) or squared (mean squared error)")
    score: str = setting("l2", "l2 (Eq. 5) or squared (mean squared error over channels)")
    map_interpolation: str = setting("bilinear", "upsampling of the anomaly map (III-D): bilinear or bilinear-aligned")
    learning_rate: float = setting(1e-4, "Adam's step size; the peak of it for schedule=onecycle")
    schedule: str = setting("constant", "constant (IV-A4) or onecycle")
    batch_size: int = setting(4, "images in a batch (IV-A4)")
    positions: int | None = setting(None, "regional features drawn from each image of a batch; none takes all of them")
    epochs: int = setting(700, "passes over the training images (IV-A4)")
    steps: int | None = setting(None, "optimiser steps; if given, it replaces epochs")
    solve_samples: int | None = setting(
        None, "regional features on which the CAE's last layer is solved for when training ends; none leaves it as trained (the paper)"
    )
    projection: int | None = setting(
        None, "none is the paper's method. A number switches to the projected extension: so many principal components"
    )
    precision: str = setting("fp32", "fp32, or on CUDA tf32 or bf16 (the backbone in bf16, the CAE in TF32)")
    seed: int = setting(0, "seeds the untrained backbone, the CAE, and every random draw")

    def __post_init__(self) -> None:
        self.architecture.parse(self.layers)
        self.check_network(self.architecture.title)
        self.check_choice("interpolation", INTERPOLATIONS)
        self.check_choice("hidden", ("table-viii", "released"))
        self.check_choice("initialisation", ("default", "centred", "pca"))
        self.check_choice("loss", ("l2", "squared"))
        self.check_choice("score", ("l2", "squared"))
        self.check_choice("map_interpolation", ("bilinear", "bilinear-aligned"))
        self.check_choice("schedule", ("constant", "onecycle"))
        self.check_choice("precision", ("fp32", "tf32", "bf16"))
        if self.initialisation == "pca" and self.batch_norm:
            raise DFRError(
                Setting("initialisation"),
                ("'pca' does not go with ", Setting("batch_norm"), ", which would rescale it"),
                "use 'centred' or 'default'",
            )
        self.check_image_size()
        for name in ("kernel", "stride", "batch_size", "epochs", "pca_samples"):
            self.check_whole(name, 1)
        for name in ("latent_dim", "positions", "steps", "solve_samples", "pca_images", "projection"):
            if getattr(self, name) is not None:
                self.check_whole(name, 1)
        self.check_seed()
        self.check_share("variance", "the paper uses 0.9")
        self.check_type("learning_rate", (int, float), "a number")
        for name in ("keep_padding", "batch_norm"):
            self.check_type(name, bool, "True or False")  # "no" would count as yes
        if not 0 < self.learning_rate < float("inf"):
            raise DFRError(Setting("learning_rate"), f"{self.learning_rate} is not a positive number", "the paper uses 1e-4")
        if self.kernel > min(sides(self.image_size)):
            raise DFRError(
                Setting("kernel"),
                (f"{self.kernel} exceeds ", Setting("image_size"), f" {size_in_words(self.image_size)}"),
                "choose a smaller mean filter",
            )
        if self.keep_padding and self.padding != "reflect":
            raise DFRError(
                Setting("keep_padding"),
                "only reflection-padded maps can be kept padded",
                ("set ", Setting("padding", "reflect")),
            )

    @property
    def architecture(self) -> Architecture:
        """What can be counted about the backbone: layers, receptive fields, channels, operations."""
        return architecture(self.backbone)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """The layers of the set, sorted: ``1:3`` is (1, 2, 3)."""
        return self.architecture.parse(self.layers)


_WORDS = "".join(f"        {setting.name}: {setting.metadata['help']} (default {setting.default!r})\n" for setting in fields(Settings))
Settings.__doc__ = f"{Settings.__doc__ or ''}\n    Attributes:\n{_WORDS}"


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


#: Names the edition where nobody says which.
EDITION_VARIABLE = "DFR_EDITION"


def current_edition_name() -> str:
    """The edition that the environment variable ``DFR_EDITION`` names; embedded without it.

    Raises:
        DFRError: the variable names none.
    """
    name = os.environ.get(EDITION_VARIABLE) or "embedded"
    if name not in Settings.EDITIONS:
        raise DFRError(EDITION_VARIABLE, f"{name!r} is not one of {', '.join(Settings.EDITIONS)}")
    return name
