"""The things that `dfr bench` compares: the literal algebra, ours, the extension, and the bare backbone.

``python -m dfr_core.bench.variants NAME ARGUMENTS`` prints the peak memory of one of them, in MiB above the models, measured in a
process of its own; ARGUMENTS are those of :class:`Variants` in JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import literal, scoring
from ..errors import DFRError
from ..extract import Extractor
from ..methods.cae import WITHOUT_RELU
from ..methods.projected import Projected, Projection
from ..methods.whole import Whole
from ..settings import Settings
from .tools import PeakMemory

LATENT = 200  # c_d of the paper's order of size at 12 layers
#: Of the extension, at full width and in the accuracy table; docs/benchmark_notes.md has others.
COMPONENTS = 184


class Variants:
    """Models of one layer set, untrained (the weights' values do not change the cost), and images.

    Args:
        layers: layer set.
        batch: images.
        side: of the images in pixels.
        c_d: latent dimension.
        backbone, width, padding: of the network.
        components: of the extension.
    """

    def __init__(
        self,
        layers: str = "1:12",
        batch: int = 1,
        side: int = 256,
        *,
        c_d: int = LATENT,
        backbone: str = "vgg19",
        width: float = 1.0,
        padding: str = "zeros",
        components: int = COMPONENTS,
        device: torch.device | None = None,
        exact: bool = True,
    ) -> None:
        device = device or torch.device("cpu")
        self.settings = Settings(weights="untrained", backbone=backbone, layers=layers, width=width, padding=padding)
        self.extractor = Extractor(self.settings, device)
        self.c_o = self.settings.architecture.feature_dimension(layers, width)
        c_d = min(c_d, self.c_o)
        self.whole = Whole(self.c_o, c_d, self.settings).to(device).eval() if exact else None
        projection = Projection(self.c_o, min(components, self.c_o))
        orthonormal, _ = torch.linalg.qr(torch.randn(self.c_o, len(projection.basis), generator=torch.Generator().manual_seed(0)))
        projection.basis.copy_(orthonormal.T)
        self.small = Projected(projection, min(c_d, len(projection.basis)), self.settings).to(device).eval()
        self.images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)).to(
            device
        )

    def run(self, name: str) -> Callable[[], Tensor]:
        """The variant of a name, ready to be called."""
        method = getattr(self, name)

        @torch.inference_mode()
        def go() -> Tensor:
            return method()

        return go

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.images.shape[-2:])

    def backbone(self):
        """VGG19 that stops at the last needed layer, image by image as the extractor does on CPU."""
        layers, step, maps = self.extractor.layers[-1:], self.extractor.batch, self.extractor.backbone.feature_maps
        return [x for k in range(0, len(self.images), step) for _, x in maps(self.images[k : k + step], layers)]

    def compact_features(self):
        """Our regional features as the core uses them: coarse maps not yet repeated."""
        return self.extractor.all(self.images)

    def dense_features(self):
        """The same written out."""
        return self.extractor(self.images).dense()

    def literal_features(self):
        """Eq. 1 to 3 to the letter: resize to the image, filter, concatenate."""
        maps = [phi for _, phi in self.extractor.backbone.feature_maps(self.images, self.extractor.layers)]
        return literal.regional_features(maps, self.size)

    def score(self):
        """Exact anomaly maps at image size."""
        return self._upsampled(lambda f: self.whole.errors(f, "l2"))

    def projected(self):
        """The extension's anomaly maps at image size."""
        return self._upsampled(lambda f: self.small.errors(self.small.compact(f), "l2"))

    def literal_score(self):
        """Eq. 1 to 5 to the letter, the autoencoder as 1 x 1 convolutions."""
        f = self.literal_features()
        hidden = f
        for number, (weight, bias) in enumerate(self.whole.linear_layers(), start=1):
            hidden = F.conv2d(hidden, weight[:, :, None, None], bias)
            hidden = hidden if number in WITHOUT_RELU else hidden.relu_()
        return scoring.upsample(literal.error(f, hidden), self.size)

    def _upsampled(self, score) -> Tensor:
        return scoring.upsample(self.extractor.scores(self.images, score), self.size)


def peak_memory(name: str, **arguments: Any) -> float | None:
    """Peak MiB of a variant above the models, from a fresh process; None where it cannot be measured (not Linux).

    Args:
        arguments: of :class:`Variants`.
    """
    if sys.platform != "linux":
        return None
    command = [sys.executable, "-m", __spec__.name, name, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise DFRError("bench", f"measuring the memory of {name} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return float(done.stdout)


def _main(name: str, arguments: str) -> None:
    variants = Variants(**json.loads(arguments), exact="score" in name)
    images, variants.images = variants.images, variants.images[:1, :, :64, :64].contiguous()
    variants.run(name)()  # libraries take memory of their own at the first call
    variants.images = images
    with PeakMemory() as peak:
        variants.run(name)()
    print(round(peak.mib, 1))


if __name__ == "__main__":
    _main(*sys.argv[1:])
