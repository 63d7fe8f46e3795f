"""Operations of the autoencoder, counted from its sizes (Section IV-C3, Table VI); those of a network: its Architecture.

A multiplication and an addition are two operations.
"""

from __future__ import annotations

from ..backbones.architecture import Architecture
from .cae import layer_widths


def cae_flops(c_o: int, c_d: int, positions: int = 4096) -> int:
    """Operations of the autoencoder of Table VIII at so many positions."""
    sizes = (c_o, *layer_widths(c_o, c_d))
    return 2 * positions * sum(a * b for a, b in zip(sizes, sizes[1:]))


def first_layer_saving(network: Architecture, layers: str, c_d: int, size: int = 256, width: float = 1.0, stride: int = 4) -> int:
    """Operations saved when the autoencoder's first layer runs at each map's own resolution where that is coarser."""
    c, out = network.channels(width), size // stride
    outer = layer_widths(network.feature_dimension(layers, width), c_d)[0]
    return sum(2 * (out**2 - min(out, network.side(k, size)) ** 2) * c[k - 1] * outer for k in network.parse(layers))
