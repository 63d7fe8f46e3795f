"""The drawing tools of the synthetic categories: noise, shapes, light, and a picture that remembers its defect.

Pictures are float64 arrays [3, 256, 256] in 0..1 until the camera turns them into bytes. Two choices make
them the same on every machine: all randomness is uniform numbers of a PCG64 stream, and all arithmetic is
float64, whose last-bit differences between processors vanish when the camera rounds to a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SIZE = 256
CENTRE = SIZE / 2
#: Pixel centres in pixels from the top left corner.
Y, X = np.mgrid[:SIZE, :SIZE] + 0.5
#: Coverage from which a pixel counts as touched by a defect; anything fainter is not painted at all.
EDGE = 0.12
SUPERSAMPLING = 4

Array = np.ndarray
Rng = np.random.Generator
Colour = Sequence[float] | Array


# ---------------------------------------------------------------- randomness


def stream(*key: int) -> Rng:
    """A random stream of its own for every key of non-negative integers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def noise(rng: Rng, rows: int, columns: int | None = None) -> Array:
    """Smooth random field [256, 256], about -1..1, with ``rows`` x ``columns`` random knots across the picture."""
    lattice = 2 * rng.random((rows, columns or rows)) - 1
    if lattice.shape == (SIZE, SIZE):
        return lattice
    return np.asarray(Image.fromarray(lattice.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64)


def fractal(rng: Rng, rows: int, columns: int | None = None, octaves: int = 4, gain: float = 0.6) -> Array:
    """Sum of ``octaves`` noises, each twice as fine and ``gain`` times as strong as the one before, about -1..1."""
    total, power = np.zeros((SIZE, SIZE)), 0.0
    for octave in range(octaves):
        total += gain**octave * noise(rng, min(SIZE, rows << octave), min(SIZE, (columns or rows) << octave))
        power += gain ** (2 * octave)
    return total / power**0.5


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number between ``low`` and ``high``, small ones as likely as large ones."""
    return float(low * (high / low) ** rng.random())


def anywhere(rng: Rng) -> tuple[float, float]:
    """A point (x, y) anywhere in the picture; a defect around it may run over the border."""
    return float(SIZE * rng.random()), float(SIZE * rng.random())


def within(rng: Rng, x: float, y: float, a: float, b: float | None = None, angle: float = 0.0) -> tuple[float, float]:
    """A point (x, y) uniformly inside the ellipse with half axes ``a``, ``b`` around (x, y), turned by ``angle``."""
    radius, turn = rng.random() ** 0.5, 2 * np.pi * rng.random()
    return place((radius * a * np.cos(turn), radius * (b or a) * np.sin(turn)), x, y, angle)


# ---------------------------------------------------------------- coordinates and shapes


def frame(x: float, y: float, angle: float = 0.0) -> tuple[Array, Array]:
    """Coordinates (u, v) of every pixel in a frame centred at (x, y) and turned by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (X - x) * cos + (Y - y) * sin, (Y - y) * cos - (X - x) * sin


def place(point: tuple[float, float], x: float, y: float, angle: float) -> tuple[float, float]:
    """The picture position of a point given in the frame (x, y, angle)."""
    u, v = point
    cos, sin = np.cos(angle), np.sin(angle)
    return float(x + u * cos - v * sin), float(y + u * sin + v * cos)


def sample(field: Array, u: Array, v: Array) -> Array:
    """The field looked up at frame coordinates (0, 0 in its middle), mirrored beyond its edges."""
    return ndimage.map_coordinates(field, [v + CENTRE, u + CENTRE], order=1, mode="mirror")


def cover(distance: Array, soft: float = 1.0) -> Array:
    """Coverage 0..1 of a shape from the signed distance to its outline in pixels (negative inside)."""
    return np.clip(0.5 - distance / soft, 0, 1)


def norm(u: Array, v: Array) -> Array:
    """Length of (u, v); unlike ``np.hypot`` fast, and the same to the last bit everywhere."""
    return np.sqrt(u * u + v * v)


def ellipse(u: Array, v: Array, a: float, b: float | None = None) -> Array:
    """Signed distance (approximate off the axes) to an ellipse with half axes a and b; a disc without b."""
    if b is None:
        return norm(u, v) - a
    return (norm(u / a, v / b) - 1) * min(a, b)


def box(u: Array, v: Array, a: float, b: float, corner: float = 0.0) -> Array:
    """Signed distance to a rectangle with half sides a and b and rounded corners."""
    du, dv = np.abs(u) - a + corner, np.abs(v) - b + corner
    return norm(np.maximum(du, 0), np.maximum(dv, 0)) + np.minimum(np.maximum(du, dv), 0) - corner


def smooth(field: Array, sigma: float) -> Array:
    """Gaussian blur."""
    return ndimage.gaussian_filter(field, sigma, mode="nearest", truncate=3)


def _drawn(draw: Callable[[ImageDraw.ImageDraw], None]) -> Array:
    sheet = Image.new("L", (SIZE * SUPERSAMPLING, SIZE * SUPERSAMPLING))
    draw(ImageDraw.Draw(sheet))
    return np.asarray(sheet.reduce(SUPERSAMPLING), dtype=np.float64) / 255


def _fine(points: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """Positions on the supersampled sheet; whole numbers, so that every machine fills the same pixels."""
    return [(round(SUPERSAMPLING * x), round(SUPERSAMPLING * y)) for x, y in points]


def polygon(*outlines: Sequence[tuple[float, float]]) -> Array:
    """Coverage of one or more filled polygons given by their corners (x, y)."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for outline in outlines:
            pen.polygon(_fine(outline), fill=255)

    return _drawn(draw)


def stroke(*lines: Sequence[tuple[float, float]], width: float = 3.0, taper: bool = False) -> Array:
    """Coverage of curves through points (x, y), ``width`` pixels wide, thin at both ends if tapered."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for line in lines:
            points, last = _fine(line), len(line) - 1
            for k, (x, y) in enumerate(points):
                share = 0.35 + 0.65 * np.sin(np.pi * k / last) if taper and last > 1 else 1.0
                radius = max(1, round(SUPERSAMPLING * width * share / 2))
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
                if k:
                    pen.line((*points[k - 1], x, y), fill=255, width=2 * radius)

    return _drawn(draw)


def wander(
    rng: Rng, x: float, y: float, angle: float, length: float, wiggle: float = 0.2, steps: int = 14
) -> list[tuple[float, float]]:
    """Points of a random curve of some length whose middle is (x, y); ``wiggle`` radians of turn each step."""
    step = length / steps
    points = [(0.0, 0.0)]
    for turn in 2 * rng.random(steps) - 1:
        angle += wiggle * turn
        points.append((float(points[-1][0] + step * np.cos(angle)), float(points[-1][1] + step * np.sin(angle))))
    dx, dy = x - points[steps // 2][0], y - points[steps // 2][1]
    return [(px + dx, py + dy) for px, py in points]


def scratches(rng: Rng, x: float, y: float, angle: float, spread: float, longest: float) -> Array:
    """Coverage of one to three nearly straight scratches near (x, y), at ``angle`` give or take ``spread`` radians."""
    lines = []
    for k in range(rng.integers(1, 4)):
        turn, length = angle + spread * (2 * rng.random() - 1), rng.uniform(longest / 4, longest)
        lines.append(wander(rng, x + 4 * k, y + 5 * k, turn, length, 0.12))
    return stroke(*lines, width=rng.uniform(1.2, 2.8))


def blob(
    rng: Rng, x: float, y: float, radius: float, rough: float = 0.3, stretch: float = 1.0, angle: float = 0.0, soft: float = 1.5
) -> Array:
    """Coverage of an irregular patch of about ``radius`` pixels; ``soft`` is the width of its edge in pixels."""
    u, v = frame(x, y, angle)
    knots = int(np.clip(3.2 * SIZE / (2 * radius), 4, 64))
    return cover(ellipse(u, v, radius * stretch, radius / stretch) - rough * radius * fractal(rng, knots, octaves=2), soft)


def cells(rng: Rng, rows: int, columns: int) -> Array:
    """Irregular cells, about ``rows`` x ``columns`` across the picture: how much nearer, in pixels, each pixel is to
    its own cell's seed than to the next one's; 0 on the borders between cells (Worley's F2 - F1)."""
    high, wide = SIZE / rows, SIZE / columns
    seeds = rng.random((2, rows + 2, columns + 2))
    seed_x, seed_y = (seeds[0] + np.arange(-1, columns + 1)) * wide, (seeds[1] + np.arange(-1, rows + 1)[:, None]) * high
    row, column = np.floor(Y[:, 0] / high).astype(int), np.floor(X[0] / wide).astype(int)
    first, second = np.full((SIZE, SIZE), np.inf), np.full((SIZE, SIZE), np.inf)
    for k in np.ndindex(3, 3):
        at = np.ix_(row + k[0], column + k[1])
        square = (seed_x[at] - X) ** 2 + (seed_y[at] - Y) ** 2
        second = np.minimum(second, np.maximum(first, square))
        first = np.minimum(first, square)
    return np.sqrt(second) - np.sqrt(first)


def domes(points: Sequence[tuple[float, float]], radius: float) -> tuple[Array, Array]:
    """Half balls at points (x, y): the height 0..1 of the uppermost at each pixel, and which one it is (-1: none)."""
    height, owner = np.zeros((SIZE, SIZE)), np.full((SIZE, SIZE), -1)
    reach = int(radius) + 1
    offsets = np.arange(-reach, reach + 1)
    x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
    columns = np.floor(x).astype(int)[:, None, None] + offsets[None, None, :]
    rows = np.floor(y).astype(int)[:, None, None] + offsets[None, :, None]
    columns, rows, number = np.broadcast_arrays(columns, rows, np.arange(len(x))[:, None, None])
    square = ((columns + 0.5 - x[:, None, None]) ** 2 + (rows + 0.5 - y[:, None, None]) ** 2) / radius**2
    inside = (square < 1) & (columns >= 0) & (columns < SIZE) & (rows >= 0) & (rows < SIZE)
    rows, columns, number, tops = rows[inside], columns[inside], number[inside], (1 - square[inside]) ** 0.5
    order = np.argsort(tops, kind="stable")  # the highest is written last and stays
    height[rows[order], columns[order]] = tops[order]
    owner[rows[order], columns[order]] = number[order]
    return height, owner


GLYPHS = {
    "0": [[(0.5, 0), (1, 0.25), (1, 0.75), (0.5, 1), (0, 0.75), (0, 0.25), (0.5, 0)]],
    "5": [[(1, 0), (0.1, 0), (0, 0.45), (0.6, 0.42), (1, 0.65), (0.9, 0.9), (0.4, 1), (0, 0.9)]],
    "F": [[(0, 1), (0, 0), (1, 0)], [(0, 0.48), (0.75, 0.48)]],
    "R": [[(0, 1), (0, 0), (0.8, 0), (1, 0.25), (0.8, 0.5), (0, 0.5)], [(0.4, 0.5), (1, 1)]],
    "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]],
    "K": [[(0, 0), (0, 1)], [(1, 0), (0, 0.55), (1, 1)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "L": [[(0, 0), (0, 1), (1, 1)]],
}
"""A few letters as lines in the unit square; no font, so no dependence on which fonts a machine has."""


def lettering(text: str, x: float, y: float, height: float, angle: float = 0.0, width: float = 3.0) -> Array:
    """Coverage of a word centred at (x, y) in letters of ``height`` pixels, drawn with a pen of ``width`` pixels."""
    wide, pitch, lines = 0.55 * height, 0.85 * height, []
    for k, letter in enumerate(text):
        left = (k - (len(text) - 1) / 2) * pitch - wide / 2
        lines += [[place((left + wide * u, height * (v - 0.5)), x, y, angle) for u, v in line] for line in GLYPHS[letter]]
    return stroke(*lines, width=width)


# ---------------------------------------------------------------- light


def relief(height: Array, strength: float, angle: float = -2.2) -> Array:
    """Brightness factor around 1 of a surface of that height (pixels), lit from direction ``angle`` (default: upper left)."""
    down, right = np.gradient(height)
    return np.clip(1 + strength * (np.cos(angle) * -right + np.sin(angle) * -down), 0.2, 1.8)


def planes(colour: Colour) -> Array:
    """A colour of three numbers as an array [3, 1, 1]; a picture [3, 256, 256] as it is."""
    colour = np.asarray(colour, dtype=np.float64)
    return colour[:, None, None] if colour.ndim == 1 else colour


def tint(level: Array | float, colour: Colour) -> Array:
    """A coloured picture [3, 256, 256] from a brightness field [256, 256]."""
    return planes(colour) * level


def mix(first: Colour, second: Colour, share: Array) -> Array:
    """From the first colour or picture (share 0) to the second (share 1), [3, 256, 256]."""
    first, second = planes(first), planes(second)
    return first + share * (second - first)


class Picture:
    """A picture being painted, and the mask of its defect.

    Attributes:
        rgb: float64 [3, 256, 256], nominally 0..1.
        mask: bool [256, 256], where :meth:`flaw` or :meth:`swap` changed the picture.
    """

    def __init__(self, rgb: Array) -> None:
        self.rgb = np.array(np.broadcast_to(planes(rgb), (3, SIZE, SIZE)), dtype=np.float64)
        self.mask = np.zeros((SIZE, SIZE), dtype=bool)

    def paint(self, colour: Colour, alpha: Array) -> Picture:
        """Lay a colour, or another picture [3, 256, 256], over this one with opacity ``alpha`` [256, 256]."""
        rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
        if len(rows):
            window = np.s_[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            colour = planes(colour)
            colour = colour[window] if colour.shape[-1] > 1 else colour
            self.rgb[window] += alpha[window] * (colour - self.rgb[window])
        return self

    def shade(self, factor: Array | float, alpha: Array | float = 1.0) -> Picture:
        """Multiply the brightness by ``factor`` where ``alpha`` is 1, not at all where it is 0."""
        self.rgb *= 1 + (factor - 1) * alpha
        return self

    def flaw(self, colour: Colour, coverage: Array, opacity: float = 1.0) -> Picture:
        """Paint a defect: like :meth:`paint`, cut off where it would be too faint to count, and marked in the mask."""
        touched = coverage > EDGE
        self.mask |= touched
        return self.paint(colour, np.where(touched, opacity * coverage, 0.0))

    def shade_flaw(self, factor: Array | float, coverage: Array) -> Picture:
        """A defect that darkens or brightens what is there."""
        touched = coverage > EDGE
        self.mask |= touched
        return self.shade(factor, np.where(touched, coverage, 0.0))

    def swap(self, other: Picture, region: Array) -> Picture:
        """A defect in the structure: take the pixels of ``region`` (bool) from the same scene drawn differently."""
        self.rgb[:, region] = other.rgb[:, region]
        self.mask |= region
        return self

    def redraw(self, other: Picture, least: float = 0.01) -> Picture:
        """A defect in the structure: take from the same scene drawn differently what has :meth:`changed`."""
        return self.swap(other, self.changed(other, least))

    def changed(self, other: Picture, least: float = 0.01) -> Array:
        """Where the same scene drawn differently differs by more than ``least`` in some colour, bool [256, 256].

        There is no noise in a scene, so this is the shape of what changed. Gaps of a few pixels (an edge that
        happens to have the old colour) are closed, and specks of fewer than 8 pixels left out.
        """
        region = np.pad(np.abs(other.rgb - self.rgb).max(axis=0) > least, 2, mode="edge")
        region = ndimage.binary_closing(region, iterations=2)[2:-2, 2:-2]
        parts, _ = ndimage.label(region, structure=np.ones((3, 3)))
        sizes = np.bincount(parts.ravel())
        return region & (sizes[parts] >= 8)


def camera(rgb: Array, rng: Rng, grain: float = 0.005) -> Array:
    """Photograph a scene: gain and offset of the light, a gentle gradient across it, sensor noise; uint8 [256, 256, 3].

    It is an inspection camera: the lamp stands still (upper left, as in :func:`relief`), its brightness keeps to a per
    cent or two, and the noise is what remains after shrinking a large photograph, about half a grey level.

    Every pixel depends on the same pixel of the scene only, so a defect changes nothing outside its mask.
    """
    gain, offset, slope, turn = rng.random(4)
    direction = -2.2 + 0.3 * (turn - 0.5)
    across = ((X - CENTRE) * np.cos(direction) + (Y - CENTRE) * np.sin(direction)) / SIZE
    light = 1 + 0.03 * (gain - 0.5) + (0.03 + 0.02 * slope) * across
    # The difference of two uniform numbers is noise with a triangular distribution, close enough to normal.
    speckle = rng.random((3, SIZE, SIZE)) - rng.random((SIZE, SIZE))
    exposed = rgb * light + 0.008 * (offset - 0.5) + grain * speckle
    return np.ascontiguousarray(np.floor(255 * np.clip(exposed, 0, 1) + 0.5).astype(np.uint8).transpose(1, 2, 0))
