"""CNN-FD: a dictionary of the features of normal patches (Napoletano, Piccoli and Schettini, Sensors 18(1):209, 2018).

As the paper and the MVTec AD paper (Bergmann et al., CVPR 2019), which gave it its name and its numbers there, have it:

1. Patches p of 16 x 16 pixels are cut from the normal images; a pre-trained network describes each: phi(p), c numbers.
2. PCA keeps d components with 95 % of the variance: z = W (phi(p) - mean), W d x c.
3. k-means finds K centres of the z; the dictionary is, for each centre, the z nearest to it: D, K x d.
4. The anomaly score of a patch is its mean distance to the m nearest words: s(p) = 1/m sum of the m smallest ||z - D_k||_2.

Every fourth pixel has a patch, h_o x w_o of them; scores between their middles are interpolated, as in III-D of DFR.

>>> words = Dictionary(torch.zeros(2), torch.eye(2), torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
>>> words.scores(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), 1)
tensor([0., 0., 1.])
>>> words.scores(torch.tensor([[0.0, 0.0]]), 2)
tensor([2.5000])
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import scoring
from ..backbones.architecture import architecture
from ..backbones.resnet import N_LAYERS, RESNET18
from ..device import full_precision
from ..errors import DFRError, Setting
from ..extract import Extractor, StreamedFeatures, sample
from ..regional import RegionalFeatures
from ..settings import setting, sides, size_in_words
from .descriptors import DescribedSettings, PatchByPatch
from .on_network import OnNetwork

# The small editions read the slim VGG19 that comes along (docs/choices.md).
_SLIM = {
    "backbone": "vgg19", "weights": "distilled", "width": 0.125, "padding": "reflect", "layer": 4, "cut": False, "variance": 0.999,
}  # fmt: skip
_PATCHES = 4  # name of a random stream, beside those of training and of the features' sample


@dataclass(frozen=True)
class CNNFDSettings(DescribedSettings):
    """The choices of CNN-FD; the defaults are those of the MVTec AD paper at the image size of DFR's experiments."""

    layer: int = setting(N_LAYERS, "the one layer that describes; the last of a resnet18 is 9")
    cut: bool = setting(True, "pass each patch through the network alone (the source); no: one pass, its map averaged over each patch")
    kernel: int = setting(16, "side of a patch in pixels")
    stride: int = setting(4, "pixels from one patch to the next")
    patches: int = setting(100_000, "normal patches, drawn with the seed, that PCA and k-means learn from")
    variance: float = setting(0.95, "share of the variance that the PCA keeps")
    clusters: int = setting(10, "K, words of the dictionary")
    nearest: int = setting(1, "m, words whose distances are averaged")
    precision: str = setting("fp32", "fp32, or on CUDA tf32 or bf16 (the backbone in bf16, the rest in TF32)")
    seed: int = setting(0, "seeds an untrained backbone, the draw of the patches and k-means")

    EDITIONS = {
        "quick": _SLIM | {"patches": 4_000, "clusters": 200}, "embedded": _SLIM | {"patches": 20_000, "clusters": 500}, "paper": {},
    }  # fmt: skip
    # What else an Extractor reads (Eq. 1 of DFR).
    keep_padding = False
    interpolation = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("precision", ("fp32", "tf32", "bf16"))
        self.check_type("cut", bool, "True or False")
        for name in ("layer", "kernel", "stride", "patches", "clusters", "nearest"):
            self.check_whole(name, 1)
        self.check_seed()
        self.check_share("variance")
        last = N_LAYERS if self.backbone == RESNET18 else architecture(self.backbone).n_layers
        if self.layer > last:
            raise DFRError(Setting("layer"), f"{self.layer} is beyond {last}, the last of {self.backbone}")
        if self.kernel > min(sides(self.image_size)):
            raise DFRError(Setting("kernel"), (f"{self.kernel} exceeds ", Setting("image_size"), f" {size_in_words(self.image_size)}"))
        if self.nearest > self.clusters:
            raise DFRError(Setting("nearest"), (f"{self.nearest} exceeds ", Setting("clusters"), f" {self.clusters}"))
        self.check_resnet(cut=True)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """The one layer."""
        return (self.layer,)


