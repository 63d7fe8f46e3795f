"""VAE-grad: move the test image itself onto the normal ones (Dehaene et al., ICLR 2020, 2002.03734).

A variational autoencoder is trained on normal patches x [3, side, side]: the encoder gives mean and log-variance of a code z [d], the
decoder x-hat(z), and with the decoder's standard deviation s

    L(x) = E_z ||x - x-hat(z)||^2 / (2 s^2) + KL(q(z | x), N(0, 1)).

A test image x_0 is moved by gradient descent on an energy, f(x) being x-hat at the mean code (Sections 3.2 and 3.4):

    E(x_t) = ||x_t - f(x_t)||^2 + lambda ||x_t - x_0||_1,        x_(t+1) = x_t - alpha grad E(x_t) * (x_t - f(x_t))^2,

the last factor pixel by pixel: what is reconstructed well stays as it is, sharp edges too. A = ||x_0 - x_T||_1 of each pixel: [h, w].

Examples:
    >>> from dfr_core import method
    >>> VAEGrad = method("VAE-grad")
    >>> detector = VAEGrad(VAEGrad.of_edition("embedded")).fit("photographs/normal")  # doctest: +SKIP
    >>> detector.anomaly_map(["photographs/suspect.jpg"]).shape  # doctest: +SKIP
    (1, 256, 256)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..settings import setting
from .pixels import PixelDetector, PixelSettings, decoder, encoder, quiet, start

_SLIM = {
    "zoom": 4, "patch": None, "width": 0.5, "learning_rate": 2e-3, "schedule": "onecycle", "batch_size": 8, "noise": 0.03, "iterations": 10,
}  # fmt: skip


@dataclass(frozen=True)
class VAEGradSettings(PixelSettings):
    """Choices of VAE-grad."""

    noise: float = setting(0.1, "s, the decoder's standard deviation, of pixels in [0, 1]; the paper leaves it open")
    rate: float = setting(0.5, "alpha, the step size of the descent")
    closeness: float = setting(0.05, "lambda, what it costs to move a pixel away")
    iterations: int = setting(100, "T, steps of the descent")
    mask: str = setting("squared", "weighs the steps: squared (of the error at each pixel), or relative (to the largest of the patch)")
    EDITIONS = {"quick": _SLIM | {"steps": 100}, "embedded": _SLIM | {"steps": 500}, "paper": {}}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("noise", "rate")
        self.check_not_negative("closeness")
        self.check_whole("iterations", 1)
        self.check_choice("mask", ("squared", "relative"))


class VAE(nn.Module):
    """Encoder and decoder of Table 1 of Bergmann et al., as in the paper; the code has a mean and a log-variance."""

    def __init__(self, side: int, codes: int, width: float) -> None:
        super().__init__()
        self.encode, self.decode = encoder(side, 2 * codes, width), decoder(side, codes, width)

    def forward(self, x: Tensor) -> Tensor:
        """f(x): x-hat at the mean code; [n, 3, side, side] in and out."""
        return self.decode(self.encode(x).chunk(2, 1)[0])


class VAEGrad(PixelDetector):
    """Move the pixels that the autoencoder does not believe; how far they had to go is how anomalous they are."""

    name = "VAE-grad"
    settings_class = VAEGradSettings
    settings: VAEGradSettings

    def _network(self, colour: Tensor | None = None) -> nn.Module:
        s = self.settings
        model = start(VAE(s.side, s.latent_dim, s.width), s.seed)
        if colour is not None:
            with torch.no_grad():
                quiet(model.decode, colour)
                model.encode[-1].weight[s.latent_dim :] = 0  # a spread of 1 at first, as the prior's
        return model

    def _gradient(self, model: nn.Module, x: Tensor, random: torch.Generator) -> Tensor:
        mean, log_variance = model.encode(x).chunk(2, 1)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=random).to(x.device)
        missing = (x - model.decode(z)).square().sum((1, 2, 3)) / (2 * self.settings.noise**2)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)) / 2
        loss = (missing + divergence).mean()
        loss.backward()
        return loss

    def projected(self, x: Tensor) -> Tensor:
        """x_T of an image x_0 [3, h, w] in [0, 1], the mean of overlapping patches'."""
        with torch.inference_mode(False), torch.enable_grad():
            return self._patchwise(x.clone(), self._descended)

    def _descended(self, x_0: Tensor) -> Tensor:
        """x_T of patches x_0 [n, 3, side, side]."""
        s, x = self.settings, x_0
        for _ in range(s.iterations):
            gradient, error = self.energy_gradient(x, x_0)
            mask = error.square()
            if s.mask == "relative":
                mask = mask / mask.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
            x = (x - s.rate * gradient * mask).clamp(0, 1)  # an image stays one; far outside the network the descent would run away
        return x

    def energy_gradient(self, x: Tensor, x_0: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient of E at patches x [n, 3, side, side] that began as x_0, and the error x - f(x)."""
        x = x.detach().requires_grad_()
        error = x - self.model(x)
        (gradient,) = torch.autograd.grad(error.square().sum(), x)
        return gradient + self.settings.closeness * (x.detach() - x_0).sign(), error.detach()

    def _map_one(self, x: Tensor) -> Tensor:
        return (x - self.projected(x)).abs().sum(0)
