"""Large images in tiles, with the same result.

A regional feature sees its receptive field and no more (Section III-A). So a part of the image, cut with a halo
at least that wide around it, gives for its inner part the features that the whole image gives: what is wrong, the
padding at a cut, reaches into the halo only. Where a tile ends at the image's own border there is no cut.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels: ``begin:end`` is cut out, ``start:stop`` is what it is for."""

    begin: int
    start: int
    stop: int
    end: int

    def positions(self, n: int, stride: int) -> tuple[int, int]:
        """The regional features ``first:last``, of the ``n`` of the whole axis, that begin in ``start:stop``."""
        return -(-self.start // stride), min(n, -(-self.stop // stride))

    def within(self, positions: tuple[int, int], stride: int) -> tuple[int, int]:
        """The same positions, counted from the tile's own first."""
        return positions[0] - self.begin // stride, positions[1] - self.begin // stride


def spans(size: int, tile: int, halo: int, unit: int) -> list[Span]:
    """Tiles of about ``tile`` pixels, of equal size and without overlap, that cover ``size`` pixels.

    Args:
        size: of the image along the axis.
        tile: most pixels of a tile without its halo.
        halo: pixels around it that count.
        unit: tiles and halos are multiples of it, so that poolings and filters fall as in the whole image.
    """
    count = -(-size // tile)
    step = _up(-(-size // count), unit)
    halo = _up(halo, unit)
    return [Span(max(0, start - halo), start, min(size, start + step), min(size, start + step + halo)) for start in range(0, size, step)]


def _up(pixels: int, unit: int) -> int:
    return -(-pixels // unit) * unit
