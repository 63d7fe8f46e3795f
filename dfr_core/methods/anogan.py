"""AnoGAN: the nearest image that a generator of normal ones can draw (Schlegl et al., 1703.05921).

A generator G and a discriminator D (DCGAN) are trained against each other on normal patches x [3, side, side]; z [d] is drawn from N(0, 1):

    D: -log D(x) - log(1 - D(G(z))),        G: -log D(G(z)).

With ``matching`` m > 0 the mean of the patches drawn has to meet that of the normal ones too, without which a short training draws wrong
colours (after the feature matching of Salimans et al., 1606.03498, Section 3.1, but in the pixels; || || being per number):

    G: -log D(G(z)) + m ||E x - E G(z)||^2.

For a test patch x the code is searched by gradient descent (Section 2.2), f being the features before D's last layer:

    L(z) = (1 - lambda) ||x - G(z)||_1 + lambda ||f(x) - f(G(z))||_1.

A = ||x - G(z)||^2 of each pixel at the z found, overlapping patches averaged: [h, w]. (The comparison by l2, as well as the sizes that are
the defaults here, are those of Bergmann et al., CVPR 2019, from which the paper's tables take AnoGAN's figures.)

Examples:
    >>> from dfr_core import method
    >>> AnoGAN = method("AnoGAN")
    >>> detector = AnoGAN(AnoGAN.of_edition("embedded")).fit("photographs/normal")  # doctest: +SKIP
    >>> detector.anomaly_map(["photographs/suspect.jpg"]).shape  # doctest: +SKIP
    (1, 256, 256)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DFRError, Setting
from ..settings import setting
from .pixels import SHRINKS, SLOPE, PixelDetector, PixelSettings

#: Channels of the discriminator's convolutions, and backwards of the generator's.
CHANNELS = (64, 128, 256, 512)
_SLIM = {
    "zoom": 4, "patch": None, "stride": 16, "width": 0.25, "latent_dim": 32, "learning_rate": 5e-3, "schedule": "onecycle",
    "batch_size": 8, "matching": 2000.0, "noise": 0.1, "search_steps": 20, "search_rate": 0.2, "candidates": 64,
}  # fmt: skip


@dataclass(frozen=True)
class AnoGANSettings(PixelSettings):
    """Choices of AnoGAN; the defaults are those of Bergmann et al. (CVPR 2019)."""

    stride: int = setting(128, "pixels from one patch of a test image to the next")
    latent_dim: int = setting(64, "numbers in the code of a patch")
    weight_decay: float = setting(0.0, "of Adam")
    epochs: int = setting(50, "so many times the number of patches is drawn")
    matching: float = setting(0.0, "m, the weight of the mean that the generator has to meet; 0 is DCGAN")
    noise: float = setting(0.0, "deviation of the noise on all that the discriminator sees in training; 0 is DCGAN")
    search_steps: int = setting(300, "steps of the search for the code of a test patch")
    search_rate: float = setting(0.02, "Adam's step size in the search")
    candidates: int = setting(1, "codes drawn; the search for each patch begins with the one whose image is nearest")
    feature_weight: float = setting(0.1, "lambda, the discriminator's share in the search")
    EDITIONS = {"quick": _SLIM | {"steps": 60, "search_steps": 5}, "embedded": _SLIM | {"steps": 300}, "paper": {}}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("search_steps", "candidates"):
            self.check_whole(name, 1)
        self.check_positive("search_rate")
        self.check_type("feature_weight", (int, float), "a number")
        if not 0 <= self.feature_weight <= 1:
            raise DFRError(Setting("feature_weight"), f"{self.feature_weight} is not in [0, 1]", "the paper uses 0.1")
        self.check_not_negative("matching", "noise")
        if self.batch_size < 2:
            raise DFRError(Setting("batch_size"), "a batch of one patch has no spread to normalise by", "use at least 2")


class GAN(nn.Module):
    """DCGAN's two players for patches of one side, a multiple of 16."""

    def __init__(self, side: int, codes: int, width: float, seed: int) -> None:
        super().__init__()
        channels = [max(2, round(width * c)) for c in CHANNELS]
        self.generator, self.features = _generator(side, codes, channels), _features(channels)
        self.verdict = nn.Conv2d(channels[-1], 1, side // SHRINKS)
        random = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):  # DCGAN's start
                nn.init.normal_(module.weight, 0, 0.02, generator=random)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def discriminate(self, x: Tensor) -> Tensor:
        """log D / (1 - D) of patches [n, 3, side, side]: [n]."""
        return self.verdict(self.features(x)).flatten()

    def draw(self, z: Tensor) -> Tensor:
        """G(z) in [0, 1]: [n, d] -> [n, 3, side, side]."""
        return self.generator(z[:, :, None, None])


