"""What methods have in common that read a frozen, pre-trained network: it is built, shared, and found again when a model is loaded."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..device import arithmetic
from ..errors import DFRError, Setting
from ..extract import Extractor
from .base import Detector

log = logging.getLogger("dfr")


class OnNetwork(Detector):
    """A :class:`~dfr_core.methods.base.Detector` on the features of a frozen network, which its model file names and does not hold.

    A subclass sets ``weights_fingerprint_`` when it learns. Its settings have what an :class:`~dfr_core.extract.Extractor` reads,
    and ``precision``.
    """

    _extractor: Extractor | None = None

    @property
    def extractor(self) -> Extractor:
        """Backbone and generator, built when first needed."""
        if self._extractor is None:
            self._extractor = self._new_extractor()
        return self._extractor

    def _new_extractor(self) -> Extractor:
        return Extractor(self.settings, self.device)

    def use_extractor(self, extractor: Extractor) -> OnNetwork:
        """Share a backbone that exists already instead of building one; the layers stay those of the settings.

        Raises:
            DFRError: the backbone ends before one of them.
        """
        self._extractor = extractor.select(self.settings.layer_numbers)
        return self

    def _arithmetic(self) -> AbstractContextManager[None]:
        return arithmetic(self.settings.precision, self.device)

    @classmethod
    def _settings_of(cls, values: dict[str, Any], weights: str | None) -> Any:
        return super()._settings_of(values if weights is None else values | {"weights": weights}, None)

    def _loaded(self, path: str | Path) -> OnNetwork:
        if self.device.type != "cuda" and self.settings.precision != "fp32":
            log.warning("%s: was fitted in %s, which needs CUDA; it scores in fp32 here", path, self.settings.precision)
            self.settings = replace(self.settings, precision="fp32")
        found = self.extractor.backbone.fingerprint()
        if found != self.weights_fingerprint_:
            raise DFRError(
                path,
                f"was fitted on a backbone with fingerprint {self.weights_fingerprint_}, but {self.settings.weights} has {found}",
                ("name the right weights with ", Setting("weights", ...)),
            )
        return self
