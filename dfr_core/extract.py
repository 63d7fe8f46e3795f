"""From images to regional features: the backbone and the generator as one step, cached or not."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .backbones.weights import build_backbone
from .device import keep_freed_memory
from .errors import DFRError, Setting
from .regional import Generator, RegionalFeatures
from .settings import Settings
from .tiles import Span, spans

log = logging.getLogger("dfr")
BATCH = 16  # cached features handed out at once
TILE = 512  # pixels: images with a longer side are scored in tiles, so that memory stays flat
_SAMPLES = 3  # name of a random stream, beside those of train.py


class Extractor:
    """Images -> hierarchical features -> regional features (Sections III-A and III-B).

    Args:
        settings: backbone, layer set, alignment and aggregation are read from it.
        device: where to compute.
    """

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self.layers = settings.layer_numbers
        self.built = self.layers[-1]
        self.keep_padding = settings.keep_padding
        self.device = device
        keep_freed_memory()
        self.backbone = build_backbone(
            settings.backbone, settings.weights, width=settings.width, padding=settings.padding, last=self.built, seed=settings.seed
        ).to(device)
        # A map that keeps its padding has no place of its own on the image: it is stretched, as the public code does.
        jumps = {} if self.keep_padding else {k: layer.jump for k, layer in enumerate(self.backbone.architecture.layers, start=1)}
        self.generator = Generator(settings.kernel, settings.stride, settings.interpolation, jumps)
        #: Images at once: the shallow maps at full width take 2 x 16 MiB an image. On CPU one is as fast, and since
        #: convolutions round differently in batches of other sizes, an image's bits then never depend on its company.
        self.batch = 1 if device.type == "cpu" else 16

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> RegionalFeatures:
        """uint8 images [N, 3, H, W] -> their regional features; on CUDA in one batch.

        They are inference tensors, as are those of :meth:`all`: clone them before training on them as they are.
        """
        if self.device.type == "cpu" and len(images) > self.batch:
            return self.all(images)
        images = images.to(self.device)
        return self.generator(self.backbone.feature_maps(images, self.layers, self.keep_padding), tuple(images.shape[-2:]))

    @torch.inference_mode()
    def all(self, images: Tensor) -> RegionalFeatures:
        """The same for any number of images, batch by batch into memory taken once."""
        whole: RegionalFeatures | None = None
        for start in range(0, len(images), self.batch):
            part = self(images[start : start + self.batch])
            if whole is None:
                room = {k: replace(m, data=m.data.new_empty((len(images), *m.data.shape[1:]))) for k, m in part.aggregated.items()}
                whole = RegionalFeatures(room, part.shape)
            for k, m in part.aggregated.items():
                whole.aggregated[k].data[start : start + self.batch] = m.data
        assert whole is not None, "callers check that there are images"
        return whole

    @torch.inference_mode()
    def scores(self, images: Tensor, score: Callable[[RegionalFeatures], Tensor], tile: int = TILE) -> Tensor:
        """Scores of images of any number and size, with the memory of one batch or tile.

        Args:
            images: uint8 [N, 3, H, W].
            score: turns the regional features of some images, or of a part of them, into [n, rows, columns].
            tile: see :meth:`tiles`.

        Returns:
            [N, h_o, w_o], equal within rounding for every ``tile``.
        """
        shape, stride = self.generator.shape(tuple(images.shape[-2:])), self.generator.stride
        vertical, horizontal = self.tiles(tuple(images.shape[-2:]), tile)
        whole = torch.empty((len(images), *shape), device=self.device)
        for n in range(0, len(images), self.batch):
            for v in vertical:
                for h in horizontal:
                    rows, cols = v.positions(shape[0], stride), h.positions(shape[1], stride)
                    features = self(images[n : n + self.batch, :, v.begin : v.end, h.begin : h.end])
                    if len(vertical) * len(horizontal) > 1:
                        features = features.crop(v.within(rows, stride), h.within(cols, stride))
                    whole[n : n + self.batch, slice(*rows), slice(*cols)] = score(features)
        return whole

    def tiles(self, image_size: tuple[int, int], tile: int = TILE) -> tuple[list[Span], list[Span]]:
        """How an image of (h, w) pixels is cut along each axis; one piece if no side exceeds ``tile``, or if it cannot be cut.

        It can where every map lies on the image's pixels in one and the same way everywhere: no ``bilinear-aligned``
        alignment, no kept padding, and sides that are multiples of the deepest layer's stride.
        """
        h, w = image_size
        field = self.backbone.architecture.layers[self.layers[-1] - 1]
        exact = self.generator.interpolation != "bilinear-aligned" and not self.keep_padding
        if max(h, w) <= tile or not exact or h % field.jump or w % field.jump:
            return [Span(0, 0, h, h)], [Span(0, 0, w, w)]
        halo = (field.size + 1) // 2 + field.jump + self.generator.kernel  # half the field; one unit for a bilinear alignment
        unit = math.lcm(field.jump, self.generator.stride)
        return spans(h, tile, halo, unit), spans(w, tile, halo, unit)

    def select(self, layers: Sequence[int]) -> Extractor:
        """The same backbone, other layers.

        Raises:
            DFRError: the backbone ends before one of them.
        """
        if max(layers) > self.built:
            raise DFRError(
                Setting("layers"),
                f"{max(layers)} is beyond layer {self.built}, where this backbone ends",
                "build one for all layers wanted",
            )
        other = copy.copy(self)
        other.layers = tuple(layers)
        return other


class CachedFeatures:
    """A training source that holds the features of all images (see :class:`dfr_core.methods.train.FeatureSource`)."""

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
        return next(iter(self.features.aggregated.values())).data.device

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


#: Both hand out rows to train on and whole images in batches.
FeaturesOfImages = CachedFeatures | StreamedFeatures


def _rows(features: RegionalFeatures, images: Tensor, positions: Tensor | None) -> Tensor:
    if positions is None:
        return features.take(images).dense().flatten(0, 2)
    return features.at(images.repeat_interleave(positions.shape[1]), positions.flatten())


def feature_source(extractor: Extractor, images: Tensor, budget: int) -> FeaturesOfImages:
    """Cache the features if they fit into ``budget`` bytes, else recompute them; the choice is logged."""
    need = extractor(images[:1]).nbytes * len(images)
    size = f"{need / 2**20:.0f} MiB for {len(images)} images, budget {budget / 2**20:.0f} MiB"
    if need <= budget:
        log.info("features cached: %s", size)
        return CachedFeatures(extractor.all(images))
    log.info("features recomputed in every batch: %s", size)
    return StreamedFeatures(extractor, images)


def sample(source: FeaturesOfImages, n: int, seed: int, first_images: int | None = None, stream: int = _SAMPLES) -> Tensor:
    """A random, seeded subset of the regional features of all training images (Appendix B): [<= n, c_o].

    Args:
        first_images: draw from the first so many images only (public code).
        stream: name of the random stream.
    """
    n_images = min(len(source), first_images or len(source))
    n_positions = source.shape[0] * source.shape[1]
    random = np.random.default_rng([seed, stream])
    places = np.sort(random.choice(n_images * n_positions, size=min(n, n_images * n_positions), replace=False))
    parts = []
    for image in np.unique(places // n_positions):
        positions = torch.from_numpy(places[places // n_positions == image] % n_positions)
        parts.append(source.rows(torch.tensor([image], device=source.device), positions[None].to(source.device)))
    return torch.cat(parts).float()
