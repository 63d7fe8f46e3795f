"""What every method has in common: fitted to normal images, it maps, segments, scores, is evaluated, saved and loaded.

scikit-learn's manner: :meth:`Detector.fit` returns the detector, and what it found out has a name that ends in ``_``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .. import scoring
from ..data import fingerprint
from ..data.arrays import as_images, white_among
from ..device import pick_device
from ..errors import DFRError, Setting
from ..files import save_tensors
from ..settings import current_edition_name
from .measured import measured
from .model_file import FORMAT, FORMAT_VERSION, method_of, read_model, versions
from .verdict import Verdict

#: The largest false positive rate for which a saved model knows the exact threshold.
TAIL = 0.05


class Detector(ABC):
    """A method that learns from normal images and then maps anomalies.

    To add one, write a file with a subclass and give it a row in :data:`dfr_core.methods.METHODS`. The subclass has
    ``name``, ``settings_class``, :meth:`_learn`, :meth:`_map` and :meth:`_rebuilt`; what it has learnt is one torch
    module (buffers will do) in ``self._model``, whose state is all that a model file keeps of it.

    Args:
        settings: the choices of the method; None takes those of the current edition.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        memory_gb: GiB that kept features may take; None takes a share of what is free.
        progress: show a progress bar.

    Attributes (after fit):
        normal_tail_: the largest anomaly scores of the normal pixels, falling, up to an FPR of 5 %: float32.
        n_normal_pixels_: of how many.
        verdict_: the highest score of each normal image, which the verdict on an image is taken from.
        loss_curve_: float32 [steps]; empty for a method that does not train step by step.
        data_fingerprint_: of the training images.
        white_: the value that became 255 in those of more than 8 bit (files only); None if there were none.
        weights_fingerprint_: of a backbone that it needs and the model file does not hold; else empty.

    Raises:
        DFRError: no such device, or an impossible ``memory_gb``.
    """

    #: As in :data:`dfr_core.methods.METHODS`, model files and records.
    name: ClassVar[str]
    #: A frozen :class:`~dfr_core.settings.MethodSettings` with ``image_size``, ``seed`` and ``EDITIONS``.
    settings_class: ClassVar[Any]

    def __init__(self, settings: Any = None, *, device: str = "auto", memory_gb: float | None = None, progress: bool = True) -> None:
        if memory_gb is not None and not 0 <= memory_gb < float("inf"):
            raise DFRError(Setting("memory_gb"), f"{memory_gb} is not a number of GiB")
        self.settings = self.of_edition(current_edition_name()) if settings is None else settings
        self.device = pick_device(device)
        self.memory_gb = memory_gb
        self.progress = progress
        self._model: nn.Module | None = None
        self.normal_tail_: Tensor | None = None
        self.verdict_, self.white_ = Verdict(), None
        self.loss_curve_ = np.zeros(0, np.float32)
        self.weights_fingerprint_ = ""

    # ---- what a method supplies ----------------------------------------------------------------------

    @classmethod
    def of_edition(cls, name: str) -> Any:
        """Its settings in the edition ``quick``, ``embedded`` or ``paper``: what the small ones shrink is measured, see docs/choices.md."""
        return cls.settings_class.of_edition(name)

    @abstractmethod
    def _learn(self, images: Tensor, data: str, checkpoint: Path | None) -> Tensor:
        """Learn, and leave what was learnt in ``self._model``, on the device and in evaluation mode.

        Args:
            images: normal ones, uint8 [N, 3, H, W], on the device.
            data: their fingerprint.
            checkpoint: a file to keep the state of a long training in, and to go on from; None: keep none.

        Returns:
            Their anomaly maps, float32 [N, H, W]: what :meth:`_map` gives for them, perhaps at less cost.
        """

    @abstractmethod
    def _map(self, images: Tensor) -> Tensor:
        """Anomaly maps of images uint8 [N, 3, H, W]: float32 [N, H, W] on the device. Called in inference mode, when fitted."""

    @abstractmethod
    def _rebuilt(self, state: dict[str, Tensor], about: dict[str, str]) -> nn.Module:
        """What was learnt, from its state and the file's words; KeyError, ValueError or RuntimeError if they do not fit."""

    def _about(self) -> dict[str, str]:
        """Words for the model file that :meth:`_rebuilt` wants back."""
        return {}

    def learnt(self) -> dict[str, Any]:
        """What a person wants to know of the fitted detector beside its settings, by the name it has in the paper."""
        return {}

    def in_words(self) -> str:
        """The method, and the network it stands on, for a stamp."""
        return self.name

    @classmethod
    def _settings_of(cls, values: dict[str, Any], weights: str | None) -> Any:
        """The settings in a model file, with the weights that :meth:`load` was given; here a model file holds all that there is."""
        if weights is not None:
            raise DFRError(Setting("weights"), f"a model of the method {cls.name} holds all its weights", "leave it away")
        return cls.settings_class.from_dict(values)

    def _loaded(self, path: str | Path) -> Detector:
        """The last step of loading: itself, if all is there that the file does not hold; else a DFRError that names the file."""
        return self

    # ---- fitting -------------------------------------------------------------------------------------

    def fit(self, images: Any, *, checkpoint: str | Path | None = None) -> Detector:
        """Fit to normal images.

        Args:
            images: uint8 [N, 3, H, W] or [N, H, W, 3], a list of files, a folder, or a data.Category.
            checkpoint: a file to keep the state of training in; a run killed at any moment goes on from it.

        Raises:
            DFRError: images that cannot be used, or settings this machine cannot follow.
        """
        self.white_ = white_among(images)
        images = as_images(images, self.settings.image_size)
        data = fingerprint(images)
        with self._all_or_nothing():  # uint8 is 192 KiB an image, so they stay on the device
            normal = self._learn(images.to(self.device), data, None if checkpoint is None else Path(checkpoint))
            self._learnt(normal, data, images)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # also Ctrl-C: no half-trained detector is left behind
            self._model = self.normal_tail_ = None
            raise

    def _learnt(self, normal: Tensor, data: str, images: Tensor | None = None) -> None:
        self.data_fingerprint_ = data
        self._keep_tail(normal)
        self.verdict_ = Verdict.of(normal, images)

    def calibrate(self, images: Any) -> Detector:
        """Take the thresholds (III-D) from other normal images than those trained on.

        The paper takes them from the training images, which the autoencoder fits more closely than new ones: the fewer they
        are, the more of a new normal image lies above the threshold. Images kept from training keep the rate. The verdict on
        a whole image is taken from both (:mod:`dfr_core.methods.verdict`): a few images alone would set it too low.

        Args:
            images: normal images that :meth:`fit` did not see; as for :meth:`fit`. Those it did see are left out, with a warning.

        Raises:
            DFRError: not fitted, images that cannot be used, or none that is new.
        """
        self._fitted()
        maps = self.anomaly_tensor(self.verdict_.unseen(as_images(images, self.settings.image_size, self.white_)))
        self._keep_tail(maps)
        self.verdict_.kept = scoring.image_score(maps).float().cpu()
        return self

    def _keep_tail(self, normal: Tensor) -> None:
        self.n_normal_pixels_ = normal.numel()
        self.normal_tail_ = scoring.normal_tail(normal, TAIL).cpu()

    # ---- using ---------------------------------------------------------------------------------------

    @property
    def model(self) -> nn.Module:
        """What was learnt, in evaluation mode.

        Raises:
            DFRError: the detector is not fitted.
        """
        self._fitted()
        return self._model

    def anomaly_map(self, images: Any) -> np.ndarray:
        """Pixel-wise anomaly maps (III-D): float32 [N, h, w], higher is more anomalous.

        Args:
            images: as for :meth:`fit`; resized to ``settings.image_size`` when read from files.

        Raises:
            DFRError: the detector is not fitted, or images that cannot be used.
        """
        return self.anomaly_tensor(as_images(images, self.settings.image_size, self.white_)).cpu().numpy()

    @torch.inference_mode()
    def anomaly_tensor(self, images: Tensor) -> Tensor:
        """The same from uint8 [N, 3, H, W] to a tensor on the device: an inference tensor, so clone it before changing it in place.

        Raises:
            DFRError: the detector is not fitted, or the images are too small for it.
        """
        self._fitted()
        return self._map(images)

    def threshold(self, fpr: float = 0.005) -> float:
        """The segmentation threshold for an acceptable FPR on the training images (III-D).

        Raises:
            DFRError: not fitted, or an FPR outside [0, 0.05] (the model keeps that tail of the normal scores).
        """
        self._fitted(here=True)
        if not 0 <= fpr <= TAIL:
            raise DFRError(Setting("fpr"), f"{fpr} is not in [0, {TAIL}]", "a model keeps the normal scores up to that rate")
        return float(self.normal_tail_[scoring.allowed_pixels(self.n_normal_pixels_, fpr)])

    def verdict_threshold(self) -> float:
        """An image whose highest score exceeds it is called anomalous; ``verdict_.rate`` says how often a good one may be."""
        self._fitted(here=True)
        return self.verdict_.threshold

    def segment(self, images: Any, fpr: float = 0.005) -> np.ndarray:
        """Binary segmentations at an acceptable FPR on the training images: bool [N, h, w]. Errors: as for :meth:`threshold`."""
        limit = self.threshold(fpr)
        return scoring.segment(self.anomaly_map(images), limit)

    def image_score(self, images: Any) -> np.ndarray:
        """The largest anomaly score of each image: float32 [N]. Errors: as for :meth:`anomaly_map`."""
        return self.anomaly_map(images).max(axis=(1, 2))

    def evaluate(self, data: Any) -> dict[str, Any]:
        """Metrics on labelled test images (IV-A5).

        Args:
            data: a data.Category, or ``(images, masks)`` with masks bool [N, h, w].

        Returns:
            What :func:`dfr_core.metrics.evaluation` gives; and seconds and fps, of the mapping alone. Where good test images are
            known, but some defects have no mask, what is over pixels is None, and that is told.

        Raises:
            DFRError: not fitted, images or masks that cannot be used, or nothing anomalous.
        """
        self._fitted()
        found = measured(self, data)
        return found.metrics | found.speed

    def _fitted(self, here: bool = False) -> None:
        if self._model is None:
            raise DFRError("", "the detector is not fitted", f"call fit(images) or {type(self).__name__}.load(path) first")
        if here and self.normal_tail_ is None:
            raise DFRError("", "the detector holds an adopted model and knows no normal scores", "call fit(images) first")

    # ---- keeping -------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted detector as one safetensors file (a backbone is named by its fingerprint, not stored).

        Raises:
            DFRError: not fitted, or the file cannot be written.
        """
        self._fitted(here=True)
        tensors = {f"model.{k}": v for k, v in self._model.state_dict().items()}
        tensors |= {"normal_tail": self.normal_tail_, "loss_curve": torch.from_numpy(self.loss_curve_)} | self.verdict_.tensors()
        about = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "method": self.name,
            "settings": self.settings.to_json(),
            "seed": str(self.settings.seed),
            "n_normal_pixels": str(self.n_normal_pixels_),
            "thresholds": json.dumps({fpr: self.threshold(fpr) for fpr in (0, 0.005)}),
            "data_fingerprint": self.data_fingerprint_,
            "weights_fingerprint": self.weights_fingerprint_,
            "white": json.dumps(self.white_),
            "versions": json.dumps(versions()),
        }
        save_tensors(path, tensors, about | self._about())

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", weights: str | None = None, progress: bool = True) -> Detector:
        """A detector of this method from a file that :meth:`save` wrote; :func:`dfr_core.load_detector` takes that of any method.

        Args:
            weights: where the backbone's weights are now, if not where they were.

        Raises:
            DFRError: not a model file, one of another format version or method, a damaged one, or the backbone's
                weights are not those the model was fitted with.
        """
        tensors, about = read_model(path)
        try:
            if (name := method_of(about)) != cls.name:
                raise DFRError("", f"a model of the method {name}, not of {cls.name}", "load it with dfr_core.load_detector")
            settings = cls._settings_of(json.loads(about["settings"]), weights)
            self = cls(settings, device=device, progress=progress)
            self.n_normal_pixels_ = int(about["n_normal_pixels"])
            self.data_fingerprint_, self.weights_fingerprint_ = about["data_fingerprint"], about["weights_fingerprint"]
            self.white_ = json.loads(about.get("white", "null"))  # files of earlier times do not say it
            self.normal_tail_, self.loss_curve_ = tensors["normal_tail"], tensors["loss_curve"].numpy()
            self.verdict_ = Verdict.read(tensors)
            state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
            self._model = self._rebuilt(state, about)
        except DFRError as error:
            raise DFRError(path, error) from error
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DFRError(
                path,
                f"a damaged model file ({type(error).__name__}: {str(error).splitlines()[0]})",
                "fit the model again",
            ) from error
        self._model.to(self.device).eval()
        return self._loaded(path)