def _generator(side: int, codes: int, channels: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ConvTranspose2d(codes, channels[-1], side // SHRINKS, bias=False)]
    for c_in, c_out in zip(channels[::-1], [*channels[-2::-1], 3], strict=True):
        layers += [nn.BatchNorm2d(c_in), nn.ReLU(), nn.ConvTranspose2d(c_in, c_out, 4, 2, padding=1, bias=c_out == 3)]
    return nn.Sequential(*layers, nn.Sigmoid())


def _features(channels: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, padding=1), nn.LeakyReLU(SLOPE)]
    for c_in, c_out in zip(channels, channels[1:]):
        layers += [nn.Conv2d(c_in, c_out, 4, 2, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class AnoGAN(PixelDetector):
    """Search for the code of each patch, and compare with what the generator draws from it."""

    name = "AnoGAN"
    settings_class = AnoGANSettings
    settings: AnoGANSettings
    betas = (0.5, 0.999)  # DCGAN's

    def _network(self, colour: Tensor | None = None) -> nn.Module:
        s = self.settings
        model = GAN(s.side, s.latent_dim, s.width, s.seed)
        if colour is not None:
            with torch.no_grad():
                model.generator[-2].bias.copy_(colour.clamp(0.02, 0.98).logit())
        return model

    def _gradient(self, model: nn.Module, x: Tensor, random: torch.Generator) -> Tensor:
        # Both players step at once, each with the gradient of its own loss, so that the training is one run with one state.
        s = self.settings
        drawn = model.draw(torch.randn(len(x), s.latent_dim, generator=random).to(x.device))
        real, fake = (model.discriminate(_noisy(shown, s.noise, random)) for shown in (x, drawn))
        against = F.softplus(-real).mean() + F.softplus(fake).mean()
        generators = F.softplus(-fake).mean()
        if s.matching:
            generators = generators + s.matching * (x.mean(0) - drawn.mean(0)).square().mean()
        theirs = [*model.generator.parameters()]
        others = [*model.features.parameters(), *model.verdict.parameters()]
        # drawn.detach() would ask for the discriminator's pass over the drawn patches a second time.
        for parameter, gradient in zip(others, torch.autograd.grad(against, others, retain_graph=True), strict=True):
            parameter.grad = gradient
        for parameter, gradient in zip(theirs, torch.autograd.grad(generators, theirs), strict=True):
            parameter.grad = gradient
        return against + generators

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest image found for an image [3, h, w] in [0, 1]; overlapping patches are averaged."""
        return self._patchwise(x, lambda part: self.model.draw(self.search(part)[0]))

    def search(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [n, d] for patches x [n, 3, side, side], and the loss before each step and after the last: [search_steps + 1, n]."""
        s, model = self.settings, self.model
        random = torch.Generator().manual_seed(s.seed)  # the same codes for every image
        codes = torch.randn(s.candidates, s.latent_dim, generator=random).to(x.device)
        with torch.inference_mode(False):
            x = x.clone()
            with torch.no_grad():
                features = model.features(x)
                pictures = model.draw(codes)
                nearest = torch.stack([(patch - pictures).abs().sum((1, 2, 3)).argmin() for patch in x])
            z = codes[nearest].clone().requires_grad_()
            adam = torch.optim.Adam([z], s.search_rate)
            losses = []
            with torch.enable_grad():
                for step in range(s.search_steps + 1):
                    loss = self._distance(model.draw(z), x, features)
                    losses.append(loss.detach())
                    if step < s.search_steps:
                        (z.grad,) = torch.autograd.grad(loss.sum(), z)
                        adam.step()
        return z.detach(), torch.stack(losses)

    def _distance(self, drawn: Tensor, x: Tensor, features: Tensor) -> Tensor:
        """L(z) of each patch: [n]."""
        share = self.settings.feature_weight
        loss = (1 - share) * (x - drawn).abs().sum((1, 2, 3))
        return loss + share * (features - self.model.features(drawn)).abs().sum((1, 2, 3)) if share else loss

    def _map_one(self, x: Tensor) -> Tensor:
        found = self._patchwise(x, lambda part: (part - self.model.draw(self.search(part)[0])).square().sum(1, keepdim=True))
        return found[0]


def _noisy(x: Tensor, deviation: float, random: torch.Generator) -> Tensor:
    """Noise hides from the discriminator what the generator cannot draw yet, so that it does not win at once."""
    return x + deviation * torch.randn(x.shape, generator=random).to(x.device) if deviation else x
