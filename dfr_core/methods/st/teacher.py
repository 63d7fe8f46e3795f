"""The teachers of ST: patch networks that have learnt what a pre-trained network says about patches (arXiv 1911.02357, Section 3.1).

With T(p) the teacher's descriptor of a patch p, d numbers, P(p) the pre-trained network's, c numbers, each with mean 0 and all with
spread 1, and D a linear decoder d -> c:

    knowledge    L_k = mean over patches and channels of (D(T(p)) - P(p))^2
    metric       L_m = mean over patches of max(0, 1 + |T(p) - T(p+)|^2 - min(|T(p) - T(p-)|^2, |T(p+) - T(p-)|^2))
    compactness  L_c = mean over i != j of |c_ij|, c the d x d correlations of the descriptors of a batch

p+ is p moved a little, noisier, and now and then without colour; p- a patch of another picture. L = w_k L_k + w_m L_m + w_c L_c.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data import fingerprint
from ...data.arrays import as_images
from ...editions import cache_folder
from ...errors import DFRError
from ...files import load_tensors, save_tensors
from ..train import Checkpoint, ProgressBar, check_finite, train
from .lessons import Knowledge, dead_leaves, knowledge
from .network import PatchNetwork, normalise

log = logging.getLogger("dfr")
VERSION = 3  # of what is below and of the pictures: teachers of another version are made again
SIDE = 256  # of the pictures
NOISE, GREY = 0.1, 0.1  # of a positive: standard deviation of the noise on pixels in 0..1, chance to lose the colour (3.1)
_CROPS = 5  # name of a random stream


class Crops:
    """Crops of pictures, a training's :class:`~dfr_core.methods.train.FeatureSource`; each position is a crop's place.

    Args:
        pictures: uint8 [N, 3, H, W].
        side: of a crop in pixels.
        step: pixels from one place to the next.
        shift: None, or each crop comes with a positive, moved by up to so many pixels.
        seed: of the positives.
    """

    def __init__(self, pictures: Tensor, side: int, step: int = 1, shift: int | None = None, seed: int = 0) -> None:
        self.pictures, self.side, self.step, self.shift, self.seed = pictures, side, step, shift, seed
        room = (extent - side - 2 * (shift or 0) for extent in pictures.shape[-2:])
        self.shape = tuple(extent // step + 1 for extent in room)

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self, images: Tensor, positions: Tensor | None) -> Tensor:
        """float32 [B * P, 3, side, side], 0 to 255; with positives [B * P, 2, 3, side, side]."""
        if positions is None:
            positions = torch.arange(self.shape[0] * self.shape[1], device=images.device).expand(len(images), -1)
        shift, found = self.shift or 0, []
        random = np.random.default_rng([self.seed, _CROPS, *images.tolist(), *positions.flatten().tolist()])
        for image, places in zip(images.tolist(), positions.tolist(), strict=True):
            for place in places:
                top, left = (shift + self.step * k for k in divmod(place, self.shape[1]))
                crop = self._cut(image, top, left)
                if self.shift is not None:
                    crop = torch.stack([crop, self._positive(image, top, left, random)])
                found.append(crop)
        return torch.stack(found)

    def _cut(self, image: int, top: int, left: int) -> Tensor:
        return self.pictures[image, :, top : top + self.side, left : left + self.side].float()

    def _positive(self, image: int, top: int, left: int, random: np.random.Generator) -> Tensor:
        down, right = random.integers(-self.shift, self.shift + 1, 2).tolist()
        crop = self._cut(image, top + down, left + right)
        if random.random() < GREY:
            crop = crop.mean(0, keepdim=True).expand(3, -1, -1)
        noise = random.standard_normal(tuple(crop.shape), dtype=np.float32)
        return crop + 255 * NOISE * torch.from_numpy(noise).to(crop.device)


class Lesson(nn.Module):
    """A teacher while it learns, with its decoder D, and the three losses.

    Args:
        teacher: T.
        known: P.
        weights: w_k, w_m, w_c.
        decay: of the weights, half of it times their squares (Adam's, as torch has it).
        generator: of D.
    """

    def __init__(
        self, teacher: PatchNetwork, known: Knowledge, weights: tuple[float, float, float], decay: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.teacher, self.known, self.weights, self.decay = teacher, known, weights, decay
        self.decoder = nn.Parameter(torch.randn(known.channels, teacher.dimension, generator=generator) / teacher.dimension**0.5)
        self.bias = nn.Parameter(torch.zeros(known.channels))

    def describe(self, crops: Tensor) -> Tensor:
        """T of the patches of crops [B, 3, side, side]: [n, d], crop after crop."""
        known = self.known
        end = known.offset + (known.units - 1) * known.stride + self.teacher.field
        x = normalise(crops[..., known.offset : end, known.offset : end])
        return self.teacher(x, known.stride).permute(0, 2, 3, 1).flatten(0, 2)

    def loss(self, crops: Tensor) -> Tensor:
        """L of crops with their positives [B, 2, 3, side, side]."""
        w_k, w_m, w_c = self.weights
        said = self.known(crops[:, 0]).permute(0, 2, 3, 1).flatten(0, 2)
        d = self.describe(crops[:, 0])
        total = w_k * (d @ self.decoder.T + self.bias - said).square().mean() + w_c * compactness_loss(d)
        if w_m:
            other = d.roll(len(d) // len(crops), 0)  # of the next crop, so mostly of another picture
            total = total + w_m * metric_loss(d, self.describe(crops[:, 1]), other)
        return total + self.decay / 2 * sum(p.square().sum() for p in self.parameters())


def metric_loss(d: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """L_m of descriptors [n, d] each, the margin 1."""
    near = (d - positive).square().sum(1)
    far = torch.minimum((d - negative).square().sum(1), (positive - negative).square().sum(1))
    return F.relu(1 + near - far).mean()


def compactness_loss(d: Tensor) -> Tensor:
    """L_c of descriptors [n, d], n and d at least 2."""
    z = d - d.mean(0)
    z = z / z.square().mean(0).add(1e-8).sqrt()
    c = z.T @ z / len(z)
    return (c - c.diag().diag()).abs().sum() / (c.shape[0] * (c.shape[0] - 1))


def teacher_of(settings: Any, patch: int, device: torch.device, shown: bool) -> PatchNetwork:
    """The teacher for patches of a size, frozen: from the cache folder, else made and kept there.

    Args:
        settings: of ST.
        shown: draw a progress bar.

    Raises:
        DFRError: the pre-trained network or the pictures cannot be used, or the cache folder cannot be written to.
    """
    network = knowledge(settings, patch, device)
    pictures = None if settings.pictures == "leaves" else as_images(settings.pictures, SIDE)
    made = {name: getattr(settings, name) for name in settings.OF_TEACHERS} | {
        "version": VERSION,
        "patch": patch,
        "knows": network.fingerprint,
        "pictures": "leaves" if pictures is None else fingerprint(pictures),
    }
    about = json.dumps(made, sort_keys=True)
    file = cache_folder() / "teachers" / f"st-{patch}-{hashlib.sha256(about.encode()).hexdigest()[:16]}.safetensors"
    blank = PatchNetwork(patch, settings.scale, settings.dimension, torch.Generator().manual_seed(settings.teacher_seed))
    kept = _kept(file, about, blank)
    if kept is None:
        if pictures is None:
            pictures = dead_leaves(settings.n_pictures, SIDE, settings.teacher_seed)
        state = Checkpoint(file.with_suffix(".state"), about)
        kept = _taught(blank.to(device), network, pictures[: settings.n_pictures].to(device), settings, state, shown)
        save_tensors(file, kept.state_dict(), {"made": about})
        state.path.unlink(missing_ok=True)
    return kept.to(device).requires_grad_(False).eval()


def _kept(file: Path, about: str, blank: PatchNetwork) -> PatchNetwork | None:
    """The teacher of a file, or None if there is none that can be used."""
    with suppress(DFRError, RuntimeError):
        tensors, words = load_tensors(file)
        if words.get("made") == about:
            blank.load_state_dict(tensors)
            return blank
    return None


def _taught(teacher: PatchNetwork, known: Knowledge, pictures: Tensor, settings: Any, state: Checkpoint, shown: bool) -> PatchNetwork:
    s = settings
    source = Crops(pictures, known.side, shift=(teacher.patch - 1) // 4, seed=s.teacher_seed)
    random = np.random.default_rng([s.teacher_seed, _CROPS])
    some = torch.from_numpy(random.integers(len(pictures), size=64)).to(pictures.device)
    places = torch.from_numpy(random.integers(source.shape[0] * source.shape[1], size=(64, 1))).to(pictures.device)
    known.standardise(source.rows(some, places)[:, 0])
    generator = torch.Generator().manual_seed(s.teacher_seed + 1)
    weights = s.knowledge, s.metric, s.compactness
    lesson = Lesson(teacher, known, weights, s.weight_decay, generator).to(pictures.device)
    loop = replace(s, steps=s.teacher_steps, batch_size=s.teacher_batch, learning_rate=s.teacher_rate, seed=s.teacher_seed)
    with ProgressBar(f"training the teacher for patches of {teacher.patch}", shown) as tell:
        curve = train(lesson, source, loop, Lesson.loss, checkpoint=state, progress=tell)
    check_finite(curve, "teacher_rate", f"of the teacher for patches of {teacher.patch}")
    log.info("teacher for patches of %d: loss %.3f to %.3f", teacher.patch, curve[0], curve[-20:].mean())
    return teacher
