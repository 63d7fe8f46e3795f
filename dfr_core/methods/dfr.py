"""The whole method as one object, in scikit-learn's manner."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import __version__, scoring
from ..data import fingerprint
from ..data.arrays import as_images, as_labelled
from ..device import arithmetic, full_precision, memory_budget, pick_device
from ..errors import DFRError
from ..extract import CachedFeatures, Extractor, StreamedFeatures, feature_source, sample
from ..files import load_tensors, save_tensors
from ..metrics import pro_auc, roc_auc
from ..regional import RegionalFeatures
from ..regions import connected_regions
from ..settings import Settings
from .cae import CAE, latent_dimension
from .projected import ProjectedCAE, ProjectedFeatures, Projection
from .train import Checkpoint, Progress, reconstruction_loss, run_name, train

FORMAT = "dfr-model"
FORMAT_VERSION = "2"  # 1: the projected extension had narrower layers
#: The largest false positive rate for which a saved model knows the exact threshold.
TAIL = 0.05

log = logging.getLogger("dfr")


class DFR:
    """Deep Feature Reconstruction: fit on normal images, then map anomalies.

    Example:
        >>> from dfr_core import DFR, current_edition
        >>> detector = DFR(current_edition().settings).fit("photographs/normal")
        >>> maps = detector.anomaly_map(["photographs/suspect.jpg"])  # float32 [1, 256, 256]

    Args:
        settings: the choices of the method; None takes those of the current edition.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        memory_gb: GiB that cached features may take; None takes a share of what is free.
        progress: show a progress bar.

    Attributes (after fit):
        c_o_, c_d_: channels of a regional feature, and of the latent code.
        loss_curve_: float32 [steps].
        normal_tail_: the largest anomaly scores of the normal pixels, falling, up to an FPR of 5 %.
        n_normal_pixels_: of how many.
        data_fingerprint_, weights_fingerprint_: of the training images and of the backbone.
    """

    def __init__(
        self, settings: Settings | None = None, *, device: str = "auto", memory_gb: float | None = None, progress: bool = True
    ) -> None:
        if settings is None:
            from ..editions import current_edition

            settings = current_edition().settings
        if memory_gb is not None and not 0 <= memory_gb < float("inf"):
            raise DFRError(f"memory_gb: {memory_gb} is not a number of GiB")
        self.settings = settings
        self.device = pick_device(device)
        self.memory_gb = memory_gb
        self.progress = progress
        self._extractor: Extractor | None = None
        self._model: CAE | ProjectedCAE | None = None
        self.normal_tail_: Tensor | None = None

    # ---- fitting -----------------------------------------------------------------------------------

    def fit(self, images: Any, *, checkpoint: str | Path | None = None) -> DFR:
        """Fit to normal images.

        Args:
            images: uint8 [N, 3, H, W] or [N, H, W, 3], a list of files, a folder, or a data.Category.
            checkpoint: a file to keep the state of training in; a run killed at any moment goes on from it.

        Raises:
            DFRError: images that cannot be used, or settings this machine cannot follow.
        """
        images = as_images(images, self.settings.image_size)
        data = fingerprint(images)
        images = images.to(self.device)  # uint8: 192 KiB an image, so they stay on the device
        budget = memory_budget(self.device) if self.memory_gb is None else int(min(self.memory_gb * 2**30, 2**62))
        with arithmetic(self.settings.precision, self.device):
            source = feature_source(self.extractor, images, budget)
        self.fit_features(source, data, tuple(images.shape[-2:]), checkpoint=checkpoint)
        if any(len(spans) > 1 for spans in self.extractor.tiles(tuple(images.shape[-2:]))):
            self.calibrate(images)  # tiles round differently: the thresholds must come from the way that scores
        return self

    def fit_features(
        self, source: CachedFeatures | StreamedFeatures, data: str, image_size: tuple[int, int], *, checkpoint: str | Path | None = None
    ) -> DFR:
        """Fit to features that were extracted already (an ablation shares them between layer sets).

        Args:
            source: features of the normal images, made with these settings' backbone and layers.
            data: fingerprint of the images.
            image_size: (h, w) of the images.
        """
        try:
            self._fit(source, data, image_size, checkpoint)
        except BaseException:  # also Ctrl-C: no half-trained detector is left behind
            self._model = self.normal_tail_ = None
            raise
        return self

    @torch.inference_mode()
    def calibrate(self, images: Any) -> DFR:
        """Take the thresholds (III-D) from other normal images than those trained on.

        The paper takes them from the training images, which the autoencoder fits more closely than new ones: the fewer they
        are, the more of a new normal image lies above the threshold. Images kept from training keep the rate.

        Args:
            images: normal images that :meth:`fit` did not see; as for :meth:`fit`.

        Raises:
            DFRError: not fitted, or images that cannot be used.
        """
        self._fitted()
        self._keep_tail(self.maps(as_images(images, self.settings.image_size)))
        return self

    def _fit(
        self, source: CachedFeatures | StreamedFeatures, data: str, image_size: tuple[int, int], checkpoint: str | Path | None
    ) -> None:
        s = self.settings
        with arithmetic(s.precision, self.device):
            with torch.inference_mode():
                samples = sample(source, s.pca_samples, s.seed, s.pca_images)
            self.c_o_ = samples.shape[1]
            self._check_channels(self.c_o_, "source: its features have")
            with full_precision(self.device):
                self.c_d_ = min(s.latent_dim or latent_dimension(samples, s.variance), self.c_o_)
                projection = Projection.fit(samples, s.projection, s.seed) if s.projection else None
            if projection:
                self.c_d_ = min(self.c_d_, len(projection.basis))
                self._model = ProjectedCAE(projection, self.c_d_, s).to(self.device)
                with torch.inference_mode():
                    parts = [self._project(batch) for batch in source.batches()]
                training: Any = ProjectedFeatures(torch.cat(parts))  # joined outside inference mode, they may take part in autograd
                del parts
            else:
                self._model = CAE(self.c_o_, self.c_d_, s.hidden, s.batch_norm, s.seed).to(self.device)
                training = source
            with full_precision(self.device):
                self._initialise(samples)
            self.weights_fingerprint_ = self.extractor.backbone.fingerprint(s.layer_numbers[-1])
            self.data_fingerprint_ = data
            run = Checkpoint(Path(checkpoint), run_name(s, data, self.weights_fingerprint_)) if checkpoint else None
            with _bar(self.progress) as tell:
                self.loss_curve_ = train(self._model, training, s, self._loss, checkpoint=run, progress=tell)
            if not np.isfinite(self.loss_curve_).all():
                raise DFRError("training diverged (the loss is not finite); lower learning_rate")
            with torch.inference_mode():
                if projection:
                    with full_precision(self.device):
                        normal = training.scores(self._model, s.score)
                else:
                    normal = torch.cat([self._regional(batch) for batch in source.batches()])
                self._keep_tail(scoring.upsample(normal, image_size, s.map_interpolation))

    @property
    def model(self) -> CAE | ProjectedCAE:
        """The fitted autoencoder, in evaluation mode."""
        self._fitted()
        return self._model

    @property
    def extractor(self) -> Extractor:
        """Backbone and generator, built when first needed."""
        if self._extractor is None:
            self._extractor = Extractor(self.settings, self.device)
        return self._extractor

    def use_extractor(self, extractor: Extractor) -> DFR:
        """Share a backbone that exists already instead of building one; the layers stay those of the settings.

        Raises:
            DFRError: the backbone ends before one of them.
        """
        self._extractor = extractor.select(self.settings.layer_numbers)
        return self

    def _loss(self, model: nn.Module, rows: Tensor) -> Tensor:
        if self.settings.projection:
            return model.error(rows, self.settings.loss).mean()
        return reconstruction_loss(rows, model(rows), self.settings.loss)

    def _initialise(self, samples: Tensor) -> None:
        model, outside = self._model, None
        if isinstance(model, ProjectedCAE):
            samples, outside = model.projection.split(samples)
            model = model.cae
        if self.settings.initialisation == "centred":
            model.centre(samples)
        elif self.settings.initialisation == "pca":
            model.start_from_pca(samples)
            model.solve_last_layer(samples, outside, self.settings.loss)

    def _keep_tail(self, normal: Tensor) -> None:
        self.n_normal_pixels_ = normal.numel()
        kept = scoring.allowed_pixels(normal.numel(), TAIL) + 1
        self.normal_tail_ = normal.flatten().topk(kept).values.cpu()

    # ---- using -------------------------------------------------------------------------------------

    def anomaly_map(self, images: Any) -> np.ndarray:
        """Pixel-wise anomaly maps (Eq. 5, upsampled): float32 [N, h, w].

        Args:
            images: as for :meth:`fit`; resized to ``settings.image_size`` when read from files.

        Raises:
            DFRError: the detector is not fitted, or images that cannot be used.
        """
        return self.maps(as_images(images, self.settings.image_size)).cpu().numpy()

    @torch.inference_mode()
    def maps(self, images: Tensor) -> Tensor:
        """The same from uint8 [N, 3, H, W] to a tensor on the device: an inference tensor, so clone it before changing it in place."""
        self._fitted()
        with arithmetic(self.settings.precision, self.device):
            regional = self.extractor.scores(images, self._regional)
            return scoring.upsample(regional, tuple(images.shape[-2:]), self.settings.map_interpolation)

    @torch.inference_mode()
    def regional_map(self, features: RegionalFeatures) -> Tensor:
        """Anomaly maps at the resolution of the regional features (Eq. 5): [N, h_o, w_o], an inference tensor."""
        self._fitted()
        return self._regional(features)

    def _regional(self, features: RegionalFeatures) -> Tensor:
        model, kind = self._model, self.settings.score
        with full_precision(self.device):
            if isinstance(model, ProjectedCAE):
                return model.error(model.projection(features), kind)
            return scoring.regional_scores(model, features, kind)

    def _project(self, features: RegionalFeatures) -> Tensor:
        with full_precision(self.device):
            return self._model.projection(features)

    @torch.inference_mode()
    def reconstruct(self, f: Tensor) -> Tensor:
        """The reconstruction f-hat of regional features [..., c_o] (III-C), an inference tensor."""
        self._fitted()
        if isinstance(self._model, ProjectedCAE):
            return self._model.reconstruct(f)
        return self._model(f)

    def architecture(self) -> list[str]:
        """The autoencoder's layers in the words of Table VIII."""
        self._fitted()
        cae = self._model.cae if isinstance(self._model, ProjectedCAE) else self._model
        return cae.architecture()

    def adopt(self, model: CAE | ProjectedCAE) -> DFR:
        """Use an autoencoder made elsewhere; maps work, thresholds and saving need :meth:`fit`.

        Raises:
            DFRError: it is for another number of channels than the layers of the settings have.
        """
        c_o, c_d = (model.projection.mean.numel(), model.cae.c_d) if isinstance(model, ProjectedCAE) else (model.c_o, model.c_d)
        self._check_channels(c_o, "model: is for")
        self.normal_tail_ = None
        self._model = model.to(self.device).eval()
        self.c_o_, self.c_d_ = c_o, c_d
        return self

    def _check_channels(self, c_o: int, found: str) -> None:
        s = self.settings
        expected = s.architecture.feature_dimension(s.layers, s.width)
        if c_o != expected:
            raise DFRError(f"{found} {c_o} channels, but layers {s.layers!r} have {expected}")

    def threshold(self, fpr: float = 0.005) -> float:
        """The segmentation threshold for an acceptable FPR on the training images (III-D).

        Raises:
            DFRError: not fitted, or an FPR outside [0, 0.05] (the model keeps that tail of the normal scores).
        """
        self._fitted(here=True)
        if not 0 <= fpr <= TAIL:
            raise DFRError(f"fpr: {fpr} is not in [0, {TAIL}]; a model keeps the normal scores up to that rate")
        return float(self.normal_tail_[scoring.allowed_pixels(self.n_normal_pixels_, fpr)])

    def segment(self, images: Any, fpr: float = 0.005) -> np.ndarray:
        """Binary segmentations at an acceptable FPR on the training images: bool [N, h, w]."""
        limit = self.threshold(fpr)
        return self.anomaly_map(images) > limit

    def image_score(self, images: Any) -> np.ndarray:
        """The largest anomaly score of each image: float32 [N]."""
        return self.anomaly_map(images).max(axis=(1, 2))

    def evaluate(self, data: Any) -> dict[str, Any]:
        """Metrics on labelled test images (IV-A5).

        Args:
            data: a data.Category, or ``(images, masks)`` with masks bool [N, h, w].

        Returns:
            roc_auc, pro_auc, image_roc_auc (None unless there are normal and anomalous images), counts, seconds.
        """
        images, masks = as_labelled(data, self.settings.image_size)
        started = time.perf_counter()
        maps = self.maps(images)
        if maps.is_cuda:  # the GPU computes on its own; without this only the launching would be timed
            torch.cuda.synchronize(maps.device)
        seconds = time.perf_counter() - started
        return evaluation(maps, masks.to(maps.device)) | {"seconds": round(seconds, 4), "fps": round(len(images) / seconds, 2)}

    def _fitted(self, here: bool = False) -> None:
        if self._model is None:
            raise DFRError("the detector is not fitted; call fit(images) or DFR.load(path) first")
        if here and self.normal_tail_ is None:
            raise DFRError("the detector holds an adopted model and knows no normal scores; call fit(images) first")

    # ---- keeping -----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted detector as one safetensors file (the backbone is named by its fingerprint, not stored)."""
        self._fitted(here=True)
        tensors = {f"model.{k}": v for k, v in self._model.state_dict().items()}
        tensors |= {"normal_tail": self.normal_tail_, "loss_curve": torch.from_numpy(self.loss_curve_)}
        about = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "settings": self.settings.to_json(),
            "seed": str(self.settings.seed),
            "c_o": str(self.c_o_),
            "c_d": str(self.c_d_),
            "n_normal_pixels": str(self.n_normal_pixels_),
            "thresholds": json.dumps({fpr: self.threshold(fpr) for fpr in (0, 0.005)}),
            "data_fingerprint": self.data_fingerprint_,
            "weights_fingerprint": self.weights_fingerprint_,
            "versions": json.dumps(versions()),
        }
        save_tensors(path, tensors, about)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", weights: str | None = None, progress: bool = True) -> DFR:
        """A detector from a file that :meth:`save` wrote.

        Args:
            weights: where the backbone's weights are now, if not where they were.

        Raises:
            DFRError: not a model file, one of another format version, a damaged one, or the backbone's
                weights are not those the model was fitted with.
        """
        tensors, about = load_tensors(path)
        if about.get("format") != FORMAT:
            raise DFRError(f"{path}: not a DFR model; give a file that `dfr fit --out` wrote")
        if about.get("format_version") != FORMAT_VERSION:
            raise DFRError(
                f"{path}: model of format version {about.get('format_version')}, "
                f"but this package reads version {FORMAT_VERSION}; fit the model again"
            )
        try:
            settings = Settings.from_dict(json.loads(about["settings"]))
            if weights is not None:
                settings = replace(settings, weights=weights)
            self = cls(settings, device=device, progress=progress)
            self.c_o_, self.c_d_ = int(about["c_o"]), int(about["c_d"])
            self.n_normal_pixels_ = int(about["n_normal_pixels"])
            self.data_fingerprint_, self.weights_fingerprint_ = about["data_fingerprint"], about["weights_fingerprint"]
            self.normal_tail_, self.loss_curve_ = tensors["normal_tail"], tensors["loss_curve"].numpy()
            state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
            if settings.projection:
                model: nn.Module = ProjectedCAE(Projection(self.c_o_, len(state["projection.basis"])), self.c_d_, settings)
            else:
                model = CAE(self.c_o_, self.c_d_, settings.hidden, settings.batch_norm)
            model.load_state_dict(state)
        except DFRError as error:
            raise DFRError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DFRError(
                f"{path}: a damaged model file ({type(error).__name__}: {str(error).splitlines()[0]}); fit the model again"
            ) from error
        if self.device.type != "cuda" and settings.precision != "fp32":
            log.warning("%s: was fitted in %s, which needs CUDA; it scores in fp32 here", path, settings.precision)
            self.settings = replace(settings, precision="fp32")
        self._model = model.to(self.device).eval()
        found = self.extractor.backbone.fingerprint()
        if found != self.weights_fingerprint_:
            raise DFRError(
                f"{path}: was fitted on a backbone with fingerprint {self.weights_fingerprint_}, but {settings.weights} has {found}; "
                "name the right weights with weights="
            )
        return self


