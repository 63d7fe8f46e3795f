"""Structural similarity (Wang et al., 2004), as Bergmann et al. (1807.02011, Section 3) use it."""

from __future__ import annotations

import torch
from torch import Tensor

from .patches import mirrored

#: Width in pixels of the Gaussian by which the pixels of a window count, and (0.01 L)^2, (0.03 L)^2 with L = 1 (Wang et al.).
SIGMA, C1, C2 = 1.5, 1e-4, 9e-4


def window_means(n: int, window: int) -> Tensor:
    """A matrix [n, n] that turns ``n`` pixels into the weighted means of the windows around each, mirrored at both ends."""
    offsets = torch.arange(window) - window // 2
    weights = torch.exp(-offsets.double().square() / (2 * SIGMA**2))
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for offset, weight in zip(offsets, weights / weights.sum()):
        matrix[torch.arange(n), mirrored(torch.arange(n) + offset, n)] += weight
    return matrix.float()


class SSIM:
    """Similarity of images pixel by pixel: for the windows p, q of ``window`` x ``window`` pixels around one,

        SSIM = (2 m_p m_q + c1) (2 s_pq + c2) / ((m_p^2 + m_q^2 + c1) (s_p^2 + s_q^2 + c2)),

    with means m, variances s^2 and covariance s_pq (Wang et al., Eq. 13). A mean over windows is a matrix on either axis.
    """

    def __init__(self, size: tuple[int, int], window: int, device: torch.device | str = "cpu") -> None:
        self.rows, self.columns = (window_means(n, window).to(device) for n in size)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y [n, c, h, w] in [0, 1] -> [n, c, h, w] in [-1, 1]; 1 where the windows are equal."""
        m_x, m_y = self._means(x), self._means(y)
        spread = self._means(x * x + y * y) - m_x * m_x - m_y * m_y  # both variances together
        shared = self._means(x * y) - m_x * m_y
        return (2 * m_x * m_y + C1) * (2 * shared + C2) / ((m_x * m_x + m_y * m_y + C1) * (spread + C2))

    def _means(self, x: Tensor) -> Tensor:
        return self.rows @ x @ self.columns.T
