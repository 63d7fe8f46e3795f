"""Operations and bytes of the method, counted from its sizes: the same on every machine (Section IV-C3, Table VI).

A multiplication and an addition are two operations.
"""

from __future__ import annotations

from ..methods.cae import layer_widths
from ..settings import parse_layers
from .vgg import channels


def map_side(layer: int, size: int = 256) -> int:
    """Units a side of the map of a layer: halved by each pooling before it."""
    return size >> sum(layer > last for last in (2, 4, 8, 12))


def conv_flops(layer: int, size: int = 256, width: float = 1.0) -> int:
    """Operations of one 3 x 3 convolution of VGG19 for one image: 2 · h · w · 9 · c_in · c_out."""
    c = (3, *channels(width))
    return 2 * map_side(layer, size) ** 2 * 9 * c[layer - 1] * c[layer]


def backbone_flops(layers: str, size: int = 256, width: float = 1.0) -> int:
    """Operations of VGG19 up to the last layer of a set."""
    return sum(conv_flops(layer, size, width) for layer in range(1, parse_layers(layers)[-1] + 1))


def backbone_bytes(layers: str, size: int = 256, width: float = 1.0) -> int:
    """Bytes that cannot be avoided layer by layer: each map is written once and read once, the weights are read once."""
    c = (3, *channels(width))
    last = parse_layers(layers)[-1]
    return 3 * size**2 + 4 * sum(2 * c[k] * map_side(k, size) ** 2 + 9 * c[k - 1] * c[k] for k in range(1, last + 1))


def cae_flops(c_o: int, c_d: int, positions: int = 4096) -> int:
    """Operations of the autoencoder of Table VIII at so many positions."""
    sizes = (c_o, *layer_widths(c_o, c_d))
    return 2 * positions * sum(a * b for a, b in zip(sizes, sizes[1:]))


def first_layer_saving(layers: str, c_d: int, size: int = 256, width: float = 1.0, stride: int = 4) -> int:
    """Operations saved when the autoencoder's first layer runs at each map's own resolution where that is coarser."""
    c, out = channels(width), size // stride
    c_o = sum(c[k - 1] for k in parse_layers(layers))
    outer = layer_widths(c_o, c_d)[0]
    return sum(2 * (out**2 - min(out, map_side(k, size)) ** 2) * c[k - 1] * outer for k in parse_layers(layers))
