"""What a training is called: its whole identity, by which plans, records, figures and tables all find it.

A run keeps to one :class:`Protocol`; its trials vary the category, the seed, the layers and the padding. A record is never
found by less than all of it, so records of another network or method in the same folder or list cannot be mixed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import DFRError
from ..settings import Settings

#: What a figure varies: (layers, padding), or (layers, padding, method) for a method other than the run's.
Setting = tuple[str, ...]
#: As a padding: that of the run's own settings, zeros in the paper edition.
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What all trials of a run share.

    Attributes:
        method: name of the method.
        backbone: name of the network.
        weights: the network's weights, as :class:`dfr_core.settings.Settings` names them.
        width: scale of the network's channels.
    """

    method: str = "DFR"
    backbone: str = "vgg19"
    weights: str = "imagenet"
    width: float = 1.0

    @classmethod
    def of(cls, settings: Settings, method: str = "DFR") -> Protocol:
        """The protocol of a run with these settings."""
        return cls(method=method, backbone=settings.backbone, weights=settings.weights, width=settings.width)

    @classmethod
    def read(cls, about: Mapping[str, Any]) -> Any:
        """The protocol, or the trial, that a record says it is of; what it has beyond that is left alone.

        Raises:
            DFRError: part of the identity is not said.
        """
        names = [field.name for field in fields(cls)]
        if absent := [name for name in names if name not in about]:
            raise DFRError("", f"record of kind {about.get('kind')}: does not say its {absent[0]}", "measure it again")
        return cls(**{name: about[name] for name in names})

    def trial(self, category: str, seed: int, layers: str, padding: str, method: str | None = None) -> Trial:
        """A trial of this protocol; ``method``: of the same one with another method."""
        own = {field.name: getattr(self, field.name) for field in fields(Protocol)} | {"method": method or self.method}
        return Trial(**own, category=category, seed=seed, layers=layers, padding=padding)

    def __str__(self) -> str:
        return f"{self.method} on {self.backbone} ({self.weights}, width {self.width:g})"


@dataclass(frozen=True, kw_only=True)
class Trial(Protocol):
    """The identity of one training.

    Attributes:
        category: of the data set.
        seed: of every random draw.
        layers: layer set.
        padding: padding of the convolutions.
    """

    category: str
    seed: int
    layers: str
    padding: str

    def __str__(self) -> str:
        return f"{super().__str__()}, {self.category}, layers {self.layers}, {self.padding} padding, seed {self.seed}"


@dataclass(frozen=True)
class Needs:
    """What a figure or table is drawn from.

    Attributes:
        trainings: (layers, padding) of the trainings; (layers, padding, method) for those of a rival.
        kinds: other kinds of records.
    """

    trainings: frozenset[Setting] = frozenset()
    kinds: frozenset[str] = frozenset()

    @classmethod
    def union(cls, some: Iterable[Needs]) -> Needs:
        """What is needed by any of them."""
        some = list(some)
        return cls(frozenset().union(*(n.trainings for n in some)), frozenset().union(*(n.kinds for n in some)))
