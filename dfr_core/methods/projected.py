"""An extension, not in the paper: the autoencoder in a principal subspace of the features.

The public method reconstructs all c_o channels of f. Here f is centred and projected on its leading K
principal components; a small CAE reconstructs the coordinates z, and what lies outside the subspace counts as
not reconstructed at all:

    score^2 = ||z - z-hat||^2 + (||f - mean||^2 - ||z||^2)

That is Eq. 5 for reconstructions that stay in the subspace. A projection is linear, so each map is
projected at its own resolution and the sums are repeated afterwards; f is never written out.

The small CAE has Table VIII's six layers, but its outer hidden ones are twice as wide as the table's rule makes
them: what a ReLU network can do beyond PCA it does with the units it has to spare, and K channels leave few
(docs/benchmark_notes.md has the difference). Off unless ``Settings.projection`` is set.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..regional import RegionalFeatures, sum_expanded
from ..settings import Settings
from .cae import CAE

#: How many times as wide as in Table VIII the small CAE's outer hidden layers are.
WIDENING = 2


class Projection(nn.Module):
    """Mean and leading principal components of regional features.

    Attributes:
        mean: [c_o].
        basis: orthonormal rows, [K, c_o].
    """

    def __init__(self, c_o: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(c_o))
        self.register_buffer("basis", torch.zeros(components, c_o))

    @classmethod
    def fit(cls, samples: Tensor, components: int, seed: int = 0) -> Projection:
        """From regional features [n, c_o]; at most min(n, c_o) components."""
        components = min(components, *samples.shape)
        self = cls(samples.shape[1], components).to(samples.device)
        self.mean.copy_(samples.double().mean(0))
        with torch.random.fork_rng(devices=[samples.device] if samples.is_cuda else []):
            torch.manual_seed(seed)
            # Randomised: twice the wanted rank and two power iterations give the leading ones to many digits.
            _, _, v = torch.svd_lowrank(samples - self.mean, q=min(2 * components, *samples.shape), niter=2)
        self.basis.copy_(v[:, :components].T)
        return self

    def forward(self, features: RegionalFeatures) -> Tensor:
        """Coordinates and outside energy of every regional feature: [N, h_o, w_o, K + 1]."""
        maps = list(features.to(self.mean.dtype).maps.values())
        widths = [m.data.shape[-1] for m in maps]
        layouts = [m.layout() for m in maps]
        parts = (F.linear(m.data, basis) for m, basis in zip(maps, self.basis.split(widths, dim=1), strict=True))
        z = sum_expanded(maps, parts, layouts).sub_(self.basis @ self.mean)
        lengths = (torch.linalg.vector_norm(m.data - mean, dim=-1) for m, mean in zip(maps, self.mean.split(widths), strict=True))
        energy = sum_expanded(maps, (length.square_() for length in lengths), layouts)
        outside = (energy - z.square().sum(-1)).clamp(min=0)
        return torch.cat([z, outside[..., None]], dim=-1)

    def split(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Written-out features f [n, c_o] -> their coordinates [n, K] and outside energy [n]."""
        f = f - self.mean
        z = f @ self.basis.T
        return z, (f.square().sum(-1) - z.square().sum(-1)).clamp(min=0)


class ProjectedCAE(nn.Module):
    """A projection and the small CAE in its subspace."""

    def __init__(self, projection: Projection, c_d: int, settings: Settings) -> None:
        super().__init__()
        self.projection = projection
        self.cae = CAE(len(projection.basis), c_d, settings.hidden, settings.batch_norm, settings.seed, widening=WIDENING)

    def squared_error(self, rows: Tensor) -> Tensor:
        """[..., K + 1] -> squared error of the whole feature, [...]."""
        z, outside = rows[..., :-1], rows[..., -1]
        return (z - self.cae(z)).square().sum(-1) + outside

    def reconstruct(self, f: Tensor) -> Tensor:
        """Features [..., c_o] -> their reconstruction in the subspace, of the same shape."""
        mean, basis = self.projection.mean, self.projection.basis
        return mean + self.cae((f - mean) @ basis.T) @ basis

    def error(self, rows: Tensor, kind: str) -> Tensor:
        """Eq. 5 (or the mean squared error, ``kind="squared"``) from projected rows."""
        squared = self.squared_error(rows)
        # The floor keeps the gradient of the root finite where the error is zero.
        return squared / self.projection.mean.numel() if kind == "squared" else squared.clamp(min=1e-12).sqrt()


class ProjectedFeatures:
    """A training source of projected rows (see :class:`dfr_core.methods.train.FeatureSource`)."""

    def __init__(self, rows: Tensor) -> None:
        self.data = rows
        self.shape = tuple(rows.shape[1:3])

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, images: Tensor, positions: Tensor | None) -> Tensor:
        flat = self.data.flatten(1, 2)
        return flat[images].flatten(0, 1) if positions is None else flat[images[:, None], positions].flatten(0, 1)

    def scores(self, model: ProjectedCAE, kind: str) -> Tensor:
        """Anomaly maps of the images it holds: [N, h_o, w_o]."""
        return torch.stack([model.error(image, kind) for image in self.data])
