"""What can be told of a network before it has weights: layers, receptive fields, channels, operations (Section III-A, Table I).

A network is one row of :data:`ARCHITECTURES`; everything else here follows from the row. There is no torch in this file, since
settings and the command line's help need the numbers only. Layers are the convolutions with their ReLUs, numbered from 1 in the
order in which they are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..errors import DFRError, Setting


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive fields of all units of one map, along one axis; without arguments, those of the image's own pixels.

    Coordinates are pixels; pixel i covers the interval [i, i + 1), so its centre is i + 0.5. Fields are not clipped: near the border
    they reach into the padding, beyond [0, image size).

    Attributes:
        size: pixels that one unit sees (Table I).
        jump: pixels between the fields of neighbouring units.
        centre: centre of the first unit's field, in the module's coordinates.
    """

    size: int = 1
    jump: int = 1
    centre: float = 0.5

    def after(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> ReceptiveField:
        """The fields behind one more convolution or pooling.

        A kernel k with stride s, padding p and dilation d turns a field of size r, jump j and start b into
        r + (k - 1) d j, s j and b - p j; a pixel itself has r = 1, j = 1 and b = 0.

        >>> ReceptiveField().after(3, padding=1).after(3, padding=1).after(2, stride=2)
        ReceptiveField(size=6, jump=2, centre=1.0)
        """
        start = self.centre - self.size / 2 - padding * self.jump
        size = self.size + (kernel - 1) * dilation * self.jump
        return ReceptiveField(size, self.jump * stride, start + size / 2)

    def centre_of(self, index: int) -> float:
        """Centre of the field of unit ``index``."""
        return self.centre + index * self.jump

    def interval(self, index: int) -> tuple[int, int]:
        """The field of unit ``index`` as (first pixel, one past the last pixel), not clipped to the image."""
        start = round(self.centre_of(index) - self.size / 2)  # a whole number but for the type
        return start, start + self.size


@dataclass(frozen=True)
class Layer(ReceptiveField):
    """One layer: what its units see, and ``channels``, the ``c_l`` of its map at full width."""

    channels: int = 3


@dataclass(frozen=True)
class Architecture:
    """A stack of blocks of 3 x 3 convolutions with ReLUs, a 2 x 2 max pooling between blocks.

    Attributes:
        name: what :class:`dfr_core.settings.Settings` and files call it.
        title: what people call it, and torchvision with it.
        blocks: for each block, the channels of its convolutions.
        mean, std: of the colours the ImageNet weights were trained with: RGB in [0, 1], then these (torchvision's recipe).
    """

    name: str
    title: str
    blocks: tuple[tuple[int, ...], ...]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in order (Table I); layer l is ``layers[l - 1]``.

        >>> [layer.size for layer in architecture("vgg19").layers]
        [3, 5, 10, 14, 24, 32, 40, 48, 68, 84, 100, 116, 156, 188, 220, 252]
        """
        found: list[Layer] = []
        field = ReceptiveField()
        for channels in self.blocks:
            if found:
                field = field.after(2, stride=2)
            for c in channels:
                field = field.after(3, padding=1)
                found.append(Layer(field.size, field.jump, field.centre, c))
        return tuple(found)

    @property
    def n_layers(self) -> int:
        """How many layers there are."""
        return len(self.layers)

    @cached_property
    def poolings(self) -> tuple[int, ...]:
        """Layers behind which a pooling halves the map.

        >>> architecture("vgg19").poolings
        (2, 4, 8, 12)
        """
        return tuple(k for k in range(1, self.n_layers) if self.layers[k].jump > self.layers[k - 1].jump)

    @cached_property
    def inner_layers(self) -> frozenset[int]:
        """Layers whose map feeds another convolution directly: neither a pooling nor the network's end comes behind them."""
        return frozenset(range(1, self.n_layers)) - set(self.poolings)

    def parse(self, layers: str) -> tuple[int, ...]:
        """Turn a layer set such as ``"1:12"``, ``"12"``, ``"9:12"`` or ``"1,5,12"`` into sorted numbers.

        Ranges include both ends, as in the paper's f_{1:12}.

        Raises:
            DFRError: the text is not a layer set, or names a layer the network does not have.

        >>> architecture("vgg19").parse("9:12,1")
        (1, 9, 10, 11, 12)
        """
        numbers: set[int] = set()
        for part in str(layers).split(","):
            first, colon, last = part.strip().partition(":")
            try:
                low = int(first)
                high = int(last) if colon else low
            except ValueError:
                raise DFRError(Setting("layers"), f"{layers!r} is not a layer set", "write '1:12', '12' or '1,5,12'") from None
            n = self.n_layers
            if not 1 <= low <= high <= n:
                raise DFRError(Setting("layers"), f"{part.strip()!r} is not within 1:{n}", f"{self.title} has layers 1 to {n}")
            numbers.update(range(low, high + 1))
        return tuple(sorted(numbers))

    def channels(self, width: float = 1.0) -> tuple[int, ...]:
        """Channels ``c_l`` of all maps when the network's channels are scaled by ``width``."""
        return tuple(max(1, round(layer.channels * width)) for layer in self.layers)

    def feature_dimension(self, layers: str, width: float = 1.0) -> int:
        """``c_o``, the sum of ``c_l`` over a layer set (III-B).

        >>> [architecture("vgg19").feature_dimension(layers) for layers in ("12", "1:12", "1:16")]
        [512, 3456, 5504]
        """
        c = self.channels(width)
        return sum(c[layer - 1] for layer in self.parse(layers))

    def side(self, layer: int, size: int = 256) -> int:
        """Units a side of the map of a layer, for images of ``size`` pixels a side: each pooling halves it and drops a remainder."""
        return size // self.layers[layer - 1].jump

    def units(self, layer: int, size: int | tuple[int, int] = 256) -> int:
        """h_l w_l, the units of the map of a layer, for images of ``size`` pixels a side or of (height, width)."""
        height, width = size if isinstance(size, tuple) else (size, size)
        return self.side(layer, height) * self.side(layer, width)

    def conv_flops(self, layer: int, size: int | tuple[int, int] = 256, width: float = 1.0) -> int:
        """Operations of one layer's convolution for one image, 2 · h · w · 9 · c_in · c_out: an addition counts as a multiplication."""
        c = (3, *self.channels(width))
        return 2 * self.units(layer, size) * 9 * c[layer - 1] * c[layer]

    def flops(self, layers: str, size: int | tuple[int, int] = 256, width: float = 1.0) -> int:
        """Operations for one image up to the last layer of a set (Section IV-C3, Table VI)."""
        return sum(self.conv_flops(layer, size, width) for layer in range(1, self.parse(layers)[-1] + 1))

    def bytes_moved(self, layers: str, size: int | tuple[int, int] = 256, width: float = 1.0) -> int:
        """Bytes that cannot be avoided layer by layer: each map is written once and read once, the weights are read once."""
        c = (3, *self.channels(width))
        last = self.parse(layers)[-1]
        return 3 * self.units(1, size) + 4 * sum(2 * c[k] * self.units(k, size) + 9 * c[k - 1] * c[k] for k in range(1, last + 1))


#: The networks there are, by name. To add one of this kind: one row.
ARCHITECTURES = {
    row.name: row
    for row in (
        Architecture("vgg19", "VGG19", ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)),
        Architecture("vgg16", "VGG16", ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)),
    )
}


def architecture(name: str) -> Architecture:
    """The network of a name.

    Raises:
        DFRError: there is none of that name.
    """
    if name not in tuple(ARCHITECTURES):
        raise DFRError(Setting("backbone"), f"{name!r} is not one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
