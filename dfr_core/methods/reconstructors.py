"""What DFR trains: one interface, and which class has it for which settings."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from ..extract import FeaturesOfImages
from ..regional import RegionalFeatures
from ..settings import Settings
from .projected import Projected
from .train import FeatureSource
from .whole import Whole


class Reconstructor(Protocol):
    """Reconstructs regional features f (III-C) and knows the error it makes (Eq. 4 and 5).

    A torch module whose state is what a model file and a checkpoint hold; called on features [..., c_o] it gives their
    reconstruction of the same shape. ``kind`` is ``"l2"`` or ``"squared"``, as for ``Settings.loss`` and ``Settings.score``.

    Attributes:
        c_o: channels of a regional feature.
        c_d: latent dimension.
    """

    c_o: int
    c_d: int

    def __call__(self, f: Tensor) -> Tensor: ...

    @classmethod
    def from_samples(cls, samples: Tensor, c_d: int, settings: Settings) -> Reconstructor:
        """Ready to be trained: what is known from regional features [n, c_o] alone is set. At most ``c_d`` latent channels."""

    @classmethod
    def from_state(cls, state: dict[str, Tensor], c_o: int, c_d: int, settings: Settings) -> Reconstructor:
        """As it was saved; KeyError or RuntimeError if the tensors are not its own."""

    def training_source(self, source: FeaturesOfImages) -> FeatureSource:
        """What :func:`~dfr_core.methods.train.train` takes its rows from; its ``batches()`` are in the form that :meth:`errors` reads."""

    def loss(self, rows: Tensor, kind: str) -> Tensor:
        """Eq. 4 of rows [M, ...] of the training source, averaged: a scalar."""

    def solve(self, samples: Tensor, kind: str) -> None:
        """Set the last layer to its optimum on regional features [n, c_o], the others as they are."""

    def compact(self, features: RegionalFeatures) -> Any:
        """The features of N images in the form that :meth:`errors` reads."""

    def errors(self, compact: Any, kind: str) -> Tensor:
        """Eq. 5 at every position, A(x) before it is upsampled: [N, h_o, w_o]."""

    def architecture(self) -> list[str]:
        """The autoencoder's layers in the words of Table VIII."""


def reconstructor(settings: Settings) -> type[Reconstructor]:
    """The paper's, or with ``settings.projection`` the extension's."""
    return Projected if settings.projection else Whole
