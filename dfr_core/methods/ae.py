"""AE-l2 and AE-ssim: convolutional autoencoders on pixels (Bergmann et al., 1807.02011; on MVTec AD, CVPR 2019).

An autoencoder with a code of d numbers is trained on normal patches x [3, side, side]; x-hat is what it makes of x, and

    AE-l2:    L(x, x-hat) = sum over pixels of ||x - x-hat||^2,    A = ||x - x-hat||^2 of each pixel,
    AE-ssim:  L(x, x-hat) = sum over pixels of 1 - SSIM(x, x-hat), A = 1 - SSIM(x, x-hat) around each pixel (mean over colours),

with the structural similarity of Wang et al. (2004) in windows of 11 x 11 pixels (:class:`SSIM`). An image is reconstructed from
overlapping patches, whose pixel values are averaged (Section 4.2), and compared as a whole: A is [h, w].

Examples:
    >>> from dfr_core import method
    >>> AE = method("AE-ssim")
    >>> detector = AE(AE.of_edition("embedded")).fit("photographs/normal")  # doctest: +SKIP
    >>> detector.anomaly_map(["photographs/suspect.jpg"]).shape  # doctest: +SKIP
    (1, 256, 256)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DFRError, Setting
from ..settings import setting
from .pixels import PixelDetector, PixelSettings, decoder, encoder, quiet, start

#: Width in pixels of the Gaussian by which the pixels of a window count, and (0.01 L)^2, (0.03 L)^2 with L = 1 (Wang et al.).
SIGMA, C1, C2 = 1.5, 1e-4, 9e-4

# What minutes on a laptop ask for: whole images of 64 x 64 pixels (measured, see docs/choices.md).
_SLIM = {"zoom": 4, "patch": None, "width": 0.5, "learning_rate": 2e-3, "schedule": "onecycle", "batch_size": 8}


@dataclass(frozen=True)
class AEL2Settings(PixelSettings):
    """Choices of AE-l2: those of every method on pixels."""

    EDITIONS = {"quick": _SLIM | {"steps": 120}, "embedded": _SLIM | {"steps": 600}, "paper": {}}


@dataclass(frozen=True)
class AESSIMSettings(PixelSettings):
    """Choices of AE-ssim."""

    window: int = setting(11, "side in pixels of SSIM's window, counted after zoom")
    EDITIONS = {"quick": _SLIM | {"steps": 100}, "embedded": _SLIM | {"steps": 350}, "paper": {}}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_whole("window", 1)
        if self.window % 2 == 0:
            raise DFRError(Setting("window"), f"{self.window} is even, so it has no middle pixel")


class AEL2(PixelDetector):
    """Compare pixels with their reconstruction one by one."""

    name = "AE-l2"
    settings_class = AEL2Settings

    def _network(self, colour: Tensor | None = None) -> nn.Module:
        s = self.settings
        model = nn.Sequential(encoder(s.side, s.latent_dim, s.width), decoder(s.side, s.latent_dim, s.width))
        start(model, s.seed)
        if colour is not None:
            quiet(model[1], colour)
        return model

    def _gradient(self, model: nn.Module, x: Tensor, random: torch.Generator) -> Tensor:
        loss = self._difference(x, model(x)).sum((1, 2)).mean()
        loss.backward()
        return loss

    def _map_one(self, x: Tensor) -> Tensor:
        return self._difference(x[None], self.reconstruct(x)[None])[0]

    def _difference(self, x: Tensor, drawn: Tensor) -> Tensor:
        """[n, 3, h, w] twice -> [n, h, w]."""
        return (x - drawn).square().sum(1)


class AESSIM(AEL2):
    """Compare the surroundings of pixels with those in the reconstruction."""

    name = "AE-ssim"
    settings_class = AESSIMSettings
    settings: AESSIMSettings

    def _difference(self, x: Tensor, drawn: Tensor) -> Tensor:
        return 1 - _ssim(tuple(x.shape[-2:]), self.settings.window, str(x.device))(x, drawn).mean(1)


@lru_cache(maxsize=8)
def _ssim(size: tuple[int, int], window: int, device: str) -> SSIM:
    with torch.inference_mode(False):
        return SSIM(size, window, device)


def window_means(n: int, window: int) -> Tensor:
    """A matrix [n, n] that turns ``n`` pixels into the weighted means of the windows around each, mirrored at both ends."""
    offsets = torch.arange(window) - window // 2
    weights = torch.exp(-offsets.double().square() / (2 * SIGMA**2))
    shifted = np.pad(np.eye(n), ((window // 2, window // 2), (0, 0)), mode="reflect")
    matrix = sum(weight * shifted[k : k + n] for k, weight in enumerate((weights / weights.sum()).tolist()))
    return torch.from_numpy(matrix).float()


class SSIM:
    """Similarity of images pixel by pixel: for the windows p, q of ``window`` x ``window`` pixels around one,

        SSIM = (2 m_p m_q + c1) (2 s_pq + c2) / ((m_p^2 + m_q^2 + c1) (s_p^2 + s_q^2 + c2)),

    with means m, variances s^2 and covariance s_pq (Wang et al., Eq. 13). A mean over windows is a matrix on either axis.
    """

    def __init__(self, size: tuple[int, int], window: int, device: torch.device | str = "cpu") -> None:
        self.rows, self.columns = (window_means(n, window).to(device) for n in size)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y [n, c, h, w] in [0, 1] -> [n, c, h, w] in [-1, 1]; 1 where the windows are equal."""
        m_x, m_y, m_squares, m_product = self._means(torch.stack([x, y, x * x + y * y, x * y]))
        squares, product = m_x * m_x + m_y * m_y, m_x * m_y
        spread, shared = m_squares - squares, m_product - product  # both variances together, and the covariance
        return (2 * product + C1) * (2 * shared + C2) / ((squares + C1) * (spread + C2))

    def _means(self, x: Tensor) -> Tensor:
        return self.rows @ x @ self.columns.T
