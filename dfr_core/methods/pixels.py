"""What methods that learn to draw normal images have in common: settings, network, training on patches, maps image by image.

A method on pixels cuts an image into overlapping patches (of one side, which may be that of the image), has its network draw each as a
normal one would look, and compares.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import full_precision
from ..errors import DFRError, Setting
from ..settings import MethodSettings, Size, setting, sides
from . import patches
from .base import Detector
from .train import Checkpoint, ProgressBar, check_finite, descend, learning_rate, run_name, total_steps

#: Table 1 of Bergmann et al. (1807.02011): channels, kernel, stride of the encoder's convolutions before the last, which gives the code.
TABLE_1 = ((32, 4, 2), (32, 4, 2), (32, 3, 1), (64, 4, 2), (64, 3, 1), (128, 4, 2), (64, 3, 1), (32, 3, 1))
#: By how much the strides of the table shrink a patch.
SHRINKS = 16
SLOPE = 0.2
_TOGETHER = 64  # patches that go through a network at once: what a small laptop has room for, and all that a processor gains from


@dataclass(frozen=True)
class PixelSettings(MethodSettings):
    """Choices of every method on pixels; the defaults are those of Bergmann et al. (1807.02011, Section 4) for their textures."""

    image_size: Size = setting(256, "side in pixels to which images are resized; or height x width, such as 256x512")
    zoom: int = setting(1, "images are made smaller so many times before anything else, and maps larger again in the end")
    patch: int | None = setting(128, "side in pixels of a patch, counted after zoom; none takes whole images")
    stride: int = setting(30, "pixels from one patch of a test image to the next")
    width: float = setting(1.0, "scale of the network's channels; 1 is the real one")
    latent_dim: int = setting(100, "numbers in the code of a patch")
    learning_rate: float = setting(2e-4, "Adam's step size; the peak of it for schedule=onecycle")
    schedule: str = setting("constant", "constant or onecycle")
    weight_decay: float = setting(1e-5, "of Adam")
    batch_size: int = setting(128, "patches in a batch")
    patches: int = setting(10_000, "patches drawn in an epoch")
    epochs: int = setting(200, "so many times the number of patches is drawn")
    steps: int | None = setting(None, "optimiser steps; if given, it replaces epochs")
    seed: int = setting(0, "seeds the network and every random draw")

    def __post_init__(self) -> None:
        self.check_image_size()
        for name in ("zoom", "stride", "latent_dim", "batch_size", "patches", "epochs"):
            self.check_whole(name, 1)
        for name in ("patch", "steps"):
            if getattr(self, name) is not None:
                self.check_whole(name, 1)
        self.check_seed()
        self.check_choice("schedule", ("constant", "onecycle"))
        self.check_positive("width", "learning_rate")
        self.check_not_negative("weight_decay")
        if self.side % SHRINKS:
            raise DFRError(Setting("patch"), f"{self.patch} is no multiple of {SHRINKS}, by which the network shrinks it")
        if self.stride > self.side:
            raise DFRError(Setting("stride"), f"{self.stride} leaves gaps between patches of {self.side}", "choose a smaller one")

    @property
    def side(self) -> int:
        """Of a patch in pixels; of a whole image its longer side, up to what the network can shrink."""
        whole = -(-max(sides(self.image_size)) // self.zoom)
        return -(-whole // SHRINKS) * SHRINKS if self.patch is None else self.patch


class PixelDetector(Detector):
    """Trains on patches and maps one image after the other, so that no map depends on what it is mapped with."""

    settings: PixelSettings
    #: Adam's.
    betas = (0.9, 0.999)

    @abstractmethod
    def _network(self, colour: Tensor | None = None) -> nn.Module:
        """The network of these settings; ``colour`` [3] is the mean of the training images, for its first weights."""

    @abstractmethod
    def _gradient(self, model: nn.Module, x: Tensor, random: torch.Generator) -> Tensor:
        """The loss on patches x [n, 3, side, side] in [0, 1]; its gradient is left in the model, whose gradients are empty before."""

    @abstractmethod
    def _map_one(self, x: Tensor) -> Tensor:
        """The anomaly map [h, w] of an image [3, h, w] in [0, 1], at least as large as a patch."""

    def _learn(self, images: Tensor, data: str, checkpoint: Path | None) -> Tensor:
        s = self.settings
        source = patches.at_least(torch.cat([self._prepared(image[None]) for image in images]), s.side)
        model = self._network(source.mean((0, 2, 3)).cpu()).to(self.device)
        optimiser = torch.optim.Adam(model.parameters(), s.learning_rate, self.betas, weight_decay=s.weight_decay, fused=True)
        steps = total_steps(s, s.patches)

        def gradient(step: int) -> Tensor:
            model.zero_grad(set_to_none=True)
            random = torch.Generator().manual_seed(int(np.random.default_rng([s.seed, step]).integers(2**63)))
            with full_precision(self.device):
                return self._gradient(model, patches.draw(source, s.batch_size, s.side, s.seed, step), random).detach()

        run = Checkpoint(checkpoint, run_name(s, data, "")) if checkpoint else None
        with ProgressBar(f"training {self.name}", self.progress) as tell:
            rate = lambda step: learning_rate(s, step, steps)  # noqa: E731
            self.loss_curve_ = descend(model, optimiser, steps, rate, gradient, checkpoint=run, progress=tell)
        check_finite(self.loss_curve_)
        self._model = model
        with torch.inference_mode():
            return self._map(images)

    def _prepared(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> [n, 3, h, w] in [0, 1], made smaller by ``zoom``."""
        x = images.to(self.device).float() / 255
        small = [-(-side // self.settings.zoom) for side in x.shape[-2:]]
        return x if self.settings.zoom == 1 else F.interpolate(x, small, mode="bilinear", antialias=True, align_corners=False)

    def _map(self, images: Tensor) -> Tensor:
        return torch.cat([self._enlarged(image[None]) for image in images])

    def _enlarged(self, image: Tensor) -> Tensor:
        """The anomaly map [1, H, W] of an image uint8 [1, 3, H, W]."""
        x = self._prepared(image)
        h, w = x.shape[-2:]
        with full_precision(self.device):
            found = self._map_one(patches.at_least(x[0], self.settings.side))[None, :h, :w]
        return found if self.settings.zoom == 1 else F.interpolate(found[None], image.shape[-2:], mode="bilinear", align_corners=False)[0]

    def reconstruct(self, x: Tensor) -> Tensor:
        """What the network makes of an image [3, h, w] in [0, 1]; overlapping patches are averaged."""
        return self._patchwise(x, self.model)

    def _patchwise(self, x: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """An image [3, h, w] in patches, each turned by ``draw`` ([n, 3, side, side] -> [n, c, side, side]), their mean [c, h, w]."""
        s = self.settings
        drawn = [draw(part) for part in patches.cut(x, s.side, s.stride).split(_TOGETHER)]
        return patches.average(torch.cat(drawn), tuple(x.shape[-2:]), s.stride)

    def _rebuilt(self, state: dict[str, Tensor], about: dict[str, str]) -> nn.Module:
        model = self._network()
        model.load_state_dict(state)
        return model


def encoder(side: int, codes: int, width: float) -> nn.Sequential:
    """Table 1: [n, 3, side, side] -> [n, codes, 1, 1]."""
    layers: list[nn.Module] = []
    c_in = 3
    for channels, kernel, stride in scaled(width):
        layers += [nn.Conv2d(c_in, channels, kernel, stride, padding=1), nn.LeakyReLU(SLOPE)]
        c_in = channels
    return nn.Sequential(*layers, nn.Conv2d(c_in, codes, side // SHRINKS))


def decoder(side: int, codes: int, width: float) -> nn.Sequential:
    """Table 1 backwards: [n, codes, 1, 1] -> [n, 3, side, side]."""
    rows = scaled(width)
    layers: list[nn.Module] = [nn.ConvTranspose2d(codes, rows[-1][0], side // SHRINKS)]
    outputs = [3] + [channels for channels, _, _ in rows[:-1]]
    for (c_in, kernel, stride), c_out in zip(rows[::-1], outputs[::-1], strict=True):
        layers += [nn.LeakyReLU(SLOPE), nn.ConvTranspose2d(c_in, c_out, kernel, stride, padding=1)]
    return nn.Sequential(*layers)


def scaled(width: float) -> list[tuple[int, int, int]]:
    """The rows of :data:`TABLE_1` with other numbers of channels."""
    return [(max(1, round(width * channels)), kernel, stride) for channels, kernel, stride in TABLE_1]


def start(model: nn.Module, seed: int) -> nn.Module:
    """The first weights: He's for the leaky ReLU, drawn with the seed, no bias."""
    random = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            # A strided transposed convolution adds up kernel^2 / stride^2 places of every input channel.
            inputs = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.weight[:, 0].numel() / module.stride[0] ** 2
            if isinstance(module, nn.ConvTranspose2d) and module.padding == (0, 0):
                inputs = module.in_channels  # from 1 x 1: each output has one place
            nn.init.normal_(module.weight, 0, (2 / (1 + SLOPE**2) / inputs) ** 0.5, generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


@torch.no_grad()
def quiet(drawer: nn.Sequential, colour: Tensor) -> None:
    """Have a decoder begin with little more than the mean colour [3] of the training images."""
    drawer[-1].weight *= 0.1
    drawer[-1].bias.copy_(colour)