def evaluation(maps: Tensor, masks: Tensor) -> dict[str, Any]:
    """ROC-AUC, PRO-AUC and counts of anomaly maps float [N, h, w] against masks bool [N, h, w]."""
    anomalous = masks.flatten(1).any(1)
    both = bool(anomalous.any()) and not bool(anomalous.all())
    _, sizes = connected_regions(masks)
    return {
        "roc_auc": roc_auc(maps, masks),
        "pro_auc": pro_auc(maps, masks),
        "image_roc_auc": roc_auc(scoring.image_score(maps), anomalous) if both else None,
        "counts": {"images": len(maps), "anomalous_images": int(anomalous.sum()), "anomalous_regions": len(sizes)},
    }


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return (
        {"python": platform.python_version()}
        | {"dfr-lab": __version__}
        | {name: version(name) for name in ("torch", "torchvision", "numpy", "scipy")}
    )


class _bar:
    """A progress bar with loss and time left, in the terminal or a notebook."""

    def __init__(self, shown: bool) -> None:
        shown = shown and not os.environ.get("DFR_QUIET")  # the notebooks of the course set it
        self.bar = tqdm(desc="training the CAE", unit="step", disable=not shown, leave=False)

    def __enter__(self):
        return self._tell

    def _tell(self, progress: Progress) -> None:
        self.bar.total = progress.steps
        self.bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
        self.bar.update(progress.step - self.bar.n)

    def __exit__(self, *_: object) -> None:
        self.bar.close()
