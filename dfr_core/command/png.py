"""PNG files written fast: results are as large as the photograph, and three of them are written of each.

Pillow tries five filters on every row, and zlib searches for repetitions, of which photographs have few: 90 ms for a megapixel of colour.
Here every pixel is coded as the difference to the one on its left, by Huffman's method and runs alone: a fifth of the time, and files
of the same size. Uncompressed the fifth becomes a fiftieth, and the files half as large again.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

#: Pixels worked on at a time, so that a photograph of a hundred megapixels takes little memory on the way.
_BAND = 1 << 20
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _FROM_LEFT = 0, 2, 1


def bands(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that together are a picture."""
    rows = max(1, _BAND // max(width, 1))
    return (slice(start, start + rows) for start in range(0, height, rows))


def write_png(path: Path, pixels: np.ndarray, words: Mapping[str, str], compress: bool = True) -> None:
    """Write a picture (the format's definition is ISO/IEC 15948).

    Args:
        pixels: grey uint8 or uint16 [h, w], or RGB uint8 [h, w, 3].
        words: texts to keep in the file, Latin-1.
        compress: or write the pixels as they are.

    Raises:
        OSError: the file cannot be written.
    """
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, _RGB if pixels.ndim == 3 else _GREY, 0, 0, 0)
    packer = zlib.compressobj(int(compress), zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    with open(path, "wb") as file:
        file.write(_SIGNATURE)
        _chunk(file, b"IHDR", header)
        for key, value in words.items():
            _chunk(file, b"tEXt", f"{key}\0{value}".encode("latin-1"))
        for rows in bands(height, width):
            _chunk(file, b"IDAT", packer.compress(_differences(pixels[rows])))
        _chunk(file, b"IDAT", packer.flush())
        _chunk(file, b"IEND", b"")


def _differences(pixels: np.ndarray) -> np.ndarray:
    """The bytes of each row less those of the pixel to the left, the number of this filter in front: uint8 [h, 1 + bytes of a row]."""
    step = pixels.itemsize * (3 if pixels.ndim == 3 else 1)
    raw = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(len(pixels), -1)
    filtered = np.empty((len(raw), 1 + raw.shape[1]), np.uint8)
    filtered[:, 0] = _FROM_LEFT
    filtered[:, 1 : 1 + step] = raw[:, :step]
    np.subtract(raw[:, step:], raw[:, :-step], out=filtered[:, 1 + step :])
    return filtered


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind)
    file.write(content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
