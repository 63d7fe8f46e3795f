"""What the teacher says about each crop, computed once and kept on disk.

The student is to give DFR what the teacher would give it, so the two are compared where DFR reads: after the mean filter of Eq. 2,
coarser layers at their own resolution. Of a layer's c_l channels the leading principal components are kept (of VGG's a quarter),
half-whitened (each divided by the fourth root of its variance: neither do the few that are brightness count for everything, nor the
many that are noise), and each layer is divided by its size, so that a mean squared error is one minus the explained share, R^2.

A folder of such targets says what it was made from and is used for nothing else. It is written in shards, each whole or absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import DFRError, Setting
from ..files import load_tensors, save_tensors
from ..methods.cae import principal_components
from ..regional import Generator
from .crops import crop
from .teacher import Teacher

SHARD = 32  # crops a file: about 60 MB at 192 pixels
WHITENING = 0.5  # 0: components as they are; 1: all of equal variance
_SAMPLE_CROPS, _SAMPLE_POSITIONS = 256, 256  # what the principal components are estimated from
_SAMPLES = 4  # name of a random stream


@dataclass(frozen=True)
class Source:
    """What targets are made from: it decides whether a cache fits.

    Attributes:
        teacher: its name and fingerprint.
        photographs: fingerprint of those learnt from and those held out.
        n_training, n_held_out: crops of each.
        side: of a crop, pixels.
        seed: of the crops.
        version: of the recipe.
    """

    teacher: str
    photographs: str
    n_training: int
    n_held_out: int
    side: int
    seed: int
    version: int = 2

    def compatible(self, about: dict[str, str]) -> bool:
        """Whether a file's words say that it was made from the same; more crops than before only add to what is there."""
        found = json.loads(about.get("source", "{}"))
        return {**found, "n_training": 0} == {**asdict(self), "n_training": 0}


