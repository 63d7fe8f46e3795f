"""Deep Feature Reconstruction, the paper's method (Section III)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .. import scoring
from ..device import full_precision, memory_budget
from ..errors import DFRError
from ..extract import FeaturesOfImages, feature_source, sample
from ..regional import RegionalFeatures
from ..settings import Settings
from .cae import latent_dimension
from .on_network import OnNetwork
from .reconstructors import Reconstructor, reconstructor
from .train import Checkpoint, ProgressBar, check_training, reconstruction_loss, run_name, train
from .verdict import Verdict

_FRESH = 6  # name of a random stream, beside those of training and of the samples


class DFR(OnNetwork):
    """Reconstruct the regional features of normal images; what is reconstructed badly is anomalous.

    Examples:
        >>> from dfr_core import DFR, current_edition
        >>> detector = DFR(current_edition().settings).fit("photographs/normal")  # doctest: +SKIP
        >>> maps = detector.anomaly_map(["photographs/suspect.jpg"])  # doctest: +SKIP
        >>> maps.shape, maps.dtype  # doctest: +SKIP
        ((1, 256, 256), dtype('float32'))

    Arguments, and what is there after fit, are those of :class:`~dfr_core.methods.base.Detector`; no settings means those of
    the current edition. ``model`` is a :class:`~dfr_core.methods.reconstructors.Reconstructor`.
    """

    name = "DFR"
    settings_class = Settings
    settings: Settings
    _model: Reconstructor | None

    @property
    def c_o_(self) -> int:
        """Channels of a regional feature (Eq. 3)."""
        return self.model.c_o

    @property
    def c_d_(self) -> int:
        """Latent dimension (Appendix B)."""
        return self.model.c_d

    # ---- learning ------------------------------------------------------------------------------------

    def fit_features(
        self, source: FeaturesOfImages, data: str, image_size: tuple[int, int], *, checkpoint: str | Path | None = None
    ) -> DFR:
        """Fit to features that were extracted already (an ablation shares them between layer sets).

        Args:
            source: features of the normal images, made with these settings' backbone and layers.
            data: fingerprint of the images.
            image_size: (h, w) of the images.
            checkpoint: see :meth:`fit`.

        Raises:
            DFRError: features of other layers, or as :meth:`fit`.
        """
        with self._all_or_nothing():
            self._learnt(self._learn_features(source, data, image_size, checkpoint), data)
        return self

    def _learn(self, images: Tensor, data: str, checkpoint: Path | None) -> Tensor:
        size = tuple(images.shape[-2:])
        budget = memory_budget(self.device) if self.memory_gb is None else int(min(self.memory_gb * 2**30, 2**62))
        with self._arithmetic():
            source = feature_source(self.extractor, images, budget)
        normal = self._learn_features(source, data, size, checkpoint)
        if any(len(spans) > 1 for spans in self.extractor.tiles(size)):
            return self.anomaly_tensor(images)  # tiles round differently: the thresholds must come from the way that scores
        return normal

    def _learn_features(
        self, source: FeaturesOfImages, data: str, image_size: tuple[int, int], checkpoint: str | Path | None
    ) -> Tensor:
        """Train on the features of all images; their anomaly maps, float32 [N, h, w]."""
        s = self.settings
        with self._arithmetic():
            with torch.inference_mode():
                samples = sample(source, s.pca_samples, s.seed, s.pca_images)
            c_o = samples.shape[1]
            self._check_channels(c_o, "source: its features have")
            with full_precision(self.device):
                c_d = min(s.latent_dim or latent_dimension(samples, s.variance), c_o)
                self._model = reconstructor(s).from_samples(samples, c_d, s)
            # Features that hardly vary have next to no loss of the kind; a hundredth of their length is small enough for anything.
            mean = samples.mean(0)
            trivial = float(max(reconstruction_loss(samples, mean, s.loss), 0.01 * reconstruction_loss(samples, 0 * mean, s.loss)))
            training = self._model.training_source(source)
            self.weights_fingerprint_ = self.extractor.backbone.fingerprint(s.layer_numbers[-1])
            run = Checkpoint(Path(checkpoint), run_name(s, data, self.weights_fingerprint_)) if checkpoint else None
            with ProgressBar("training the CAE", self.progress) as tell:
                self.loss_curve_ = train(self._model, training, s, self._loss, checkpoint=run, progress=tell)
            check_training(self.loss_curve_, trivial)
            with torch.inference_mode():
                if s.solve_samples:  # other features than it began from: on those it has fitted already, there is little to gain
                    fresh = sample(source, s.solve_samples, s.seed, s.pca_images, stream=_FRESH)
                    with full_precision(self.device):
                        self._model.solve(fresh, s.loss)
                normal = torch.cat([self._errors(batch) for batch in training.batches()])
                return scoring.upsample(normal, image_size, s.map_interpolation, s.kernel, s.stride)

    def _loss(self, model: Reconstructor, rows: Tensor) -> Tensor:
        return model.loss(rows, self.settings.loss)

    def adopt(self, model: Reconstructor) -> DFR:
        """Use a reconstructor made elsewhere; maps work, thresholds and saving need :meth:`fit`.

        Raises:
            DFRError: it is for another number of channels than the layers of the settings have.
        """
        self._check_channels(model.c_o, "model: is for")
        self._model, self.normal_tail_, self.verdict_ = model.to(self.device).eval(), None, Verdict()
        return self

    def _check_channels(self, c_o: int, found: str) -> None:
        s = self.settings
        expected = s.architecture.feature_dimension(s.layers, s.width)
        if c_o != expected:
            raise DFRError("", f"{found} {c_o} channels, but layers {s.layers!r} have {expected}")

    # ---- mapping -------------------------------------------------------------------------------------

    def _map(self, images: Tensor) -> Tensor:
        with self._arithmetic():
            regional = self.extractor.scores(images, self.regional_anomaly_map)
            s = self.settings
            return scoring.upsample(regional, tuple(images.shape[-2:]), s.map_interpolation, s.kernel, s.stride)

    @torch.inference_mode()
    def regional_anomaly_map(self, features: RegionalFeatures) -> Tensor:
        """Anomaly maps at the resolution of the regional features (Eq. 5): [N, h_o, w_o], an inference tensor.

        Raises:
            DFRError: the detector is not fitted.
        """
        return self._errors(self.model.compact(features))

    def _errors(self, compact: RegionalFeatures | Tensor) -> Tensor:
        with full_precision(self.device):
            return self._model.errors(compact, self.settings.score)

    @torch.inference_mode()
    def reconstruct(self, f: Tensor) -> Tensor:
        """The reconstruction f-hat of regional features [..., c_o] (III-C), an inference tensor.

        Raises:
            DFRError: the detector is not fitted.
        """
        return self.model(f)

    def architecture(self) -> list[str]:
        """The autoencoder's layers in the words of Table VIII.

        Raises:
            DFRError: the detector is not fitted.
        """
        return self.model.architecture()

    def learnt(self) -> dict[str, int]:
        """``c_o`` and ``c_d``."""
        return {"c_o": self.c_o_, "c_d": self.c_d_}

    def in_words(self) -> str:
        """Backbone, width, weights and layers."""
        s = self.settings
        return f"{s.architecture.title}, width {s.width:g}, weights {Path(s.weights).name}, layers {s.layers}"

    # ---- keeping -------------------------------------------------------------------------------------

    def _about(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.learnt().items()}

    def _rebuilt(self, state: dict[str, Tensor], about: dict[str, str]) -> Reconstructor:
        return reconstructor(self.settings).from_state(state, int(about["c_o"]), int(about["c_d"]), self.settings)