class Dictionary(nn.Module):
    """What CNN-FD has learnt.

    Args:
        mean: of the descriptors, [c].
        components: W, [d, c].
        words: D, [K, d].

    Raises:
        ValueError: shapes that do not go together.
    """

    def __init__(self, mean: Tensor, components: Tensor, words: Tensor) -> None:
        super().__init__()
        if components.ndim != 2 or words.ndim != 2 or mean.shape != components.shape[1:] or words.shape[1:] != components.shape[:1]:
            raise ValueError(f"a dictionary of shapes {tuple(mean.shape)}, {tuple(components.shape)}, {tuple(words.shape)}")
        for name, value in (("mean", mean), ("components", components), ("words", words)):
            self.register_buffer(name, value.float())

    @classmethod
    def learnt(cls, descriptors: np.ndarray, settings: CNNFDSettings) -> Dictionary:
        """From descriptors of normal patches, [n, c]: steps 2 and 3."""
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # sums in one order: the same bits on any number of cores
            pca = PCA(settings.variance if settings.variance < 1 else None, svd_solver="full").fit(descriptors)
            z = pca.transform(descriptors)
            distinct = len(np.unique(z, axis=0))
            kmeans = KMeans(min(settings.clusters, distinct), n_init=1, random_state=settings.seed % 2**32).fit(z)
            words = z[kmeans.transform(z).argmin(0)]
        return cls(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (pca.mean_, pca.components_, words)))

    def scores(self, descriptors: Tensor, nearest: int) -> Tensor:
        """Step 4: s(p) of descriptors [n, c], [n]."""
        z = (descriptors - self.mean) @ self.components.T
        # Differences first and then squares: a patch that is a word has the distance zero.
        distances = torch.cdist(z, self.words, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.topk(min(nearest, len(self.words)), largest=False).values.mean(1)

    def scores_by_hand(self, descriptors: Tensor, nearest: int) -> Tensor:
        """The same patch by patch and word by word, to be read."""
        found = []
        for phi in descriptors:
            z = torch.stack([(w * (phi - self.mean)).sum() for w in self.components])
            distances = sorted(float((z - word).square().sum().sqrt()) for word in self.words)
            found.append(sum(distances[:nearest]) / len(distances[:nearest]))
        return torch.tensor(found)


class CNNFD(OnNetwork):
    """Compare the features of a patch with those of a few normal ones.

    Arguments, and what is there after fit, are those of :class:`~dfr_core.methods.base.Detector`.
    """

    name = "CNN-FD"
    settings_class = CNNFDSettings
    settings: CNNFDSettings
    _model: Dictionary | None

    def _new_extractor(self) -> Extractor:
        return (PatchByPatch if self.settings.cut else Extractor)(self.settings, self.device)

    @torch.inference_mode()
    def _learn(self, images: Tensor, data: str, checkpoint: Path | None) -> Tensor:
        s = self.settings
        with self._arithmetic():
            samples = sample(StreamedFeatures(self.extractor, images), s.patches, s.seed, stream=_PATCHES).cpu().numpy()
        self.weights_fingerprint_ = self.extractor.backbone.fingerprint(s.layer)
        self._model = Dictionary.learnt(samples, s).to(self.device).eval()
        return self._map(images)

    def _map(self, images: Tensor) -> Tensor:
        s = self.settings
        with self._arithmetic():
            scores = self.extractor.scores(images, self._scores)
        return scoring.upsample(scores, tuple(images.shape[-2:]), kernel=s.kernel, stride=s.stride)

    def _scores(self, features: RegionalFeatures) -> Tensor:
        f = features.dense()
        with full_precision(self.device):
            return self._model.scores(f.flatten(0, 2).float(), self.settings.nearest).view(f.shape[:3])

    def _rebuilt(self, state: dict[str, Tensor], about: dict[str, str]) -> Dictionary:
        model = Dictionary(state["mean"], state["components"], state["words"])
        model.load_state_dict(state)
        return model
