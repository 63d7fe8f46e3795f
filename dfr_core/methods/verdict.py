"""The verdict on a whole image, and how often it can be wrong about a good one.

An image is called anomalous if its highest score exceeds that of every normal image known: of those trained on (III-D, FPR 0) and
of those kept from training, if there are any. For a good image to be called anomalous it must lie above all n kept ones; if they are
n + 1 images of one kind, each is as likely as the others to be the highest, so that happens at most once in n + 1 times, whatever
the scores look like (split conformal prediction; Vovk, Gammerman and Shafer, 2005). The images trained on, whose scores may be too
low, promise nothing; but they can only raise the threshold, so the promise holds with them, and in practice they help much.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..data import fingerprint
from ..errors import DFRError
from ..scoring import image_score

log = logging.getLogger("dfr")
#: Fewer kept images than these cannot promise 5 % of false alarms.
FEW = 19


@dataclass
class Verdict:
    """What the verdict is taken from.

    Attributes:
        training: the highest score of each image trained on, float32 [N].
        kept: of each image kept from training, float32 [n].
        images: fingerprints of those trained on, int64 [N]; empty if nobody knows them.
    """

    training: Tensor = field(default_factory=lambda: torch.zeros(0))
    kept: Tensor = field(default_factory=lambda: torch.zeros(0))
    images: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @classmethod
    def of(cls, maps: Tensor, images: Tensor | None = None) -> Verdict:
        """From the anomaly maps [N, H, W] of the images trained on; uint8 [N, 3, H, W], None if they are not at hand."""
        peaks = image_score(maps).float().cpu()
        return cls(peaks) if images is None else cls(peaks, images=_fingerprints(images))

    @classmethod
    def read(cls, tensors: dict[str, Tensor]) -> Verdict:
        """From a model file; one of earlier times knows the highest normal score only."""
        if "training_peaks" not in tensors:
            return cls(tensors["normal_tail"][:1])
        return cls(tensors["training_peaks"], tensors["kept_peaks"], tensors["training_images"])

    def tensors(self) -> dict[str, Tensor]:
        """For a model file."""
        return {"training_peaks": self.training, "kept_peaks": self.kept, "training_images": self.images}

    @property
    def threshold(self) -> float:
        """The highest score of all."""
        return float(torch.cat([self.training, self.kept]).max())

    @property
    def rate(self) -> float | None:
        """At most so many of the good images like the kept ones are called anomalous; None: nothing is promised."""
        return 1 / (len(self.kept) + 1) if len(self.kept) else None

    def p_value(self, score: float) -> float | None:
        """Of good images like the kept ones at most so large a share scores as high (conformal p-value); None without any."""
        return (1 + int((self.kept >= score).sum())) / (len(self.kept) + 1) if len(self.kept) else None

    def unseen(self, images: Tensor) -> Tensor:
        """Those of uint8 images [n, 3, H, W] that were not trained on, each once; what is left out is told in the log.

        Raises:
            DFRError: there are none.
        """
        seen, fresh = set(self.images.tolist()), []
        for k, mark in enumerate(_fingerprints(images).tolist()):
            if mark not in seen:
                fresh.append(k)
                seen.add(mark)
        if not fresh:
            raise DFRError("calibration images", "all of them were trained on", "give normal images that were not")
        if len(fresh) < len(images):
            words = "%d of %d calibration images were trained on, or are there twice, and are left out"
            log.warning(words, len(images) - len(fresh), len(images))
        if len(fresh) < FEW:
            words = "%d calibration images are few: up to 1 in %d good images like them may be called anomalous; %d would make it 1 in %d"
            log.warning(words, len(fresh), len(fresh) + 1, FEW, FEW + 1)
        return images[fresh]


def _fingerprints(images: Tensor) -> Tensor:
    return torch.tensor([int.from_bytes(bytes.fromhex(fingerprint(image)), "big", signed=True) for image in images], dtype=torch.int64)
