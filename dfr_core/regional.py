"""Regional features (Section III-B, Eq. 1-3): align, aggregate, concatenate.

:func:`dfr_core.literal.regional_features` does what the equations say: blow every map up to the image, filter, concatenate.
:class:`Generator` gives the same numbers without ever doing so. Resizing and mean filtering are linear
and separable, so together they are A_h phi A_w' with one small matrix for each axis
(:func:`axis_operator`). In the paper's setting that matrix is either a block mean (maps finer than the
regional features) or a copy (coarser maps), and a copy need not be made before somebody reads it:
:class:`RegionalFeatures` keeps coarse maps at their own resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import DFRError, Setting

#: Name of an interpolation -> arguments of torch's interpolate in two dimensions.
RESIZE: dict[str, dict] = {
    "nearest": {"mode": "nearest"},
    "bilinear": {"mode": "bilinear", "align_corners": False},
    "bilinear-aligned": {"mode": "bilinear", "align_corners": True},
}


def align(phi: Tensor, image_size: tuple[int, int], interpolation: str = "nearest", jump: int | None = None) -> Tensor:
    """Eq. 1: phi [N, c, h_l, w_l] blown up to [N, c, h, w].

    Poolings drop what is left over at the end: 127 pixels halved three times are 15 units of 8, so 120 pixels. Stretched over the
    whole image, the last unit would lie 7 pixels from what it has seen. With ``jump`` it stays, and the last one is repeated.

    Args:
        interpolation: see :class:`dfr_core.settings.Settings`.
        jump: pixels between units. None stretches the map over the image, as Eq. 1 says; where the image's sides are multiples
            of the jump, both are the same.
    """
    covered = image_size if jump is None else tuple(min(n * jump, side) for n, side in zip(phi.shape[-2:], image_size, strict=True))
    aligned = F.interpolate(phi, size=covered, **RESIZE[interpolation])
    if covered == tuple(image_size):
        return aligned
    return F.pad(aligned, (0, image_size[1] - covered[1], 0, image_size[0] - covered[0]), mode="replicate")


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # kept for all callers: made inside inference mode, it could not take part in autograd later
def axis_operator(
    map_size: int, image_size: int, kernel: int = 4, stride: int = 4, interpolation: str = "nearest", jump: int | None = None
) -> Tensor:
    """The matrix A of alignment (with ``jump`` as in :func:`align`) and aggregation along one axis: float64 [h_o, h_l].

    Found by asking: column k is what Eq. 1 and 2 make of the k-th unit vector. Rows sum to one.
    """
    unit = torch.eye(map_size, dtype=torch.float64).view(map_size, 1, map_size, 1)
    aligned = align(unit, (image_size, 1), interpolation, jump)
    return F.avg_pool2d(aligned, (kernel, 1), (stride, 1)).view(map_size, -1).T.contiguous()


@dataclass(frozen=True)
class _Axis:
    """What A does along one axis, recognised from its entries."""

    matrix: Tensor  # [h_o, h_l]
    block: int | None  # mean over consecutive blocks of this many units
    index: Tensor | None  # copy of these units, int64 [h_o]
    same: bool  # the copy changes nothing

    @property
    def upsamples(self) -> bool:
        return self.index is not None and self.matrix.shape[0] > self.matrix.shape[1]


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _axis(
    map_size: int, image_size: int, kernel: int, stride: int, interpolation: str, jump: int | None, device: torch.device
) -> _Axis:
    # Kept for each device: copied in every batch, they would make a GPU wait for the CPU.
    matrix = axis_operator(map_size, image_size, kernel, stride, interpolation, jump)
    n_out = matrix.shape[0]
    block = index = None
    if torch.equal(matrix, matrix.round()):  # rows sum to one, so a whole-number row is a unit vector
        index = matrix.argmax(1)
    elif map_size % n_out == 0:
        b = map_size // n_out
        mean = torch.eye(n_out, dtype=torch.float64).repeat_interleave(b, 1) / b
        block = b if torch.allclose(matrix, mean, rtol=0, atol=1e-12) else None
    same = index is not None and torch.equal(index, torch.arange(map_size))
    return _Axis(matrix.to(device), block, None if index is None else index.to(device), same)


@dataclass
class AggregatedMap:
    """One aggregated map, phi-bar_l (Eq. 2), in the smallest form that holds all of it.

    Attributes:
        data: [N, h', w', c_l], channels innermost.
        rows, cols: for each row (column) of the regional features the row (column) of ``data`` it equals;
            None when ``data`` already has that many.
    """

    data: Tensor
    rows: Tensor | None
    cols: Tensor | None

    def expand(self, data: Tensor | None = None) -> Tensor:
        """``data`` (default: the map's own) repeated to the size of the regional features: [N, h_o, w_o, ...]."""
        x = self.data if data is None else data
        if self.rows is not None:
            x = x.index_select(1, self.rows)
        return x if self.cols is None else x.index_select(2, self.cols)

    def add_to(self, whole: Tensor, part: Tensor, alpha: float = 1) -> Tensor:
        """``whole`` [N, h_o, w_o, ...] plus alpha times ``part`` [N, h', w', ...] repeated, in place; the repeated one is not written out
        where every unit is repeated equally often.
        """
        times = _times(self.rows, part.shape[1]), _times(self.cols, part.shape[2])
        if 0 in times:
            return whole.add_(self.expand(part), alpha=alpha)
        blocks = whole.unflatten(2, (-1, times[1])).unflatten(1, (-1, times[0]))
        blocks.add_(part[:, :, None, :, None], alpha=alpha)
        return whole

    def layout(self) -> tuple:
        """How the map is repeated, to be compared with that of others."""
        # Reading an index makes a GPU wait; there the one tensor that the maps of a size share stands for its values.
        how = (None if i is None else id(i) if i.is_cuda else tuple(i.tolist()) for i in (self.rows, self.cols))
        return tuple(self.data.shape[1:3]), *how

    def crop(self, start: int, stop: int, axis: int = 1) -> AggregatedMap:
        """Rows (axis 1) or columns (axis 2) ``start:stop`` of the regional features; nothing is copied."""
        index = self.rows if axis == 1 else self.cols
        first, last = (start, stop) if index is None else (int(index[start]), int(index[stop - 1]) + 1)
        data = self.data.narrow(axis, first, last - first)
        index = None if index is None else index[start:stop] - first
        return AggregatedMap(data, index, self.cols) if axis == 1 else AggregatedMap(data, self.rows, index)


def _times(index: Tensor | None, n: int) -> int:
    """How often an index repeats each of n units, if all of them equally often and in order; else 0, and for a GPU, which would wait."""
    if index is None:
        return 1
    times = len(index) // n
    even = not index.is_cuda and times * n == len(index) and torch.equal(index, torch.arange(n).repeat_interleave(times))
    return times if even else 0


def sum_expanded(maps: Iterable[AggregatedMap], parts: Iterable[Tensor]) -> Tensor:
    """What is computed from each map at its own resolution, repeated and summed up: [N, h_o, w_o, ...].

    Args:
        parts: for each map a new tensor [N, h', w', ...], which may be changed here; best a generator, so that few exist at once.
    """
    pairs = zip(maps, parts, strict=True)
    first, part = next(pairs)
    total = first.expand(part)
    for m, part in pairs:
        m.add_to(total, part)
    return total


class RegionalFeatures:
    """f_{1:L}(x) of a batch of images, kept as one :class:`AggregatedMap` a layer.

    Attributes:
        aggregated: layer number -> phi-bar_l.
        shape: (h_o, w_o).
    """

    def __init__(self, aggregated: dict[int, AggregatedMap], shape: tuple[int, int]) -> None:
        self.aggregated = aggregated
        self.shape = shape

    def __len__(self) -> int:
        return next(iter(self.aggregated.values())).data.shape[0]

    @property
    def c_o(self) -> int:
        """Dimension of a regional feature, Eq. 3."""
        return sum(m.data.shape[-1] for m in self.aggregated.values())

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(m.data.numel() * m.data.element_size() for m in self.aggregated.values())

    def select(self, layers: Sequence[int]) -> RegionalFeatures:
        """The features of a subset of the layers; nothing is copied."""
        return RegionalFeatures({layer: self.aggregated[layer] for layer in layers}, self.shape)

    def take(self, images: Tensor | slice) -> RegionalFeatures:
        """The features of some of the images (a slice copies nothing)."""
        return RegionalFeatures({k: replace(m, data=m.data[images]) for k, m in self.aggregated.items()}, self.shape)

    def to(self, dtype: torch.dtype) -> RegionalFeatures:
        """The features in another precision (nothing is copied if it is theirs)."""
        return RegionalFeatures({k: replace(m, data=m.data.to(dtype)) for k, m in self.aggregated.items()}, self.shape)

    def crop(self, rows: tuple[int, int], cols: tuple[int, int]) -> RegionalFeatures:
        """The features of a part of each image, from (including) and to (excluding) a row and a column; nothing is copied."""
        cropped = {k: m.crop(*rows, axis=1).crop(*cols, axis=2) for k, m in self.aggregated.items()}
        return RegionalFeatures(cropped, (rows[1] - rows[0], cols[1] - cols[0]))

    def joined(self) -> list[AggregatedMap]:
        """The maps, neighbours of one size joined: in the order of Eq. 3, but few and wide, which products are faster with."""
        groups = [list(group) for _, group in groupby(self.aggregated.values(), AggregatedMap.layout)]
        return [replace(maps[0], data=torch.cat([m.data for m in maps], dim=-1)) for maps in groups]

    def dense(self) -> Tensor:
        """Eq. 3 written out: [N, h_o, w_o, c_o], channels innermost; ``.permute(0, 3, 1, 2)`` is the paper's shape."""
        return torch.cat([m.expand() for m in self.aggregated.values()], dim=-1)

    def at(self, images: Tensor, positions: Tensor) -> Tensor:
        """Regional features at given places.

        Args:
            images: int64 [M], which image.
            positions: int64 [M], row-major position in h_o x w_o.

        Returns:
            [M, c_o].
        """
        i, j = positions // self.shape[1], positions % self.shape[1]
        parts = []
        for m in self.aggregated.values():
            rows = i if m.rows is None else m.rows[i]
            cols = j if m.cols is None else m.cols[j]
            parts.append(m.data[images, rows, cols])
        return torch.cat(parts, dim=-1)


class Generator:
    """The multi-scale regional feature generator (III-B, Fig. 3), exact and lean.

    Args:
        kernel, stride: of the mean filter in pixels (4 and 4 in IV-A3).
        interpolation: of the alignment; the paper's is ``"nearest"``.
        jumps: layer number -> pixels between the units of its map; maps of other layers are stretched (see :func:`align`).
    """

    def __init__(
        self, kernel: int = 4, stride: int = 4, interpolation: str = "nearest", jumps: Mapping[int, int] | None = None
    ) -> None:
        self.kernel = kernel
        self.stride = stride
        self.interpolation = interpolation
        self.jumps = jumps or {}

    def shape(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(h_o, w_o) for an image of (h, w) pixels.

        Raises:
            DFRError: the filter is larger than the image.
        """
        h, w = image_size
        if self.kernel > min(h, w):
            raise DFRError(Setting("kernel"), f"{self.kernel} exceeds the image of {h} x {w} pixels", "choose a smaller mean filter")
        return (h - self.kernel) // self.stride + 1, (w - self.kernel) // self.stride + 1

    def aggregate(self, phi: Tensor, image_size: tuple[int, int], jump: int | None = None) -> AggregatedMap:
        """phi_l [N, c_l, h_l, w_l] -> phi-bar_l (Eq. 1 and 2 in one)."""
        args = (self.kernel, self.stride, self.interpolation, jump, phi.device)
        vertical, horizontal = (_axis(n, size, *args) for n, size in zip(phi.shape[-2:], image_size, strict=True))
        if vertical.block and horizontal.block:
            x = F.avg_pool2d(phi, (vertical.block, horizontal.block))
        else:
            x = _apply(_apply(phi, vertical, 2), horizontal, 3)
        rows = vertical.index if vertical.upsamples else None
        cols = horizontal.index if horizontal.upsamples else None
        return AggregatedMap(x.permute(0, 2, 3, 1).contiguous(), rows, cols)

    def __call__(self, maps: Sequence[tuple[int, Tensor]], image_size: tuple[int, int]) -> RegionalFeatures:
        """Eq. 1-3 for ``(l, phi_l)`` pairs, which may be a generator such as :meth:`VGG.feature_maps`."""
        shape = self.shape(image_size)
        return RegionalFeatures({layer: self.aggregate(phi, image_size, self.jumps.get(layer)) for layer, phi in maps}, shape)


def _apply(x: Tensor, axis: _Axis, dim: int) -> Tensor:
    """A along one axis of [N, c, h, w]; a copy that enlarges is left to the reader (AggregatedMap)."""
    if axis.upsamples:
        return x
    if axis.index is not None:
        return x if axis.same else x.index_select(dim, axis.index)
    matrix = axis.matrix.to(x.dtype)
    return matrix @ x if dim == 2 else x @ matrix.T
