"""From images to regional features: the backbone and the generator as one step, cached or not."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .backbone import build_backbone
from .regional import Generator, RegionalFeatures, RegionalMap
from .settings import Settings, parse_layers

log = logging.getLogger("dfr")
BATCH = 16  # cached features handed out at once
_SAMPLES = 3  # name of a random stream, beside those of train.py


class Extractor:
    """Images -> hierarchical features -> regional features (Sections III-A and III-B).

    Args:
        settings: backbone, layer set, alignment and aggregation are read from it.
        device: where to compute.
    """

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self.layers = parse_layers(settings.layers)
        self.keep_padding = settings.keep_padding
        self.device = device
        self.backbone = build_backbone(
            settings.weights, width=settings.width, padding=settings.padding, last=self.layers[-1], seed=settings.seed
        ).to(device)
        self.generator = Generator(settings.kernel, settings.stride, settings.interpolation)
        #: Images at once: the shallow maps at full width take 2 x 16 MiB an image. On CPU one is as fast, and since
        #: convolutions round differently in batches of other sizes, an image's bits then never depend on its company.
        self.batch = 1 if device.type == "cpu" else 16

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> RegionalFeatures:
        """uint8 images [N, 3, H, W] -> their regional features; on CUDA in one batch."""
        if self.device.type == "cpu" and len(images) > 1:
            return self.all(images)
        images = images.to(self.device)
        return self.generator(self.backbone.maps(images, self.layers, self.keep_padding), tuple(images.shape[-2:]))

    @torch.inference_mode()
    def all(self, images: Tensor) -> RegionalFeatures:
        """The same for any number of images, batch by batch into memory taken once."""
        whole: RegionalFeatures | None = None
        for start in range(0, len(images), self.batch):
            part = self(images[start : start + self.batch])
            if whole is None:
                whole = RegionalFeatures(
                    {k: RegionalMap(m.data.new_empty((len(images), *m.data.shape[1:])), m.rows, m.cols) for k, m in part.maps.items()},
                    part.shape,
                )
            for k, m in part.maps.items():
                whole.maps[k].data[start : start + self.batch] = m.data
        assert whole is not None, "callers check that there are images"
        return whole

    def select(self, layers: Sequence[int]) -> Extractor:
        """The same backbone, fewer layers."""
        other = copy.copy(self)
        other.layers = tuple(layers)
        return other


class CachedFeatures:
    """A training source that holds the features of all images (see :class:`dfr_core.train.FeatureSource`)."""

    def __init__(self, features: RegionalFeatures) -> None:
        self.features = features
        self.shape = features.shape

    def __len__(self) -> int:
        return len(self.features)

    def select(self, layers: Sequence[int]) -> CachedFeatures:
        """The source for a subset of the layers."""
        return CachedFeatures(self.features.select(layers))

    @property
    def device(self) -> torch.device:
        return next(iter(self.features.maps.values())).data.device

    def rows(self, images: Tensor, positions: Tensor | None) -> Tensor:
        return _rows(self.features, images, positions)

    def batches(self) -> Iterator[RegionalFeatures]:
        """The features of the images in order, a few at a time."""
        for k in range(0, len(self), BATCH):
            yield self.features.take(slice(k, k + BATCH))


class StreamedFeatures:
    """A training source that computes the features anew whenever they are asked for."""

    def __init__(self, extractor: Extractor, images: Tensor) -> None:
        self.extractor = extractor
        self.images = images
        self.device = extractor.device
        self.shape = extractor.generator.shape(tuple(images.shape[-2:]))

    def select(self, layers: Sequence[int]) -> StreamedFeatures:
        """The source for a subset of the layers."""
        return StreamedFeatures(self.extractor.select(layers), self.images)

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, images: Tensor, positions: Tensor | None) -> Tensor:
        features = self.extractor(self.images[images.to(self.images.device)])
        return _rows(features, torch.arange(len(images), device=images.device), positions)

    def batches(self) -> Iterator[RegionalFeatures]:
        """The features of the images in order, a few at a time."""
        for k in range(0, len(self), self.extractor.batch):
            yield self.extractor(self.images[k : k + self.extractor.batch])


def _rows(features: RegionalFeatures, images: Tensor, positions: Tensor | None) -> Tensor:
    if positions is None:
        return features.take(images).dense().flatten(0, 2)
    return features.at(images.repeat_interleave(positions.shape[1]), positions.flatten())


def feature_source(extractor: Extractor, images: Tensor, budget: int) -> CachedFeatures | StreamedFeatures:
    """Cache the features if they fit into ``budget`` bytes, else recompute them; the choice is logged."""
    need = extractor(images[:1]).nbytes * len(images)
    size = f"{need / 2**20:.0f} MiB for {len(images)} images, budget {budget / 2**20:.0f} MiB"
    if need <= budget:
        log.info("features cached: %s", size)
        return CachedFeatures(extractor.all(images))
    log.info("features recomputed in every batch: %s", size)
    return StreamedFeatures(extractor, images)


def sample(source: CachedFeatures | StreamedFeatures, n: int, seed: int, first_images: int | None = None) -> Tensor:
    """A random, seeded subset of the regional features of all training images (Appendix B): [<= n, c_o].

    Args:
        first_images: draw from the first so many images only (public code).
    """
    n_images = min(len(source), first_images or len(source))
    n_positions = source.shape[0] * source.shape[1]
    random = np.random.default_rng([seed, _SAMPLES])
    places = np.sort(random.choice(n_images * n_positions, size=min(n, n_images * n_positions), replace=False))
    parts = []
    for image in np.unique(places // n_positions):
        positions = torch.from_numpy(places[places // n_positions == image] % n_positions)
        parts.append(source.rows(torch.tensor([image], device=source.device), positions[None].to(source.device)))
    return torch.cat(parts)