class Targets:
    """The crops and what the teacher says about them.

    Args:
        source: what they are made from.
        folder: where they are kept.
        teacher, training, held_out: what computes those that are missing: network and photographs.

    Raises:
        DFRError: the folder holds targets made from something else.
    """

    def __init__(self, source: Source, folder: str | Path, teacher: Teacher, training: list[Path], held_out: list[Path]) -> None:
        self.source, self.folder, self.teacher = source, Path(folder), teacher
        self._paths = {False: training, True: held_out}
        self.generator = Generator()
        self.layers = sorted(set(teacher.pairs().values()))  # of the teacher, that somebody learns from
        self._components: dict[int, tuple[Tensor, Tensor]] = {}
        #: Layer of the teacher -> what undoes the whitening of its components, [K]: distances are then the teacher's.
        self.lengths: dict[int, Tensor] = {}
        self._shapes: dict[int, tuple[int, int, int]] = {}
        file = self.folder / "components.safetensors"
        if file.exists() and not source.compatible(load_tensors(file)[1]):
            raise DFRError(
                Setting("cache"),
                f"{folder} holds targets of another teacher, photographs, seed or size",
                "name another folder or delete it",
            )

    # ---- making ------------------------------------------------------------------------------------

    def make(self) -> Iterator[int]:
        """Compute what is missing; yields the number of crops in each shard, those there already at once."""
        self._load_components()
        for held_out, n in ((True, self.source.n_held_out), (False, self.source.n_training)):
            for first in range(0, n, SHARD):
                numbers = range(first, min(first + SHARD, n))
                file = self._shard(first, held_out)
                if not (file.exists() and len(self._open(file).get_slice("targets")[:, :1]) >= len(numbers)):
                    self._make_shard(file, numbers, held_out)
                yield len(numbers)
        _opened.cache_clear()

    def _make_shard(self, file: Path, numbers: range, held_out: bool) -> None:
        pictures, rows = [], []
        for number in numbers:
            picture = self._picture(number, held_out)
            maps = self._aggregated(picture)
            parts = [(maps[layer] - mean) @ basis.T for layer, (mean, basis) in self._components.items()]
            rows.append(torch.cat([part.flatten() for part in parts]).half())
            pictures.append(picture)
        save_tensors(file, {"pictures": torch.stack(pictures), "targets": torch.stack(rows)}, self._about())

    def _picture(self, number: int, held_out: bool) -> Tensor:
        """uint8 [3, side, side]."""
        picture = crop(self._paths[held_out], number, self.source.side, self.source.seed, held_out)
        return torch.from_numpy(picture).permute(2, 0, 1).contiguous()

    def _aggregated(self, picture: Tensor) -> dict[int, Tensor]:
        """The teacher's maps of one picture after Eq. 2: [h', w', c_l] each."""
        size = (self.source.side, self.source.side)
        return {layer: self.generator.aggregate(phi, size).data[0] for layer, phi in self.teacher.feature_maps(picture[None], self.layers)}

    def _about(self) -> dict[str, str]:
        return {"source": json.dumps(asdict(self.source), sort_keys=True)}

    def _shard(self, number: int, held_out: bool) -> Path:
        return self.folder / f"{'held-out' if held_out else 'training'}-{number // SHARD:05d}.safetensors"

    # ---- principal components ----------------------------------------------------------------------

    def _load_components(self) -> None:
        file = self.folder / "components.safetensors"
        if not file.exists():
            save_tensors(file, self._estimate(), self._about())
        tensors, _ = load_tensors(file)
        self.lengths = {layer: tensors[f"{layer}.length"] for layer in self.layers}
        self._components = {layer: (tensors[f"{layer}.mean"], tensors[f"{layer}.basis"]) for layer in self.layers}
        maps = self._aggregated(self._picture(0, False))
        self._shapes = {layer: (*maps[layer].shape[:2], len(self._components[layer][1])) for layer in self.layers}

    def _estimate(self) -> dict[str, Tensor]:
        """Mean [c_l], scaled principal directions [K, c_l] and what undoes the whitening [K], from a sample of the crops to learn from."""
        rows: dict[int, list[Tensor]] = {}
        for number in range(min(_SAMPLE_CROPS, self.source.n_training)):
            random = np.random.default_rng([self.source.seed, _SAMPLES, number])
            for layer, values in self._aggregated(self._picture(number, False)).items():
                flat = values.flatten(0, 1)
                chosen = random.choice(len(flat), min(_SAMPLE_POSITIONS, len(flat)), replace=False)
                rows.setdefault(layer, []).append(flat[torch.from_numpy(chosen)])
        found = {}
        for layer, parts in rows.items():
            sample = torch.cat(parts).double()
            spread = sample.std(0).clamp(min=1e-6) if self.teacher.equalised else torch.ones(sample.shape[1], dtype=torch.float64)
            basis = principal_components(sample / spread, max(1, sample.shape[1] // self.teacher.share))
            variance = ((sample - sample.mean(0)) / spread @ basis.T).square().mean(0).clamp(min=1e-12)
            scale = variance ** (-WHITENING / 2)
            scale /= (variance * scale.square()).sum().sqrt()
            found |= {f"{layer}.mean": sample.mean(0).float(), f"{layer}.basis": (basis * scale[:, None] / spread).float()}
            found[f"{layer}.length"] = 1 / scale.float()
        return found

    # ---- reading -----------------------------------------------------------------------------------

    @property
    def components(self) -> dict[int, int]:
        """Layer of the teacher -> number of its principal components."""
        return {layer: shape[-1] for layer, shape in self._shapes.items()}

    def batch(self, numbers: list[int], held_out: bool = False) -> tuple[Tensor, dict[int, Tensor]]:
        """Crops by number: uint8 [B, 3, side, side], and for each layer of the teacher its targets float16 [B, h', w', K]."""
        pictures, rows = [], []
        for number in numbers:
            file, place = self._open(self._shard(number, held_out)), number % SHARD
            pictures.append(file.get_slice("pictures")[place : place + 1])
            rows.append(file.get_slice("targets")[place : place + 1])
        parts = torch.cat(rows).split([math.prod(shape) for shape in self._shapes.values()], dim=1)
        maps = {layer: part.view(len(numbers), *shape) for (layer, shape), part in zip(self._shapes.items(), parts, strict=True)}
        return torch.cat(pictures), maps

    def _open(self, path: Path) -> Any:
        file = _opened(path)
        if not self.source.compatible(file.metadata() or {}):
            raise DFRError(Setting("cache"), f"{path} was made from something else", "name another folder or delete it")
        return file


@lru_cache(maxsize=4096)
def _opened(path: Path) -> Any:
    return safe_open(path, framework="pt", device="cpu")
