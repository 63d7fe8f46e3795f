"""An extension, not in the paper: the autoencoder in a principal subspace of the features.

The public method reconstructs all c_o channels of f. Here f is centred and projected on its leading K
principal components; a small CAE reconstructs the coordinates z, and what lies outside the subspace counts as
not reconstructed at all:

    score^2 = ||z - z-hat||^2 + (||f - mean||^2 - ||z||^2)

That is Eq. 5 for reconstructions that stay in the subspace. A projection is linear, so each map is
projected at its own resolution and the sums are repeated afterwards; f is never written out.

The small CAE has Table VIII's six layers. What a ReLU network can do beyond PCA it does with the units that the decoder has to spare
(docs/benchmark_notes.md has the difference), so its wide layer has as many as the table gives for c_o channels, not for K, but at most
3 K. The encoder's first layer needs no more than the 2 c_d units of its second. Off unless ``Settings.projection`` is set.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..device import full_precision
from ..extract import FeaturesOfImages
from ..regional import RegionalFeatures, sum_expanded
from ..settings import Settings
from .cae import CAE, layer_widths
from .whole import pointwise, through

#: Units of the decoder's wide layer, at most, for each component.
WIDEST = 3


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
        maps = features.to(self.mean.dtype).joined()  # copies, which may be changed
        widths = [m.data.shape[-1] for m in maps]
        for m, mean in zip(maps, self.mean.split(widths), strict=True):
            m.data.sub_(mean)
        z = sum_expanded(maps, (pointwise(m.data, basis) for m, basis in zip(maps, self.basis.split(widths, dim=1), strict=True)))
        energy = sum_expanded(maps, (torch.linalg.vector_norm(m.data, dim=-1).square_() for m in maps))
        outside = (energy - z.square().sum(-1)).clamp(min=0)
        return torch.cat([z, outside[..., None]], dim=-1)

    def split(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Written-out features f [n, c_o] -> their coordinates [n, K] and outside energy [n]."""
        f = f - self.mean
        z = f @ self.basis.T
        return z, (f.square().sum(-1) - z.square().sum(-1)).clamp(min=0)


class Projected(nn.Module):
    """A projection and the small CAE in its subspace, a :class:`~dfr_core.methods.reconstructors.Reconstructor`.

    Its compact form of features are the rows [N, h_o, w_o, K + 1] that :class:`Projection` makes of them.

    Args:
        projection: its K components.
        c_d: latent dimension.
        settings: hidden widths, batch normalisation and seed are read from it.
    """

    def __init__(self, projection: Projection, c_d: int, settings: Settings) -> None:
        super().__init__()
        self.projection = projection
        self.c_o, self.c_d = projection.mean.numel(), c_d
        outer = 2 * c_d, min(layer_widths(self.c_o, c_d, settings.hidden)[0], WIDEST * len(projection.basis))
        self.cae = CAE(len(projection.basis), c_d, settings.hidden, settings.batch_norm, settings.seed, outer=outer)

    @classmethod
    def from_samples(cls, samples: Tensor, c_d: int, settings: Settings) -> Projected:
        """Untrained, projection and first weights from regional features [n, c_o], on their device; c_d is at most K."""
        projection = Projection.fit(samples, settings.projection, settings.seed)
        self = cls(projection, min(c_d, len(projection.basis)), settings).to(samples.device)
        self.cae.initialise(settings.initialisation, *projection.split(samples), settings.loss)
        return self

    @classmethod
    def from_state(cls, state: dict[str, Tensor], c_o: int, c_d: int, settings: Settings) -> Projected:
        """As it was saved.

        Raises:
            KeyError, RuntimeError: the tensors are not those of such a network.
        """
        self = cls(Projection(c_o, len(state["projection.basis"])), c_d, settings)
        self.load_state_dict(state)
        return self

    def forward(self, f: Tensor) -> Tensor:
        """Features [..., c_o] -> their reconstruction in the subspace, of the same shape."""
        mean, basis = self.projection.mean, self.projection.basis
        return mean + self.cae((f - mean) @ basis.T) @ basis

    def training_source(self, source: FeaturesOfImages) -> ProjectedFeatures:
        """Everything projected once: K + 1 numbers a position."""
        with torch.inference_mode():
            parts = [self.compact(batch) for batch in source.batches()]
        return ProjectedFeatures(torch.cat(parts))  # joined outside inference mode, they may take part in autograd

    def compact(self, features: RegionalFeatures) -> Tensor:
        """Their rows: [N, h_o, w_o, K + 1]."""
        with full_precision(self.projection.mean.device):
            return self.projection(features)

    def loss(self, rows: Tensor, kind: str) -> Tensor:
        """Eq. 4 of the whole features behind rows [M, K + 1], a scalar."""
        z, outside = rows[..., :-1], rows[..., -1]
        return self._sizes(z - self.cae(z), outside, kind).mean()

    def solve(self, samples: Tensor, kind: str) -> None:
        """Set the last layer to its optimum on regional features [n, c_o]."""
        self.cae.solve_last_layer(*self.projection.split(samples), kind)

    def errors(self, compact: Tensor, kind: str) -> Tensor:
        """Eq. 5 (or the mean squared error, ``kind="squared"``) of the whole features behind rows [N, h_o, w_o, K + 1]."""
        z, outside = compact[..., :-1], compact[..., -1]
        return self._sizes(z - through(z, self.cae.linear_layers()), outside, kind)

    def _sizes(self, missing: Tensor, outside: Tensor, kind: str) -> Tensor:
        """Of errors with a part in the subspace [..., K] and one outside, squared [...]."""
        squared = missing.square().sum(-1) + outside
        # The floor keeps the gradient of the root finite where the error is zero.
        return squared / self.c_o if kind == "squared" else squared.clamp(min=1e-12).sqrt()

    def architecture(self) -> list[str]:
        """The small CAE's layers in the words of Table VIII."""
        return self.cae.architecture()


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

    def batches(self) -> Iterator[Tensor]:
        """The rows of the images in order, one image at a time: [1, h_o, w_o, K + 1]."""
        return iter(self.data.split(1))
